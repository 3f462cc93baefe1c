"""The front and the compromise, on studies made by hand."""

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.study.tiny import Direction, made_by_hand
from vaeopt.core.errors import StudyError
from vaeopt.study.fronts.pareto import (
    best,
    by_compromise,
    compromise,
    costs,
    feasible,
    finished,
    front,
    margin,
    pick,
)

MIN: Direction = "minimize"
MAX: Direction = "maximize"


def numbers(trials: list[optuna.trial.FrozenTrial]) -> list[int]:
    return [trial.number for trial in trials]


@pytest.mark.parametrize(
    ("directions", "expected"),
    [
        ([MIN, MIN], [0, 2]),
        ([MIN, MAX], [3, 1]),
        ([MAX, MIN], [1, 2]),
        ([MAX, MAX], [1]),
    ],
)
def test_the_front_follows_the_directions(directions: list[Direction], expected: list[int]) -> None:
    #                 0       1       2       3 (worse than 1 if both are maximised)
    values = [(1, 2), (4, 4), (2, 1), (1, 3)]
    assert numbers(front(made_by_hand(directions, values))) == expected


def test_a_front_of_one_objective_is_the_best_trial() -> None:
    study = made_by_hand([MAX], [(1,), (3,), (2,), (3,)])
    assert numbers(front(study)) == [1], "the earliest of equals"
    assert best(study).number == 1
    assert best(made_by_hand([MIN], [(1,), (3,), (0,)])).number == 2


def test_of_equal_trials_the_earliest_stands_for_all() -> None:
    study = made_by_hand([MIN, MAX], [(1, 1), (1, 1), (0, 0), (0, 0), (1, 1)])
    assert numbers(front(study)) == [2, 0]


def test_equal_in_one_objective_and_worse_in_the_other_is_dominated() -> None:
    assert numbers(front(made_by_hand([MIN, MIN], [(1, 2), (1, 1), (0, 2)]))) == [2, 1]


def test_collapsed_trials_neither_win_nor_dominate() -> None:
    values = [(0, 9), (1, 1), (2, 2), (3, 3)]
    study = made_by_hand([MIN, MAX], values, margins=[1e-9, 0.0, -1.0, 6.0])
    assert numbers(finished(study)) == [0, 1, 2, 3]
    assert numbers(feasible(study)) == [1, 2], "a margin of exactly 0 is feasible"
    assert numbers(front(study)) == [1, 2]
    assert [margin(t) for t in study.trials] == [1e-9, 0.0, -1.0, 6.0]


def test_a_trial_without_a_margin_is_feasible() -> None:
    assert numbers(feasible(made_by_hand([MIN], [(1,)]))) == [0]


def test_unfinished_trials_do_not_count() -> None:
    study = made_by_hand([MIN], [(5,)])
    study.enqueue_trial({})
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    study.ask()
    assert numbers(finished(study)) == numbers(front(study)) == [0]


def test_the_compromise_is_the_knee_worked_by_hand() -> None:
    # Scaled costs: (0, 1), (1/4, 1/4), (1, 0): augmented Chebyshev 1.05, .275, 1.05.
    study = made_by_hand([MIN, MAX], [(0, 10), (1, 40), (4, 50)])
    chosen = compromise(study)
    assert chosen is not None
    assert chosen.number == 1


def test_the_order_of_the_compromise_is_by_distance() -> None:
    # Scaled costs: (0, 1), (1/4, 1/4), (1, 0), (1/2, 1/2): 1.05, .275, 1.05, .55.
    study = made_by_hand([MIN, MAX], [(0, 10), (1, 40), (4, 50), (2, 30), (0, 99)], [0, 0, 0, 0, 1])
    assert numbers(by_compromise(study)) == [1, 3, 0, 2], "the earliest of equals first"
    assert by_compromise(made_by_hand([MIN], [])) == []


def test_the_compromise_scales_by_feasible_trials_only() -> None:
    # With the collapsed trial the first objective would be flat and trial 2 would win.
    values = [(0, 10), (1, 40), (4, 50), (1000, 0)]
    study = made_by_hand([MIN, MAX], values, margins=[-1, -1, -1, 1])
    chosen = compromise(study)
    assert chosen is not None
    assert chosen.number == 1


def test_a_constant_objective_does_not_decide() -> None:
    study = made_by_hand([MIN, MAX], [(7, 1), (7, 3), (7, 2)])
    assert best(study).number == 1


def test_costs_are_to_be_minimised() -> None:
    study = made_by_hand([MIN, MAX], [(1, 2), (3, -4)])
    assert costs(study, finished(study)).tolist() == [[1, -2], [3, 4]]
    assert costs(study, []).shape == (0, 2)


def test_without_a_feasible_trial_there_is_no_best() -> None:
    empty = made_by_hand([MIN, MAX], [])
    collapsed = made_by_hand([MIN], [(1,), (2,)], margins=[1, 2])
    assert front(empty) == front(collapsed) == []
    assert compromise(empty) is compromise(collapsed) is None
    with pytest.raises(StudyError, match="has no finished trial yet; run more trials"):
        best(empty)
    with pytest.raises(StudyError, match="has 2 trials, all collapsed; lower"):
        best(collapsed)


def test_trials_are_picked_by_number_or_as_best() -> None:
    study = made_by_hand([MIN], [(3,), (1,), (2,)])
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    assert pick(study, "best").number == 1
    assert pick(study, "2").number == 2
    for which, message in (
        ("3", "no finished trial 3 in study .*; finished trials run from 0 to 2"),
        ("99", "no finished trial 99"),
        ("-1", "'-1' is neither a number nor 'best'"),
        ("1.0", "neither a number"),
        ("Best", "neither a number"),
        ("", "neither a number"),
    ):
        with pytest.raises(StudyError, match=message):
            pick(study, which)
    with pytest.raises(StudyError, match="none is yet"):
        pick(made_by_hand([MIN], []), "0")


_directions = st.lists(st.sampled_from([MIN, MAX]), min_size=1, max_size=3)


@settings(deadline=None, max_examples=30)
@given(data=st.data(), directions=_directions)
def test_laws_of_the_front(data: st.DataObject, directions: list[Direction]) -> None:
    value = st.tuples(*[st.integers(0, 3)] * len(directions))
    values = data.draw(st.lists(value, max_size=8))
    margins = data.draw(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=8, max_size=8))
    study = made_by_hand(directions, values, margins)
    signs = [-1 if d == MAX else 1 for d in directions]
    cost = {t.number: [v * s for v, s in zip(t.values, signs, strict=True)] for t in study.trials}
    good = numbers(feasible(study))
    chosen = numbers(front(study))

    def beats(a: int, b: int) -> bool:
        return cost[a] != cost[b] and all(x <= y for x, y in zip(cost[a], cost[b], strict=True))

    assert [cost[i][0] for i in chosen] == sorted(cost[i][0] for i in chosen)
    assert len({tuple(cost[i]) for i in chosen}) == len(chosen)
    for i in good:
        if i in chosen:
            assert not any(beats(j, i) for j in good)
        else:
            assert any(beats(j, i) or (cost[j] == cost[i] and j < i) for j in good)
    middle = compromise(study)
    assert (middle is None) == (not good)
    assert middle is None or middle.number in chosen
