"""Is it right? The tests that need a GPU, and loss curves beside those of the processor."""

import itertools
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
LARGEST_DIFFERENCE = {"float32": 5e-4, "bf16": 5e-3}
_PATCHES = 1000


def run(plan: Plan, section: Section) -> None:
    """Tests first; curves are compared even if some fail."""
    section.attempt("tests", lambda: section.put(tests=_tests(plan, section.left_s * 0.6)))
    with tempfile.TemporaryDirectory() as name:
        folder, n = Path(name), min(_PATCHES, plan.sweep_patches)
        windows = plan.windows_px[:2]
        session = ready(paper_study(folder, plan, n_points=n, windows_px=windows), folder)
        patches = [patches_of(session, size) for size in windows]
        section.attempt("curves", lambda: _curves(plan, section, patches))


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
                command,
                cwd=_ROOT,
                env=environment,
                timeout=max(30, seconds),
                check=False,
                capture_output=True,
                text=True,
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


def _curves(plan: Plan, section: Section, patches: list[Patches]) -> None:
    """Losses of the first epochs, all models and windows together: the same draws on both sides."""
    engine = "native" if native.runs("float32") else "fast"
    every = [(model, windows) for model in INVARIANCES for windows in patches]

    def curves(**changes: Any) -> tuple[list[Any], str]:
        asked = [
            (paper_settings(model, plan, epochs=plan.curve_epochs, **changes), windows)
            for model, windows in every
        ]
        vaes = train_together(asked, seed=7)
        return [vae.loss_nats for vae in vaes], trainer_name(*asked[0])

    reference, _ = curves(device="cpu", engine=engine)
    for device_engine, precision in itertools.product(("auto", "fast"), LARGEST_DIFFERENCE):

        def compare(words: tuple[str, str] = (device_engine, precision)) -> None:
            found, trainer = curves(engine=words[0], precision=words[1])
            for (model, windows), theirs, ours in zip(every, reference, found, strict=True):
                apart = float("inf")
                if len(ours) == len(theirs):  # else it has diverged
                    apart = float(np.max(np.abs(ours / theirs - 1)))
                section.row(
                    "curves",
                    {
                        "model": model,
                        "window_px": windows.size_px,
                        "patches": len(windows),
                        "engine": words[0],
                        "precision": words[1],
                        "trainer": trainer,
                        "beside": f"{engine} float32 on the processor",
                        "epochs": plan.curve_epochs,
                        "largest_difference": apart if np.isfinite(apart) else None,
                        "agrees": apart <= LARGEST_DIFFERENCE[words[1]],
                        "first_and_last_nats": [float(theirs[0]), float(theirs[-1])],
                    },
                )

        if section.has_time(f"curves of {device_engine}, {precision}"):
            section.attempt(f"curves of {device_engine}, {precision}", compare)
