"""Invariances as affine maps of coordinates: what each does, and in which order they act."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from vaeopt.stages.vae.invariances import Invariance, compose, known, ordered

PRIORS = {"rotation": 1.0, "translation": 0.1, "scale": 0.2}
CODES = torch.tensor(
    [[0.7, 1.5, -2.0, 0.5], [-1.2, 0.4, 0.3, -1.0], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64
)
GRID = np.random.default_rng(0).uniform(-1, 1, (9, 2))


def test_codes_stand_in_the_order_of_pyroved() -> None:
    own = [name for name, kind in known().items() if kind.__module__.startswith("vaeopt.")]
    assert own == ["rotation", "translation", "scale"]  # other tests may have added theirs
    assert ordered(["scale", "rotation"]) == ("rotation", "scale")


def test_coordinates_are_rotated_then_scaled_then_shifted() -> None:
    """pyroVED's g' = (g @ [[cos, sin], [-sin, cos]]) * (1 + scale) + shift, row vectors g."""
    linear, offset = compose(("rotation", "translation", "scale"), CODES, PRIORS)
    for i, (angle, down, left, scale) in enumerate(CODES.numpy()):
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        expected = (GRID @ turn) * (1 + 0.2 * scale) + 0.1 * np.array([down, left])
        np.testing.assert_allclose(
            GRID @ linear[i].numpy().T + offset[i].numpy(), expected, atol=1e-12
        )


def test_each_invariance_takes_its_own_codes() -> None:
    both, _ = compose(("rotation", "scale"), CODES[:, [0, 3]], PRIORS)
    all_of_them, _ = compose(("rotation", "translation", "scale"), CODES, PRIORS)
    np.testing.assert_allclose(both.numpy(), all_of_them.numpy(), atol=1e-12)


def test_no_invariance_changes_nothing() -> None:
    linear, offset = compose((), CODES[:, :0], PRIORS)
    np.testing.assert_array_equal(linear.numpy(), np.tile(np.eye(2), (3, 1, 1)))
    np.testing.assert_array_equal(offset.numpy(), np.zeros((3, 2)))


@pytest.mark.parametrize("kind", ["rotation", "translation", "scale"])
def test_the_prior_is_the_geometry_of_one_unit_of_code(kind: str) -> None:
    member = Invariance.of_kind(kind)
    codes = CODES[:, : member.n_codes]
    narrow, wide = ({**PRIORS, kind: sd} for sd in (0.1, 0.3))
    for got, expected in zip(
        compose((kind,), 3 * codes, narrow), compose((kind,), codes, wide), strict=True
    ):
        np.testing.assert_allclose(got.numpy(), expected.numpy(), atol=1e-12)


def test_a_rotation_keeps_distances() -> None:
    linear, _ = compose(("rotation",), CODES[:, :1], PRIORS)
    for matrix in linear.numpy():
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(2), atol=1e-12)
        assert np.linalg.det(matrix) == pytest.approx(1.0)


def test_an_invariance_that_acts_after_a_shift_moves_the_shift_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Invariance, "registry", dict(Invariance.registry))

    class Mirror(Invariance, kind="mirror"):
        """Swaps both axes, after everything else."""

        n_codes: ClassVar[int] = 1
        code_rank: ClassVar[int] = 9
        apply_rank: ClassVar[int] = 9
        default_prior_sd: ClassVar[float] = 1.0
        unit: ClassVar[str] = "none"

        @classmethod
        def affine(cls, amount: Tensor) -> tuple[Tensor, Tensor]:
            swap = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=amount.dtype)
            return swap.expand(len(amount), 2, 2), amount.new_zeros(len(amount), 2)

    codes = torch.cat([CODES[:, 1:3], CODES[:, :1]], dim=1)
    linear, offset = compose(("translation", "mirror"), codes, {**PRIORS, "mirror": 1.0})
    np.testing.assert_allclose(linear[0].numpy(), [[0, 1], [1, 0]])
    np.testing.assert_allclose(offset.numpy(), 0.1 * CODES[:, [2, 1]].numpy())
