"""Is it right? The tests that need a GPU, and loss curves beside those of the processor."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from common import INVARIANCES, Plan, Section
from engines import paper_settings, train_together, trainer_name
from scene import paper_study, patches_of, ready

from vaeopt.core.types import Patches
from vaeopt.kernels.decoder import native

__all__ = ["LARGEST_DIFFERENCE", "run"]

_ROOT = Path(__file__).parents[2]
# Of losses, relative, in any epoch: sums are rounded otherwise, and steps carry it on.
LARGEST_DIFFERENCE = {"float32": 2e-3, "bf16": 1e-2}
_LEARNING_RATE, _PATCHES = 1e-3, 1000


def run(plan: Plan, section: Section) -> None:
    """Tests first; curves are compared even if some fail."""
    section.attempt("tests", lambda: section.put(tests=_tests(plan, section.left_s * 0.7)))
    with tempfile.TemporaryDirectory() as name:
        folder, n = Path(name), min(_PATCHES, plan.sweep_patches)
        size = plan.windows_px[0]
        session = ready(paper_study(folder, plan, n_points=n, windows_px=(size,)), folder)
        patches = patches_of(session, size)
        for model in INVARIANCES:
            if not section.has_time(f"curves of {model}"):
                continue
            section.attempt(f"curves of {model}", lambda model=model: _curves(
                plan, section, model, patches
            ))


def _tests(plan: Plan, seconds: float) -> dict[str, Any]:
    """Counts of everything that is marked as a test for a GPU."""
    # Files are named, because others may need packages that a GPU machine lacks.
    folder = _ROOT / "tests"
    files = sorted(p for p in folder.rglob("test_*.py") if "mark.gpu" in p.read_text("utf-8"))
    shown = [str(path.relative_to(_ROOT)) for path in files]
    if not files or plan.smoke:
        return {"files": shown, "ran": 0}
    with tempfile.TemporaryDirectory() as name:
        report = Path(name) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"]
        # Another release of a library may warn of what is to come.
        command += ["-W", "default", f"--junitxml={report}", *shown]
        environment = {**os.environ, "PYTHONPATH": _path()}
        try:
            done = subprocess.run(  # noqa: S603
                command, cwd=_ROOT, env=environment, timeout=max(30, seconds), check=False,
                capture_output=True, text=True,
            )
        except subprocess.TimeoutExpired:
            return {"files": shown, "ran": 0, "error": f"not finished after {seconds:.0f} s"}
        if not report.exists():
            return {"files": shown, "ran": 0, "error": (done.stdout + done.stderr)[-2000:]}
        return {"files": shown, **_counts(report)}


def _path() -> str:
    return os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def _counts(report: Path) -> dict[str, Any]:
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))  # noqa: S314  # our own
    found: dict[str, list[str]] = {"failure": [], "error": [], "skipped": []}
    for case in cases:
        for outcome, names in found.items():
            if case.find(outcome) is not None:
                names.append(f"{case.get('classname')}.{case.get('name')}")
    failed = found["failure"] + found["error"]
    passed = len(cases) - len(failed) - len(found["skipped"])
    return {
        "ran": len(cases) - len(found["skipped"]),
        "passed": passed,
        "failed": len(failed),
        "skipped": len(found["skipped"]),
        "which_failed": failed[:20],
    }


def _curves(plan: Plan, section: Section, model: str, patches: Patches) -> None:
    """Losses of the first epochs: the same draws on both devices, so the same curves."""
    engine = "native" if native.runs("float32") else "fast"
    epochs = plan.curve_epochs

    def curve(device: str, **changes: str) -> tuple[list[float], str]:
        settings = paper_settings(
            model, plan, device=device, epochs=epochs, learning_rate=_LEARNING_RATE, **changes
        )
        (vae,) = train_together([(settings, patches)], seed=7)
        return [float(loss) for loss in vae.loss_nats], trainer_name(settings, patches, device)

    reference, _ = curve("cpu", engine=engine)
    for precision in LARGEST_DIFFERENCE:
        losses, trainer = curve(plan.device, precision=precision)
        same = len(losses) == len(reference)
        apart = float(np.max(np.abs(np.divide(losses, reference) - 1))) if same else None
        section.row(
            "curves",
            {
                "model": model,
                "window_px": patches.size_px,
                "patches": len(patches),
                "precision": precision,
                "trainer": trainer,
                "beside": f"{engine} float32 on the processor",
                "epochs": epochs,
                "largest_difference": apart,
                "agrees": apart is not None and apart <= LARGEST_DIFFERENCE[precision],
                "first_and_last_loss_nats": [reference[0], reference[-1], losses[-1]],
            },
        )
