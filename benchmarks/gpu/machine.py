"""The machine, and the two rates that floors are reckoned with."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Callable

import torch
from common import Plan, Section, interleaved, quartiles

__all__ = ["machine_name", "run"]

_QUERY = "name,driver_version,memory.total,clocks.max.sm,clocks.sm,clocks.mem"
_PACKAGES = ("torch", "triton", "numpy", "pyro-ppl", "pyroved", "optuna", "scikit-learn")


def machine_name(plan: Plan) -> str:
    """Of the GPU; of the processor where there is none."""
    if plan.cuda:
        return torch.cuda.get_device_name(torch.device(plan.device))
    return f"{platform.machine()} processor"


def run(plan: Plan, section: Section) -> None:
    """Describe, then measure products and a copy."""
    section.put(
        device=machine_name(plan),
        nvidia_smi=_nvidia_smi(),
        cores=os.cpu_count(),
        python=platform.python_version(),
        versions={name: _version(name) for name in _PACKAGES},
        cuda=torch.version.cuda,
    )
    if plan.cuda:
        properties = torch.cuda.get_device_properties(torch.device(plan.device))
        section.put(
            multiprocessors=properties.multi_processor_count,
            memory_bytes=properties.total_memory,
            l2_bytes=getattr(properties, "L2_cache_size", None),
        )
    for label, dtype, tf32 in (
        ("bf16", torch.bfloat16, False),
        ("tf32", torch.float32, True),
        ("float32", torch.float32, False),
    ):
        seconds = _timed(plan, section, _product(plan, dtype, tf32))
        n = plan.product_size
        section.row("products", {"precision": label, "size": n, **_rate(2.0 * n**3, seconds)})
    source = torch.randint(255, (plan.copy_bytes,), dtype=torch.uint8, device=plan.device)
    target = torch.empty_like(source)

    def copy() -> int:
        target.copy_(source)
        return 1

    seconds = _timed(plan, section, copy)
    section.row(
        "copies",
        {"bytes": plan.copy_bytes, "counts": "read and written"}
        | _rate(2.0 * plan.copy_bytes, seconds),
    )
    section.put(nvidia_smi_after=_nvidia_smi())


def _product(plan: Plan, dtype: torch.dtype, tf32: bool) -> Callable[[], int]:
    n = plan.product_size
    # Random numbers: zeros draw less power, and run faster than data does.
    a, b = torch.randn(2, n, n, device=plan.device).to(dtype)
    out = torch.empty_like(a)

    def work() -> int:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        torch.mm(a, b, out=out)
        torch.set_float32_matmul_precision(before)
        return 1

    return work


def _timed(plan: Plan, section: Section, work: Callable[[], int]) -> list[float]:
    return interleaved(plan, {"": work}, left=lambda: section.left_s)[""]


def _rate(amount: float, seconds: list[float]) -> dict[str, object]:
    """Per second: median, and quartiles from the slowest to the fastest."""
    return {"per_s": quartiles([amount / s for s in seconds]), "repeats": len(seconds)}


def _nvidia_smi() -> dict[str, str] | None:
    command = ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    words = done.stdout.splitlines()[0].split(", ")
    return dict(zip(_QUERY.split(","), words, strict=True))


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
