"""A study whose trials are asked for together trains them together, in the kernels of a GPU."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("triton", reason="Triton is not installed")

from tests.study.tiny import points, write_study
from vaeopt.kernels.training.gpu import program as program_module
from vaeopt.study.optimize import optimize


@pytest.mark.skipif(torch.cuda.is_available(), reason="the kernels are compiled here")
def test_trials_that_are_asked_for_together_share_a_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    program = program_module.Program

    def counted(members: Any, **words: Any) -> Any:
        made.append(len(members))
        return program(members, **words)

    monkeypatch.setattr(program_module, "Program", counted)
    done = {}
    for engine in ("triton", "reference"):
        folder = write_study(tmp_path / engine, vae=f'engine = "{engine}"', at_once=4, n_trials=6)
        done[engine] = points(optimize(folder).trials)
    assert sum(made) == 6
    assert max(made) > 1  # spatial ones together, vanilla ones together
    assert len(done["triton"]) == 6
    for (params, values), (others, expected) in zip(done["triton"], done["reference"], strict=True):
        assert params == others
        np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-4)
