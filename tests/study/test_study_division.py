"""What each of several workers gets: its threads, and a GPU of its own."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.study.tiny import write_study
from vaeopt.core.errors import StudyError
from vaeopt.study.file import open_study
from vaeopt.study.optimize import optimize
from vaeopt.study.processes import division
from vaeopt.study.processes.division import divide
from vaeopt.workflow import Workflow

ON_CPU = {"density_filter": {"device": "cpu"}, "mixture": {"device": "cpu"}}


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve cores, three GPUs, nothing set."""
    for name in (*division._THREADS, "CUDA_VISIBLE_DEVICES", "SLURM_CPUS_PER_TASK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("joblib.cpu_count", lambda: 12)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)


def workflow(device: str = "cpu", **settings: Any) -> Workflow:
    stages = ("vae", "density_filter", "mixture", "bayesian")
    return Workflow().with_values({f"{stage}.device": device for stage in stages} | settings)


@pytest.mark.parametrize(("workers", "threads"), [(2, "6"), (5, "2"), (12, "1"), (50, "1")])
def test_cores_are_shared_out(workers: int, threads: str) -> None:
    shares = divide(workflow(), workers)
    assert len(shares) == workers
    assert all(share == dict.fromkeys(division._THREADS, threads) for share in shares)


def test_a_job_may_use_the_cores_that_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "4")
    assert divide(workflow(), 2)[0]["OMP_NUM_THREADS"] == "2"
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "99")
    assert divide(workflow(), 2)[0]["OMP_NUM_THREADS"] == "6"


def test_what_the_user_has_set_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert divide(workflow(), 2)[1]["OMP_NUM_THREADS"] == "3"
    assert divide(workflow(), 2)[1]["MKL_NUM_THREADS"] == "6"


@pytest.mark.parametrize(
    ("visible", "expected"),
    [(None, ["0", "1", "2"]), ("4,5,7", ["4", "5", "7"]), ("GPU-a,GPU-b,GPU-c", None)],
)
def test_each_worker_has_a_gpu_of_its_own(
    visible: str | None, expected: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    shares = divide(workflow("auto"), 3)
    assert [share["CUDA_VISIBLE_DEVICES"] for share in shares] == (
        expected or ["GPU-a", "GPU-b", "GPU-c"]
    )


def test_a_study_on_the_processor_is_not_told_of_gpus() -> None:
    assert not any("CUDA_VISIBLE_DEVICES" in share for share in divide(workflow(), 4))


def test_stages_after_training_may_share_a_gpu() -> None:
    shares = divide(workflow(**{"mixture.device": "auto"}), 4)
    assert [share["CUDA_VISIBLE_DEVICES"] for share in shares] == ["0", "1", "2", "0"]


def test_more_workers_than_gpus_are_refused_before_anything_starts(tmp_path: Path) -> None:
    folder = write_study(tmp_path)
    text = (folder / "study.toml").read_text().replace('device = "cpu"', 'device = "auto"')
    (folder / "study.toml").write_text(text)
    with pytest.raises(StudyError) as caught:
        optimize(folder, workers=4)
    assert str(caught.value) == (
        "--workers: 4 workers, but 3 GPUs; write --workers 3, and --trials-at-once N to fill a "
        "GPU with N trials"
    )
    assert not open_study(folder).database.exists()
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_a_gpu_that_is_named_cannot_be_that_of_all() -> None:
    message = "workflow.vae.device: 2 workers cannot all compute on 'cuda:1'; write 'cuda' or"
    with pytest.raises(StudyError) as caught:
        divide(workflow("cuda:1"), 2)
    assert str(caught.value).startswith(message)
