"""How far repeated trainings can be trusted: laws, and numbers worked by hand."""

import math

import numpy as np
import pytest

from vaeopt.study.fronts.ranking import (
    intraclass_correlation,
    mean_kendall_tau,
    runs_needed,
    share_of_best,
)


def test_seeds_that_rank_alike_agree_and_reversed_ones_do_not() -> None:
    assert mean_kendall_tau(np.asarray([[1, 10], [2, 20], [3, 30.0]])) == pytest.approx(1)
    assert mean_kendall_tau(np.asarray([[1, 30], [2, 20], [3, 10.0]])) == pytest.approx(-1)


def test_kendall_by_hand() -> None:
    # Of three pairs the second seed swaps one: tau = (2 - 1) / 3. The third is the first again.
    table = np.asarray([[1, 2, 1], [2, 1, 2], [3, 3, 3.0]])
    assert mean_kendall_tau(table) == pytest.approx((1 / 3 + 1 + 1 / 3) / 3)


def test_kendall_compares_what_both_seeds_have() -> None:
    nan = math.nan
    table = np.asarray([[1, 1], [2, 2], [3, nan], [nan, 0]])
    assert mean_kendall_tau(table) == pytest.approx(1)


def test_kendall_of_too_little_is_unknown() -> None:
    for table in (
        np.zeros((3, 1)),
        np.asarray([[1.0, 2.0]]),
        np.asarray([[1.0, 5.0], [2.0, 5.0]]),
        np.zeros((0, 0)),
    ):
        assert math.isnan(mean_kendall_tau(table))


def test_icc_by_hand() -> None:
    # Means 2 and 6; within (2 + 2) / 2 = 2; between 2 (4 + 4) / 1 = 16; s_b^2 = (16 - 2) / 2 = 7.
    groups = [np.asarray([1.0, 3.0]), np.asarray([5.0, 7.0])]
    assert intraclass_correlation(groups) == pytest.approx(7 / 9)


def test_icc_of_unequal_groups_by_hand() -> None:
    # Sizes 1 and 3, means 0 and 2, grand 1.5: within 2 / 2 = 1, between 2.25 + .75 = 3,
    # common size (4 - 10 / 4) / 1 = 1.5, s_b^2 = 2 / 1.5.
    groups = [np.asarray([0.0]), np.asarray([1.0, 2.0, 3.0]), np.zeros(0)]
    assert intraclass_correlation(groups) == pytest.approx((4 / 3) / (4 / 3 + 1))


def test_icc_lies_between_its_extremes() -> None:
    no_noise = [np.asarray([1.0, 1.0]), np.asarray([2.0, 2.0])]
    no_difference = [np.asarray([1.0, 3.0]), np.asarray([3.0, 1.0])]
    assert intraclass_correlation(no_noise) == 1
    assert intraclass_correlation(no_difference) == 0, "a negative variance counts as none"


def test_icc_recovers_the_variances_it_was_drawn_with() -> None:
    rng = np.random.default_rng(0)
    groups = [rng.normal(rng.normal(0, 2), 1, 5) for _ in range(2000)]
    assert intraclass_correlation(groups) == pytest.approx(0.8, abs=0.02)


def test_icc_of_too_little_is_unknown() -> None:
    one, equal = np.asarray([1.0, 2.0]), np.ones(2)
    for groups in ([], [one], [one[:1], one[1:]], [equal, equal]):
        assert math.isnan(intraclass_correlation(groups))


def test_shares_of_best() -> None:
    clear = [np.asarray([0.0, 0.1]), np.asarray([5.0, 6.0]), np.asarray([5.0, 7.0])]
    assert share_of_best(clear).tolist() == [1, 0, 0]
    same = np.asarray([1.0, 2.0, 3.0])
    assert share_of_best([same, same], draws=4000) == pytest.approx([0.5, 0.5], abs=0.04)
    equal = np.ones(2)
    assert share_of_best([equal, equal, equal]) == pytest.approx([1 / 3] * 3), "ties are split"


def test_shares_sum_to_one_and_repeat() -> None:
    rng = np.random.default_rng(1)
    groups = [rng.normal(size=n) for n in (1, 3, 5)]
    first = share_of_best(groups)
    assert first.sum() == pytest.approx(1)
    assert np.array_equal(first, share_of_best(groups))
    assert not np.array_equal(first, share_of_best(groups, seed=1))


def test_a_share_by_hand() -> None:
    # Means of two draws from (0, 4): 0, 2, 4 with 1/4, 1/2, 1/4; against the constant 1.
    groups = [np.asarray([0.0, 4.0]), np.asarray([1.0])]
    assert share_of_best(groups, draws=20_000) == pytest.approx([0.25, 0.75], abs=0.015)


def test_runs_needed_by_hand() -> None:
    assert runs_needed(1.0, 1.0) == 8, "2 x 1.96^2 = 7.68"
    assert runs_needed(1.0, -2.0) == 2
    assert runs_needed(1.0, 100.0) == runs_needed(0.0, 1.0) == 1
    assert runs_needed(1.0, 0.0) is None
