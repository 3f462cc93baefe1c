"""The dominated volume: against the number worked by hand, Monte Carlo and its laws."""
# ruff: noqa: N802  # test vectors carry the names that they have in docs/semantics.md

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.study.tiny import Direction, made_by_hand
from vaeopt.core.errors import StudyError
from vaeopt.core.types import Floats
from vaeopt.study.fronts.hypervolume import REFERENCE, hypervolume, hypervolume_history

MIN: Direction = "minimize"
MAX: Direction = "maximize"


def points_of(*rows: tuple[float, ...]) -> Floats:
    return np.asarray(rows, dtype=np.float64)


def test_T15_hypervolume() -> None:
    three = points_of((1, 5), (2, 3), (4, 1))
    assert hypervolume(three, np.asarray([6.0, 6.0])) == pytest.approx(17, abs=1e-12)


@pytest.mark.parametrize("dimension", [1, 2, 3, 4])
def test_one_point_dominates_a_box(dimension: int) -> None:
    point = np.full((1, dimension), 0.5)
    assert hypervolume(point, np.full(dimension, 2.0)) == pytest.approx(1.5**dimension)


def test_two_boxes_of_three_objectives_by_hand() -> None:
    # 1 x 2 x 3 and 3 x 2 x 1, both from the corner at (3, 3, 3): 6 + 6 - 1 x 2 x 1.
    both = points_of((2, 1, 0), (0, 1, 2))
    assert hypervolume(both, np.full(3, 3.0)) == pytest.approx(10)


@pytest.mark.parametrize("dimension", [1, 2, 3, 4])
def test_it_is_the_share_of_random_points_that_are_dominated(dimension: int) -> None:
    rng = np.random.default_rng(dimension)
    points = rng.uniform(size=(12, dimension))
    thrown = rng.uniform(size=(40_000, dimension))
    no_worse = np.asarray(points[None] <= thrown[:, None]).all(axis=2)
    dominated = float(np.mean(np.any(no_worse, axis=1)))
    # Four standard errors of a share of 40 000 are at most 0.01.
    assert hypervolume(points, np.ones(dimension)) == pytest.approx(dominated, abs=0.01)


def test_points_beyond_the_reference_add_nothing() -> None:
    reference = np.asarray([1.0, 1.0])
    assert hypervolume(points_of((0.5, 1.0), (2.0, 0.0), (1.0, 0.5)), reference) == 0
    assert hypervolume(np.zeros((0, 2)), reference) == 0


_place = st.integers(0, 5).map(lambda i: i / 4)


@settings(deadline=None, max_examples=40)
@given(data=st.data(), dimension=st.integers(1, 4))
def test_laws_of_the_hypervolume(data: st.DataObject, dimension: int) -> None:
    row = st.tuples(*[_place] * dimension)
    rows = data.draw(st.lists(row, min_size=1, max_size=6))
    reference = np.full(dimension, REFERENCE)
    points = points_of(*rows)
    whole = hypervolume(points, reference)
    order = data.draw(st.permutations(range(dimension)))
    assert 0 <= whole <= REFERENCE**dimension + 1e-12
    assert whole == pytest.approx(hypervolume(points[::-1][:, order], reference)), "symmetric"
    assert whole == pytest.approx(hypervolume(np.vstack([points, points]), reference))
    assert whole >= hypervolume(points[:-1], reference) - 1e-12, "a point never takes away"
    shifted = hypervolume(points * 2 + 3, reference * 2 + 3)
    assert shifted == pytest.approx(whole * 2**dimension), "a volume"


def test_a_history_by_hand() -> None:
    # Feasible extremes 0..4 and 0..2 (maximised): places (1, 1), (.5, .5), -, (0, 0), (.5, 1).
    values = [(4, 0), (2, 1), (9, 9), (0, 2), (2, 0)]
    study = made_by_hand([MIN, MAX], values, margins=[-1, -1, 1, -1, -1])
    assert hypervolume_history(study) == pytest.approx([0.01, 0.36, 0.36, 1.21, 1.21])


def test_a_history_of_one_objective_is_how_far_the_best_is() -> None:
    study = made_by_hand([MIN], [(3,), (1,), (2,), (0,)])
    assert hypervolume_history(study) == pytest.approx([0.1, 1.1 - 1 / 3, 1.1 - 1 / 3, 1.1])


def test_a_history_without_a_feasible_trial_stays_at_nothing() -> None:
    assert hypervolume_history(made_by_hand([MIN, MAX], [])).shape == (0,)
    assert hypervolume_history(made_by_hand([MIN], [(1,), (2,)], margins=[1, 1])).tolist() == [0, 0]


def test_a_history_never_falls_and_ends_at_the_front() -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(size=(30, 3))
    study = made_by_hand([MIN] * 3, values.tolist())
    history = hypervolume_history(study)
    low, high = values.min(axis=0), values.max(axis=0)
    assert (np.diff(history) >= 0).all()
    assert history[-1] == pytest.approx(
        hypervolume((values - low) / (high - low), np.full(3, REFERENCE))
    )


def test_a_baseline_is_measured_in_the_same_unit() -> None:
    """Alone each study fills its own unit square; together the worse one is seen to be worse."""
    good = made_by_hand([MIN, MIN], [(1, 2), (2, 1)])
    poor = made_by_hand([MIN, MIN], [(4, 5), (5, 4)])
    np.testing.assert_allclose(hypervolume_history(good), hypervolume_history(poor))
    # Scaled by 1..5 together: (0, .25), (.25, 0) against (.75, 1), (1, .75).
    np.testing.assert_allclose(hypervolume_history(good, poor), [1.1 * 0.85, 1.1 * 1.1 - 0.25**2])
    np.testing.assert_allclose(
        hypervolume_history(poor, good), [0.35 * 0.1, 0.35 * 0.1 + 0.1 * 0.25]
    )


def test_a_baseline_of_other_objectives_is_refused() -> None:
    two, other = made_by_hand([MIN, MIN], [(1, 2)]), made_by_hand([MIN, MAX], [(1, 2)])
    with pytest.raises(StudyError, match=r"--baseline: study .* has other objectives"):
        hypervolume_history(two, other)
