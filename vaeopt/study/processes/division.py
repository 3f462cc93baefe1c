"""What each of several processes on this machine gets: its share of the cores, and a GPU."""

import os

import joblib
import torch

from vaeopt.core.errors import StudyError
from vaeopt.workflow import Workflow, device_settings, expect_devices

__all__ = ["divide", "thread_share"]

# Each is read by some library when it is loaded.
_THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_VISIBLE = "CUDA_VISIBLE_DEVICES"


def divide(workflow: Workflow, workers: int) -> list[dict[str, str]]:
    """Environment variables of each worker: how many threads it may have, and which GPU.

    A number of threads that is set already is what the user wants of each process.

    Raises:
        StudyError: more workers than GPUs, or all would be on the same one.
        VaeoptError: a GPU is not there.
    """
    shares = thread_share(workers)
    gpus = _gpus(workflow, workers)
    return [
        shares if not gpus else {**shares, _VISIBLE: gpus[place % len(gpus)]}
        for place in range(workers)
    ]


def thread_share(workers: int) -> dict[str, str]:
    """Environment variables that give each of so many processes its share of the cores."""
    threads = str(max(1, _cores() // workers))
    return {name: os.environ.get(name, threads) for name in _THREADS}


def _cores() -> int:
    """Cores that this process may use: by its affinity, its control group and its SLURM job."""
    cores: int = joblib.cpu_count()
    granted = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return min(cores, int(granted)) if granted.isdecimal() and int(granted) else cores


def _gpus(workflow: Workflow, workers: int) -> list[str]:
    """GPUs that stages of the study compute on, named as a child process is told of them."""
    wishes = device_settings(workflow)
    expected = [path for path, found in expect_devices(workflow).items() if found.type == "cuda"]
    if not expected:
        return []
    for path in expected:
        if ":" in wishes[path]:
            raise StudyError(
                f"{workers} workers cannot all compute on {wishes[path]!r}",
                setting=f"workflow.{path}",
                remedy="write 'cuda' or 'auto': each then gets a GPU of its own",
            )
    visible = os.environ.get(_VISIBLE)
    count = torch.cuda.device_count()
    gpus = [str(i) for i in range(count)] if visible is None else visible.split(",")[:count]
    if "vae.device" in expected and workers > count:
        raise StudyError(
            f"{workers} workers, but {count} GPU{'s' if count > 1 else ''}",
            setting="--workers",
            remedy=f"write --workers {count}, and --trials-at-once N to fill a GPU with N trials",
        )
    return gpus
