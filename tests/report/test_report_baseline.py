"""What a report refuses before it does any work: a baseline that does not fit, a folder."""

from pathlib import Path

import numpy as np
import pytest

from tests.study.tiny import contents, stripes, write_study
from vaeopt.cli import main
from vaeopt.study.optimize import create, optimize


def refused(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert capsys.readouterr().err.splitlines() == [f"vaeopt: {line}"]


def test_a_study_is_no_baseline_of_itself(
    finished_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(finished_copy)
    assert main(["report", str(finished_copy), "--baseline", str(finished_copy)]) == 2
    refused(
        "--baseline: study 'tiny' is the study itself, or a copy of it; name another one, such as "
        "the same search with sampler 'random'",
        capsys,
    )
    assert contents(finished_copy) == before


def test_a_baseline_without_trials_is_refused(
    finished_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_study(tmp_path / "other")
    create(other)
    assert main(["report", str(finished_copy), "--baseline", str(other)]) == 2
    refused(
        "--baseline: study 'tiny' has no finished trial yet; run it with 'vaeopt optimize' first",
        capsys,
    )


def test_a_baseline_has_the_same_image(
    finished_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same, other = write_study(tmp_path / "same", seed=1), write_study(tmp_path / "other", seed=1)
    np.save(other / "image.npy", stripes(seed=1))
    for folder in (same, other):
        optimize(folder, n_trials=1)
    out = str(tmp_path / "out")
    assert main(["report", str(finished_copy), "--baseline", str(same), "--out", out]) == 0
    capsys.readouterr()
    assert main(["report", str(finished_copy), "--baseline", str(other), "--out", out]) == 2
    refused(
        "--baseline: study 'tiny' has another image than 'tiny', so their values do not compare; "
        "run a random search on the same image",
        capsys,
    )


def test_a_folder_that_cannot_be_made_is_named(
    finished_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "leads-nowhere"
    out.symlink_to(tmp_path / "gone")
    assert main(["report", str(finished_copy), "--out", str(out)]) == 2
    refused(f"--out: cannot write to {str(out)!r}: File exists; name another folder", capsys)


def test_a_full_disk_is_named(
    finished_copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert main(["report", str(finished_copy), "--out", str(finished_copy / "out")]) == 2
    refused(
        f"--out: cannot write to {str(finished_copy / 'out')!r}: No space left on device; name "
        "another folder",
        capsys,
    )
    assert list((finished_copy / "out").iterdir()) == []
