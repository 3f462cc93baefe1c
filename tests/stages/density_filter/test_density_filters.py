"""Density filters: how many points stay, which, and that nothing but their density decides."""
# ruff: noqa: N802  # test vectors carry the names that they have in docs/semantics.md

import numpy as np
import pytest

from vaeopt.core.errors import SettingsError
from vaeopt.stages.density_filter import DensityFilter
from vaeopt.stages.density_filter.everything import Everything
from vaeopt.stages.density_filter.quantile import Quantile
from vaeopt.stages.density_filter.relative import PaperLiteral, Relative

T12 = np.array([(0, 0), (0.02, 0), (0, 0.03), (0.5, 0.5), (0.52, 0.5), (2, 2)])
CLOUD = np.random.default_rng(0).normal(size=(200, 2))


@pytest.mark.parametrize(
    ("drop", "n", "kept"),
    [
        (0.1, 10, 9),
        (0.1, 11, 10),
        (0.1, 1500, 1350),
        (0.1, 1, 1),
        (0.3, 10, 7),
        (0.43, 100, 57),  # in binary .57 * 100 > 57
        (0.0, 10, 10),
        (0.95, 10, 1),
    ],
)
def test_the_number_kept_is_fixed(drop: float, n: int, kept: int) -> None:
    assert Quantile(drop=drop).count(n) == kept
    assert Quantile(drop=drop)(np.random.default_rng(0).normal(size=(n, 2))).sum() == kept


def test_ties_go_to_the_lower_index() -> None:
    """100 points at two places: all of the crowded one stay, and the first of the other."""
    crowded = np.random.default_rng(0).random(100) < 0.6
    kept = Quantile(drop=0.2)(np.where(crowded, 0.0, 1.0)[:, None])
    others = np.flatnonzero(~crowded)
    expected = crowded.copy()
    expected[others[: 80 - crowded.sum()]] = True
    np.testing.assert_array_equal(kept, expected)
    assert 0 < kept[others].sum() < len(others)


def test_the_number_kept_is_fixed_also_for_degenerate_latents() -> None:
    for z in (CLOUD * [1.0, 0.0], np.repeat(CLOUD[:20], 10, axis=0), np.zeros((200, 2))):
        assert Quantile()(z).sum() == 180


def test_the_sparsest_points_are_dropped() -> None:
    z = CLOUD.copy()
    outliers = [3, 50, 199]
    z[outliers] = [(30, 0), (0, -40), (25, 25)]
    kept = Quantile(drop=3 / 200)(z)
    assert np.flatnonzero(~kept).tolist() == outliers


def test_the_unit_of_a_latent_does_not_matter() -> None:
    np.testing.assert_array_equal(Quantile()(CLOUD * [1000.0, 1e-3] + 7.0), Quantile()(CLOUD))


@pytest.mark.parametrize(
    "density_filter", [Quantile(), Relative(bandwidth=0.3, threshold=0.3)], ids=lambda f: f.kind
)
def test_the_order_of_points_does_not_matter(density_filter: DensityFilter) -> None:
    order = np.random.default_rng(1).permutation(200)
    kept = density_filter(CLOUD)
    np.testing.assert_array_equal(density_filter(CLOUD[order]), kept[order])
    assert 0 < kept.sum() < 200


def test_a_whole_drop_is_refused() -> None:
    with pytest.raises(SettingsError, match="drop"):
        Quantile(drop=1.0)


# ---- relative to the densest place


@pytest.mark.parametrize(
    ("threshold", "kept"),
    [
        (0.05, [0, 1, 2, 3, 4, 5]),
        (0.5, [0, 1, 2, 3, 4]),
        (0.8, [0, 1, 2]),
        (1.0, [0]),
        (0.0, range(6)),
    ],
)
def test_T12_points_are_kept_above_a_share_of_the_greatest_density(
    threshold: float, kept: list[int]
) -> None:
    assert np.flatnonzero(Relative(threshold=threshold)(T12)).tolist() == list(kept)


def test_T12_the_paper_taken_literally_keeps_two_points() -> None:
    assert np.flatnonzero(PaperLiteral()(T12)).tolist() == [0, 1]


def test_the_paper_taken_literally_has_both_spellings() -> None:
    assert DensityFilter.from_table("paper_literal") == DensityFilter.from_table("paper-literal")


def test_the_relative_filter_looks_at_raw_latents() -> None:
    assert Relative(threshold=0.5)(T12).sum() == 5
    assert Relative(threshold=0.5)(T12 * 0.01).sum() == 6


def test_a_point_too_far_for_any_density_is_dropped() -> None:
    kept = Relative()(np.vstack([np.zeros((50, 2)), [(1e6, 0.0)]]))
    assert np.flatnonzero(~kept).tolist() == [50]


def test_what_a_relative_filter_promises_is_a_setting() -> None:
    assert Relative().count(101) == 51
    assert Relative(least_kept=0.25).count(100) == 25
    assert PaperLiteral().count(1000) == 20


# ---- none


def test_without_a_filter_everything_stays() -> None:
    assert Everything()(CLOUD).all()
    assert Everything().count(200) == 200
    assert DensityFilter.from_table("none") == Everything()
