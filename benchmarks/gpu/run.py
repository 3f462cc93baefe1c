"""Everything about the GPU in one command: builds, checks and times all variants and the peer.

    python benchmarks/gpu/run.py [--only SECTION,...] [--seconds S] [--out FOLDER]
    python benchmarks/gpu/run.py --smoke          tiny sizes, on whatever there is
    python benchmarks/gpu/run.py --table [FILE...]  the tables of README.md from stored results

Every section is a process of its own with a time of its own, and writes each row at once into
``results/DEVICE.json`` (of ``FOLDER``): a run that is stopped keeps what it had, and one with other
sections adds to the file. ``--smoke`` writes ``smoke.json`` and never another file. ``--table``
first takes in result files from elsewhere. What each section measures stands in its module.
"""

import argparse
import datetime
import importlib
import json
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS, README = HERE / "results", HERE / "README.md"
# Most important first; seconds that each may take on one GPU. Two commands of under nine minutes:
# the first four, then the rest.
SECTIONS: dict[str, tuple[str, float]] = {
    "machine": ("machine", 40),
    "checks": ("checks", 150),
    "sweep": ("whole", 190),
    "peer": ("peer", 120),
    "steps": ("steps", 260),
    "equality": ("equality", 160),
    "scoring": ("scoring", 60),
}
_GRACE_S = 15.0  # to finish what is at work when the time of a section is over
_BEGIN, _END = "<!-- begin of tables -->", "<!-- end of tables -->"


def plan_for(smoke: bool) -> Any:
    """Sizes for this machine."""
    import torch
    from common import FULL, SMOKE

    if not smoke and not torch.cuda.is_available():
        sys.exit("no GPU is there: figures need one (--smoke shows that the script runs)")
    return SMOKE if smoke else FULL


def do_section(name: str, path: Path, seconds: float, smoke: bool) -> None:
    """The body of one process."""
    import torch
    from common import Section, Store

    plan = plan_for(smoke)
    torch.manual_seed(0)
    module = importlib.import_module(SECTIONS[name][0])
    section = Section(Store(path), name, seconds)
    section.attempt(name, lambda: module.run(plan, section))
    section.put(finished=True)


def run(names: list[str], folder: Path, seconds: float, smoke: bool) -> Path:
    """One process after the other; returns the file."""
    from common import Store
    from machine import machine_name

    plan = plan_for(smoke)
    device = machine_name(plan)
    slug = "smoke" if smoke else re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
    path = folder / f"{slug}.json"
    store = Store(path)
    began = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    store.head(device=device, smoke=smoke, host_processor=_processor(), last_run=began)
    end = time.monotonic() + seconds
    for name in names:
        Store(path).clear(name)
        share = min(SECTIONS[name][1], end - time.monotonic())
        if share < 5:
            Store(path).put(name, finished=False, error="no time was left")
            continue
        print(f"\n## {name}, {share:.0f} s", flush=True)
        _spawn(name, path, share, smoke)
    return path


def _spawn(name: str, path: Path, seconds: float, smoke: bool) -> None:
    from common import Store

    command = [sys.executable, str(Path(__file__)), "--section", name, str(path)]
    command += ["--seconds", f"{max(3.0, seconds - _GRACE_S):.1f}", *["--smoke"] * smoke]
    start, error = time.monotonic(), ""
    try:
        done = subprocess.run(command, check=False, timeout=seconds)  # noqa: S603
        if done.returncode:
            error = f"ended with {done.returncode}"
    except subprocess.TimeoutExpired:
        error = f"stopped after {seconds:.0f} s"
    values: dict[str, Any] = {"seconds": round(time.monotonic() - start, 1)}
    if error:
        print(f"{name}: {error}", flush=True)
        values |= {"finished": False, "error": error}
    Store(path).put(name, **values)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "")


def take_in(files: list[Path]) -> None:
    """Add sections of files from elsewhere to the stored ones of the same device."""
    RESULTS.mkdir(exist_ok=True)
    for file in files:
        fresh = json.loads(file.read_text(encoding="utf-8"))
        if fresh.get("smoke", True):
            sys.exit(f"{file}: tiny sizes are no results")
        path = RESULTS / file.name
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        sections = {**known.get("sections", {}), **fresh["sections"]}
        text = json.dumps({**known, **fresh, "sections": sections}, indent=1) + "\n"
        path.write_text(text, encoding="utf-8")


def write_tables() -> None:
    """Put the tables of all stored results between the marks of the page."""
    from tables import render

    stored = [json.loads(path.read_text(encoding="utf-8")) for path in _stored()]
    page = README.read_text(encoding="utf-8")
    before, after = page.split(_BEGIN)[0], page.split(_END)[1]
    text = f"{before}{_BEGIN}\n\n{render(stored)}\n\n{_END}{after}"
    README.write_text(text, encoding="utf-8")


def _stored() -> list[Path]:
    return sorted(path for path in RESULTS.glob("*.json") if path.stem != "smoke")


def wrong(results: dict[str, Any]) -> list[str]:
    """What a reader must hear of: sections that did not end, tests and curves that failed."""
    found = []
    for name, section in results["sections"].items():
        if not section.get("finished"):
            found.append(f"{name}: {section.get('error', 'not finished')}")
        found += [f"{name}: {row['what']}: {row['error']}" for row in section.get("failed", [])]
        left = [row["what"] for row in section.get("left_out", [])]
        found += [f"{name}: left out: {', '.join(left)}"] if left else []
        failed = section.get("tests", {}).get("which_failed", [])
        found += [f"{name}: failed test {test}" for test in failed]
        found += [
            f"{name}: losses of {row['model']}, {row['precision']} differ"
            for row in section.get("curves", [])
            if not row["agrees"]
        ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="SECTION,...", help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--seconds", type=float, default=1500, help="of all sections together")
    parser.add_argument("--out", type=Path, help="folder of the results")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes")
    parser.add_argument("--table", nargs="*", type=Path, metavar="FILE", help="only the tables")
    parser.add_argument("--section", nargs=2, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.section:
        name, file = words.section
        do_section(name, Path(file), words.seconds, words.smoke)
        return
    if words.table is not None:
        take_in(words.table)
        write_tables()
        return
    names = words.only.split(",") if words.only else list(SECTIONS)
    if unknown := [name for name in names if name not in SECTIONS]:
        parser.error(f"unknown section {unknown[0]!r}: one of {', '.join(SECTIONS)}")
    out = words.out or (Path(tempfile.mkdtemp()) if words.smoke else RESULTS)
    path = run(names, out, words.seconds, words.smoke)
    from tables import render

    results = json.loads(path.read_text(encoding="utf-8"))
    print(f"\n{render([results])}\n\n{path}")
    if troubles := wrong(results):
        sys.exit("\n".join(["", "not as it should be:", *troubles]))


if __name__ == "__main__":
    main()
