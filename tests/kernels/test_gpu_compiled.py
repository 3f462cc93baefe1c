"""The kernels compile for GPUs that are not here, and fit into them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vaeopt.kernels.training import gpu

pytest.importorskip("triton", reason="Triton is not installed")
_SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu" / "compiled.py"


def test_all_kernels_compile_for_an_h100_and_fit_into_it(tmp_path: Path) -> None:
    figures = tmp_path / "compiled.json"
    # In a process of its own: here they are interpreted.
    process = subprocess.run(  # noqa: S603  # our own script
        [sys.executable, str(_SCRIPT), "--quick", "--json", str(figures)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TRITON_CACHE_DIR": str(tmp_path / "cache")},
    )
    assert process.returncode == 0, process.stderr
    kernels = {row["kernel"]: row for row in json.loads(figures.read_text())["kernels"]}
    names = {"spatial.decode", "vanilla.decode", "encoder.forward", "encoder.backward"}
    assert set(kernels) == names | {"adam.adam"}
    for name in names:
        assert kernels[name]["matrix_instructions"] > 0
        # Spilled registers: once, an arrangement of warps made seven thousand bytes of them.
        assert kernels[name]["stack_bytes"] < 1000
    assert kernels["spatial.decode"]["shared_bytes"] <= gpu._SHARED_BYTES[True, 128]
    others = names - {"spatial.decode"}
    assert max(kernels[name]["shared_bytes"] for name in others) <= gpu._OTHERS_BYTES
