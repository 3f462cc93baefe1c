"""The shell of the page on clusters: understood by bash, and the database recipe really run."""

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.postgres import Postgres
from tests.study.tiny import untouched as untouched
from tests.study.tiny import write_study
from vaeopt.study.fronts.pareto import finished
from vaeopt.study.optimize import create, work
from vaeopt.study.storage import closed

PAGE = Path(__file__).parents[2] / "docs" / "cluster.md"
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.M | re.S)
BASH = shutil.which("bash") or ""

pytestmark = pytest.mark.skipif(not BASH, reason="no bash here")


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_bash_understands_every_block(block: str) -> None:
    done = subprocess.run([BASH, "-n"], input=block, capture_output=True, text=True, check=False)  # noqa: S603
    assert (done.returncode, done.stderr) == (0, "")


def test_the_job_script_ends_as_a_worker_and_gives_its_signals_to_it() -> None:
    (script,) = [block for block in BLOCKS if "#SBATCH" in block]
    lines = script.splitlines()
    assert lines[0] == "#!/bin/bash"
    options = [line for line in lines if line.startswith("#SBATCH")]
    assert lines[1 : 1 + len(options)] == options, "SLURM reads none behind the first command"
    assert lines[-1].startswith("exec vaeopt worker ")


def test_the_recipe_of_a_server_works(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = postgres._folder / "home"  # a place where the user of the server may write
    home.mkdir()
    who = postgres._as
    if who:
        shutil.chown(home, who["user"], who["group"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = os.environ | {
        "HOME": str(home),
        "PATH": f"{postgres._programs}:{os.environ['PATH']}",
    }
    environment.pop("PGPASSFILE", None)

    def bash(text: str) -> None:
        text = text.replace("$(hostname)", "localhost").replace("5433", port)
        with (home / "said").open("w") as said:
            done = subprocess.run(  # noqa: S603
                [BASH, "-euo", "pipefail"],
                input=text,
                text=True,
                cwd=home,
                env=environment,
                stdout=subprocess.DEVNULL,  # the server keeps it open
                stderr=said,
                timeout=120,
                check=False,
                **who,
            )
        assert done.returncode == 0, (home / "said").read_text()

    once, later, backup = _recipe()
    start, stop = later.splitlines()
    bash(once)
    try:
        url = (home / "my-study.url").read_text().strip()
        assert url == f"postgresql://vaeopt@localhost:{port}/vaeopt"
        secrets = home / ".pgpass"
        assert secrets.stat().st_mode & 0o777 == 0o600
        password = secrets.read_text().strip().rsplit(":", 1)[1]
        assert len(password) == 32
        monkeypatch.setenv("PGPASSFILE", str(secrets))
        folder = write_study(tmp_path, n_trials=2)
        assert create(folder, storage=url)[1]
        bash(backup.splitlines()[0])
        work(folder, storage=url)
        bash(stop)
        bash(start)
        bash(backup.splitlines()[1])
        study, made = create(folder, storage=url)
        assert not made
        assert not finished(study), "as it was when it was saved"
        closed(study._storage)
        monkeypatch.setenv("PGPASSFILE", os.devnull)
        with pytest.raises(Exception, match="password"):
            create(folder, storage=url)
    finally:
        bash(stop)


def _recipe() -> list[str]:
    return [block for block in BLOCKS if re.search(r"^(export PGDATA|pg_)", block, flags=re.M)]
