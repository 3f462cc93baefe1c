"""Preferences on a finished front, on studies made by hand."""
# ruff: noqa: N802  # test vectors carry the names that they have in docs/semantics.md

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.study.tiny import Direction, made_by_hand
from vaeopt.core.errors import StudyError
from vaeopt.report.tables import best_frame
from vaeopt.study.attributes import IDENTITY
from vaeopt.study.fronts.chebyshev import chebyshev, scaled
from vaeopt.study.fronts.pareto import by_compromise, compromise, feasible, front
from vaeopt.study.fronts.preferences import distances, parse_weights, preferred, win_share
from vaeopt.study.quiet import name_metrics
from vaeopt.study.results.stored import RESCORED, stored_scores

MIN: Direction = "minimize"
MAX: Direction = "maximize"
KNEE = [(0, 10), (1, 40), (4, 50)]  # scaled costs (0, 1), (1/4, 1/4), (1, 0)


def numbers(trials: list[optuna.trial.FrozenTrial]) -> list[int]:
    return [trial.number for trial in trials]


def knee(margins: list[float] | None = None) -> optuna.Study:
    study = made_by_hand([MIN, MAX], KNEE, margins)
    name_metrics(study, ["fvu", "gain"])
    return study


def test_T15_chebyshev() -> None:
    f, v = np.asarray([0.2, 0.9, 0.4]), np.asarray([0.5, 0.3, 0.2])
    assert chebyshev(f, v, augmentation=0.0) == pytest.approx(0.27, abs=1e-12)
    assert chebyshev(f, v) == pytest.approx(0.2925, abs=1e-12)


def test_scaling_maps_the_extremes_and_forgets_what_is_constant() -> None:
    values = np.asarray([[1.0, 7.0], [3.0, 7.0], [2.0, 7.0]])
    assert scaled(values).tolist() == [[0, 0], [1, 0], [0.5, 0]]
    outside = scaled(np.asarray([[5.0, 9.0]]), values)
    assert outside.tolist() == [[2, 0]]


def test_distances_by_hand() -> None:
    # Weights 3 : 1 are 3/4 and 1/4. Trial 0: 1/4 + .05 / 4; trial 1: 3/16 + .05 / 4; trial 2: 3/4.
    far = distances(knee(), {"fvu": 3, "gain": 1})
    assert far == pytest.approx({0: 0.25 + 0.0125, 1: 0.1875 + 0.0125, 2: 0.75 + 0.0375})
    assert numbers(preferred(knee(), {"fvu": 3, "gain": 1})) == [1, 0, 2]


def test_only_the_proportion_of_weights_counts() -> None:
    study = knee()
    expected = distances(study, {"fvu": 1, "gain": 2})
    for factor in (1e-300, 1e-9, 7, 1e300):
        found = distances(study, {"fvu": factor, "gain": 2 * factor})
        assert found == pytest.approx(expected, rel=1e-9)


def test_a_weight_that_is_left_out_is_none_at_all() -> None:
    study = knee()
    assert numbers(preferred(study, {"gain": 1})) == [2, 1, 0]
    assert numbers(preferred(study, {"fvu": 1})) == [0, 1, 2]
    assert distances(study, {"gain": 1}) == distances(study, {"fvu": 0, "gain": 5})


def test_of_equals_in_what_counts_the_front_decides() -> None:
    study = made_by_hand([MIN, MIN], [(2, 1), (1, 1), (0, 3)])
    name_metrics(study, ["a", "b"])
    assert numbers(preferred(study, {"b": 1})) == [1, 2], "trial 0 is dominated"


def test_collapsed_trials_have_no_place() -> None:
    study = knee([1.0, -1.0, -1.0])
    assert set(distances(study, {"gain": 1})) == set(win_share(study)) == {1, 2}
    nothing = knee([1.0, 1.0, 1.0])
    assert distances(nothing, {"gain": 1}) == win_share(nothing) == {}
    assert preferred(nothing, {"gain": 1}) == []


def test_one_objective_is_ordered_by_its_value() -> None:
    study = made_by_hand([MAX], [(1,), (3,), (2,)])
    assert numbers(preferred(study, {"value_0": 2})) == numbers(by_compromise(study)) == [1, 2, 0]
    assert win_share(study) == {0: 0, 1: 1, 2: 0}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"gian": 1}, r"--weights: no objective 'gian'; did you mean 'gain'\?"),
        ({"gain": -1}, "--weights: the weight of 'gain' must be a number from 0, got -1"),
        ({"gain": float("nan")}, "must be a number from 0, got nan"),
        ({"gain": float("inf")}, "must be a number from 0, got inf"),
        ({"gain": 0, "fvu": 0.0}, "no weight is above 0"),
        ({}, "no weight is above 0"),
    ],
)
def test_weights_that_make_no_order_are_refused(weights: dict[str, float], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        distances(knee(), weights)


def test_weights_are_read_as_they_are_typed() -> None:
    names = ["gain", "icl(w=0.5)", "a,b", "gain=2"]
    assert parse_weights(" gain=1, a,b=2e-3 ", names) == {"gain": 1, "a,b": 0.002}
    assert parse_weights("icl(w=0.5)=+.5,gain=0", names) == {"icl(w=0.5)": 0.5, "gain": 0}
    assert parse_weights("gain=2=3", names) == {"gain=2": 3}, "the longest name is meant"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot understand ''; write name=number"),
        ("gain", "cannot understand 'gain'"),
        ("gain=", "cannot understand"),
        ("gain=much", "cannot understand"),
        ("gain=1.2.3", "cannot understand"),
        ("gain=nan", "cannot understand"),
        ("gain=1,", "cannot understand"),
        ("=1", "cannot understand"),
        ("gain=1;fvu=2", "cannot understand"),
        ("gain=1,gain=2", "'gain' has two weights"),
        ("gain=-1", "must be a number from 0, got -1"),
        ("gain=1e999", "must be a number from 0, got inf"),
        ("gain=0,fvu=0", "no weight is above 0"),
        ("rate=1", "no objective 'rate'; known: fvu, gain"),
    ],
)
def test_weights_that_cannot_be_read_are_refused(text: str, message: str) -> None:
    with pytest.raises(StudyError, match=f"^--weights: .*{message}"):
        parse_weights(text, ["fvu", "gain"])


def test_win_shares_by_hand() -> None:
    # Places (0, 1) and (1, 0): each wins where the other objective weighs less, one half of all.
    study = made_by_hand([MIN, MIN], [(0, 1), (1, 0), (2, 2)], margins=[0, 0, 1])
    share = win_share(study, draws=4000)
    assert share == pytest.approx({0: 0.5, 1: 0.5}, abs=0.04)
    assert win_share(study) == win_share(study), "the draws are fixed"


def test_a_knee_wins_for_most_preferences() -> None:
    share = win_share(knee())
    assert share[1] > share[0] > 0
    assert share[2] > 0
    assert sum(share.values()) == pytest.approx(1)


_values = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=8)


@settings(deadline=None, max_examples=25)
@given(values=_values, weights=st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)))
def test_laws_of_preferences(values: list[tuple[int, int]], weights: tuple[float, float]) -> None:
    study = made_by_hand([MIN, MAX], values)
    share = win_share(study, draws=50)
    assert sum(share.values()) == pytest.approx(1)
    on_front = set(numbers(front(study)))
    assert {number for number, won in share.items() if won > 0} <= on_front
    named = dict(zip(("value_0", "value_1"), weights, strict=True))
    far = distances(study, named)
    assert all(0 <= d <= 1.05 for d in far.values())
    order = preferred(study, named)
    assert set(numbers(order)) == on_front
    assert far[order[0].number] == pytest.approx(min(far.values())), "the nearest is on the front"
    equal = distances(study, {"value_0": 1, "value_1": 1})
    chosen = compromise(study)
    assert chosen is not None
    assert equal[chosen.number] == pytest.approx(min(equal.values())), "as the compromise has it"
    assert numbers(by_compromise(study))[0] == chosen.number
    assert set(numbers(by_compromise(study))) == set(numbers(feasible(study)))


# ---- stored scores -----------------------------------------------------------------------------


def scored() -> optuna.Study:
    """Three trials with a stored score that one of them lacks, and a re-scored one."""
    study = made_by_hand([MIN, MAX], [])
    name_metrics(study, ["fvu", "gain"])
    for i, values in enumerate(KNEE):
        held = None if i == 0 else {"value": float(i), "sd": 0.0, "n": 1}
        attrs = {"vaeopt:scores": {"rate": held}}
        study.add_trial(optuna.trial.create_trial(values=list(values), user_attrs=attrs))
    study.set_user_attr(IDENTITY, {"workflow": {"scores": [{"kind": "rate"}]}})
    values_of = {str(i): {"value": 10.0 - i, "sd": 0.0, "n": 1} for i in range(3)}
    held_now = {"reward": {"kind": "x"}, "direction": "maximize", "values": values_of}
    study.set_user_attr(RESCORED, {"x": held_now, "fvu": held_now})
    return study


def test_stored_scores_are_objectives_scores_and_what_was_computed_later() -> None:
    found = stored_scores(scored())
    assert {label: score.direction for label, score in found.items()} == {
        "fvu": "minimize",
        "gain": "maximize",
        "rate": "minimize",
        "x": "maximize",
    }
    assert found["fvu"].values == {0: 0, 1: 1, 2: 4}, "the value of the search counts"
    assert found["rate"].values == {1: 1, 2: 2}
    assert found["x"].values == {0: 10, 1: 9, 2: 8}


@pytest.mark.parametrize(
    ("label", "expected"),
    [("gain", [2, 1, 0]), ("fvu", [0, 1, 2]), ("rate", [1, 2, 0]), ("x", [0, 1, 2])],
)
def test_a_table_can_be_ordered_by_any_of_them(label: str, expected: list[int]) -> None:
    table = best_frame(scored(), order_by=label)
    assert table["trial"].tolist() == expected
    assert label in table.columns


def test_a_score_that_is_not_stored_is_named() -> None:
    with pytest.raises(StudyError, match=r"--order-by: .* holds no score 'icl'; .*vaeopt rescore'"):
        best_frame(scored(), order_by="icl")


def test_a_table_by_weights_shows_the_distance() -> None:
    table = best_frame(knee(), weights={"fvu": 3, "gain": 1})
    assert table["trial"].tolist() == [1, 0, 2]
    assert table["distance"].tolist() == pytest.approx([0.2, 0.2625, 0.7875])
    assert table["win_share"].tolist() == [win_share(knee())[i] for i in (1, 0, 2)]
    plain = best_frame(knee())
    assert "distance" not in plain
    assert plain["trial"].tolist() == [0, 1, 2]


def test_a_table_of_one_objective_has_no_win_share() -> None:
    study = made_by_hand([MAX], [(i,) for i in range(20)])
    table = best_frame(study, weights={"value_0": 1}, most=3)
    assert table["trial"].tolist() == [19, 18, 17]
    assert "win_share" not in table
