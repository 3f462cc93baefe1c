"""What a user can get wrong: one line per mistake, status 2, nothing written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.mistakes import ALL, Bad
from tests.study.tiny import ONE, contents, write_study
from vaeopt.cli import main


def status_of(argv: list[str]) -> object:
    try:
        return main(argv)
    except SystemExit as left:
        return left.code


@pytest.mark.parametrize("bad", ALL, ids=lambda bad: bad.name)
def test_a_mistake_is_one_line_and_writes_nothing(
    bad: Bad, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_study(tmp_path / "s", **bad.pieces)
    bad.prepare(tmp_path)
    before = contents(tmp_path)
    capsys.readouterr()
    status = status_of(bad.command.split())
    out, err = capsys.readouterr()
    assert status == 2
    assert "Traceback" not in out + err
    assert "secret" not in out + err
    lines = err.splitlines()
    assert len(lines) == len(bad.lines), err
    for line, start in zip(lines, bad.lines, strict=True):
        assert line.startswith(f"vaeopt: {start}")
    assert contents(tmp_path) == before


UNFIT = [
    ("export {study} --trial 77 --out out", "no finished trial 77 in study 'tiny'; finished"),
    ("export {study} --trial last --out out", "--trial 'last' is neither a number nor 'best'"),
    ("replay {study} --trial 77", "no finished trial 77 in study 'tiny'; finished trials run from"),
    ("replay {study} --trial -1", "--trial '-1' is neither a number nor 'best'"),
    ("optimize {study} --storage {study}/image.npy", "optuna.storage: storage "),
    ("optimize {study} --storage sqlite:///{study}/image.npy", "optuna.storage: "),
    ("report {study} --out {study}/study.toml", "argument --out: "),
    ("best {study} --weights gian=1", "--weights: no objective 'gian'; did you mean 'gain'? ("),
    ("best {study} --weights gain", "--weights: cannot understand 'gain'; write name=number"),
    ("best {study} --weights gain=-1", "--weights: the weight of 'gain' must be a number from 0"),
    ("best {study} --weights gain=0", "--weights: no weight is above 0; prefer something"),
    ("best {study} --order-by icl", "--order-by: study 'tiny' holds no score 'icl'; known: "),
    ("rescore {study} --reward icx", "--reward.kind: unknown kind 'icx'; did you mean 'icl'? ("),
    ("rescore {study} --reward seed-ari", "--reward: trial 0 cannot give 'seed_ari': "),
    ("rescore {study} --reward icl --as tiny", "--as: study 'tiny' exists in this storage; "),
    (
        "dashboard {study} --port x",
        "argument --port: expected a port from 1 to 65535, got 'x'; 0 is any",
    ),
]


@pytest.mark.parametrize(
    ("command", "start"), UNFIT, ids=[c.split(" ", 1)[0] + str(i) for i, (c, _) in enumerate(UNFIT)]
)
def test_a_mistake_about_a_study_that_exists_leaves_it_alone(
    command: str, start: str, finished_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(finished_copy)
    assert status_of([part.format(study=finished_copy) for part in command.split()]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith(f"vaeopt: {start}")
    assert contents(finished_copy) == before


def test_a_database_of_another_study_of_that_name_is_refused(
    finished_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_study(tmp_path / "other", rewards=ONE, seed=9)
    before = contents(tmp_path)
    url = f"sqlite:///{finished_copy}/tiny.db"
    assert main(["optimize", str(other), "--storage", url]) == 2
    head, *lines = capsys.readouterr().err.splitlines()
    assert head.startswith("vaeopt: name: study 'tiny' was started with other settings; ")
    assert "vaeopt: seed: was 0, is 9" in lines
    assert contents(tmp_path) == before


def test_a_real_process_says_the_same(tmp_path: Path) -> None:
    bad = next(bad for bad in ALL if bad.name == "two mistakes")
    write_study(tmp_path / "s", **bad.pieces)
    before = contents(tmp_path)
    done = subprocess.run(  # noqa: S603  # this Python, on a folder of ours
        [sys.executable, "-m", "vaeopt", *bad.command.split()],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=90,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert [line.startswith(f"vaeopt: {s}") for line, s in zip(lines, bad.lines, strict=True)] == [
        True
    ] * len(lines)
    assert contents(tmp_path) == before
