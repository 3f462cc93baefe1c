"""All tables of ``docs/benchmarks.md``, one script after the other.

    python benchmarks/all.py [--quick] [--peer PEER/bin/python]

Takes hours, on a machine that has nothing else to do; ``--quick`` does few rounds, for whoever
changes a script. The whole study by hand is left out without an interpreter that has pyroVED
(``benchmarks/study/requirements.txt``). Ends with the scripts that failed.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
FULL = [
    ["training.py"],
    ["stacking.py"],
    ["precision.py"],
    ["quality.py"],
    ["recipes.py"],
    ["trial.py"],
    ["pictures.py"],
    ["storage/overhead.py"],
    ["report.py"],
    ["sweep.py"],
    ["scale.py"],
    ["mixtures.py", "speed"],
    ["mixtures.py", "quality"],
    ["storage/kills.py"],
    ["storage/workers.py"],
    ["storage/writers.py"],
    ["storage/sync.py"],
    ["storage/duplicates.py"],
    ["early.py", "collapse", "--runs", "300"],
    ["early.py", "collapse", "--runs", "60", "--recipes", "default,paper100", "--first", "5000"],
    ["early.py", "rewards", "--runs", "40", "--first", "100"],
]
QUICK = [
    ["training.py", "--quick"],
    ["stacking.py", "--quick"],
    ["precision.py", "--seeds", "2"],
    ["quality.py", "--quick"],
    ["recipes.py", "--seeds", "1"],
    ["trial.py", "--quick"],
    ["pictures.py", "--repeats", "3"],
    ["storage/overhead.py", "--quick"],
    ["report.py", "--quick"],
    ["sweep.py", "--quick"],
    ["scale.py", "--quick"],
    ["mixtures.py", "speed", "--rounds", "1"],
    ["storage/kills.py", "--kills", "3"],
    ["storage/workers.py", "--quick"],
    ["early.py", "collapse", "--runs", "2"],
    ["early.py", "rewards", "--runs", "2", "--first", "100"],
]


def studies(peer: str, quick: bool) -> list[list[str]]:
    """The shipped study, then with the training of the other side, by hand each."""
    common = ["study/compare.py", "--python", peer]
    if quick:
        return [[*common, "--n-trials", "3"]]
    return [
        common,
        [*common, "--recipe", "by-hand", "--set", "vae.precision=auto"],
        [*common, "--recipe", "by-hand"],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--peer", help="interpreter that has pyroVED")
    words = parser.parse_args()
    scripts = QUICK if words.quick else FULL
    if words.peer:
        scripts = [*scripts, *studies(words.peer, words.quick)]
    failed = []
    for name, *options in scripts:
        print(f"\n## {' '.join([name, *options])}\n", flush=True)
        start = time.perf_counter()
        done = subprocess.run([sys.executable, str(HERE / name), *options], check=False)  # noqa: S603
        print(f"\n{time.perf_counter() - start:.0f} s", flush=True)
        if done.returncode:
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
