"""Leaders trained again: what is trained, what is never trained twice, what is said of it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

import vaeopt as vo
from tests.study.tiny import ONE, Direction, Halt, ctrl_c, made_by_hand, write_study
from vaeopt.core.errors import StudyError
from vaeopt.core.seeds import Seeds
from vaeopt.report.tables import confirm_frame, confirm_lines, format_frame
from vaeopt.study.attributes import FAILURE, IDENTITY, INTERRUPTED, WORKER
from vaeopt.study.file import open_study
from vaeopt.study.fronts.pareto import by_compromise, finished, margin
from vaeopt.study.processes.process import worker_name
from vaeopt.study.results import confirm as module
from vaeopt.study.results.confirm import CONFIRM, SEED_INDEX, SOURCE, confirm, leaders_of
from vaeopt.study.results.confirmation import DISTANCE, Confirmation, Leader, rank
from vaeopt.study.results.records import restore, settings_of
from vaeopt.study.results.replay import retrain
from vaeopt.study.session import prepare
from vaeopt.workflow import rewards_of

MIN: Direction = "minimize"
MAX: Direction = "maximize"
COLLAPSED = '{ kind = "variance-product", minimum = 1e9 }'


def again_of(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name="tiny-confirm", storage=f"sqlite:///{folder}/tiny.db")


def keys(trials: list[optuna.trial.FrozenTrial]) -> list[tuple[int, int]]:
    return [(t.user_attrs[SOURCE], t.user_attrs[SEED_INDEX]) for t in trials]


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Confirmation]:
    """A study with its leaders trained again; to be read."""
    folder = write_study(tmp_path_factory.mktemp("confirmed"), n_trials=4)
    vo.optimize(folder)
    return folder, confirm(folder, top=2, seeds=2)


# ---- the second study --------------------------------------------------------------------------


def test_leaders_are_trained_with_fresh_seeds(confirmed: tuple[Path, Confirmation]) -> None:
    folder, _ = confirmed
    source, again = vo.load_study(folder), again_of(folder)
    leaders = by_compromise(source)[:2]
    assert keys(again.trials) == [(t.number, seed) for seed in (0, 1) for t in leaders]
    assert again.directions == source.directions
    assert again.metric_names == source.metric_names
    session = prepare(open_study(folder))
    for trial in again.trials:
        leader = source.trials[trial.user_attrs[SOURCE]]
        assert trial.state == TrialState.COMPLETE
        assert trial.params == leader.params
        assert trial.distributions == leader.distributions
        assert trial.values != leader.values, "another seed gives another value"
        seeds = Seeds(0, leader.number).replicate(1000 + trial.user_attrs[SEED_INDEX])
        run = retrain(session, settings_of(leader), seeds)
        assert list(rewards_of(settings_of(leader), run).values()) == trial.values
        assert run.collapse.margin == margin(trial)
        kept = restore(trial, session)
        assert list(rewards_of(settings_of(trial), kept).values()) == trial.values


def test_the_search_keeps_its_trials_and_gets_a_summary(
    confirmed: tuple[Path, Confirmation],
) -> None:
    folder, result = confirmed
    source = vo.load_study(folder)
    assert len(source.trials) == 4
    assert source.user_attrs[CONFIRM] == json.loads(json.dumps(result.to_table(), allow_nan=False))
    assert set(source.user_attrs) == {"vaeopt:identity", CONFIRM}


def test_the_summary_says_what_the_trainings_say(confirmed: tuple[Path, Confirmation]) -> None:
    folder, result = confirmed
    source, again = vo.load_study(folder), again_of(folder)
    assert [ranking.label for ranking in result.rankings] == ["fvu_core", "gain", DISTANCE]
    assert [ranking.direction for ranking in result.rankings] == [MIN, MAX, MIN]
    for i, ranking in enumerate(result.rankings[:2]):
        for one in ranking.standings:
            values = [
                t.values[i]
                for t in again.trials
                if t.user_attrs[SOURCE] == one.trial and margin(t) <= 0
            ]
            assert one.search == source.trials[one.trial].values[i]
            assert (one.mean, one.sd) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
            assert one.n == len(values)
    assert result.winner == result.overall.order[0].trial


def test_what_was_trained_is_never_trained_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_study(tmp_path, n_trials=3)
    source = vo.optimize(folder)
    order = [t.number for t in by_compromise(source)]
    confirm(folder, top=1, seeds=1)
    confirm(folder, top=2, seeds=2)
    expected = [(order[0], 0), (order[1], 0), (order[0], 1), (order[1], 1)]
    assert keys(again_of(folder).trials) == expected
    whole = again_of(folder).trials
    with monkeypatch.context() as patch:
        patch.setattr(module, "retrain", broken)
        less = confirm(folder, top=1, seeds=1)
        same = confirm(folder, top=2, seeds=2)
    assert again_of(folder).trials == whole
    assert [one.trial for one in less.overall.standings] == order[:1]
    assert less.overall.standings[0].n == 2, "what is there is used"
    assert same.failed == 0


def broken(*_: object, **__: object) -> Any:
    raise RuntimeError("no luck")


@pytest.mark.parametrize("cut", [0, 1, 3])
def test_an_interrupted_call_goes_on_to_the_same_end(
    cut: int, tmp_path: Path, confirmed: tuple[Path, Confirmation]
) -> None:
    whole, expected = confirmed
    folder = write_study(tmp_path, n_trials=4)
    vo.optimize(folder)
    with pytest.raises(KeyboardInterrupt):
        confirm(folder, top=2, seeds=2, progress=Halt(cut, ctrl_c))
    stopped = again_of(folder).trials
    assert [t.state for t in stopped] == [TrialState.COMPLETE] * cut + [TrialState.FAIL]
    assert stopped[-1].user_attrs[INTERRUPTED] is True
    assert confirm(folder, top=2, seeds=2) == expected
    found, reference = finished(again_of(folder)), finished(again_of(whole))
    assert [(k, t.values) for k, t in zip(keys(found), found, strict=True)] == [
        (k, t.values) for k, t in zip(keys(reference), reference, strict=True)
    ]


def test_a_training_of_a_dead_process_is_done_again(tmp_path: Path) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=2)
    vo.optimize(folder)
    confirm(folder, top=1, seeds=1)
    again = again_of(folder)
    (done,) = again.trials
    dead = again.ask(fixed_distributions=dict(done.distributions))
    for key, value in ((WORKER, "here:1:0"), (SOURCE, done.user_attrs[SOURCE]), (SEED_INDEX, 1)):
        dead.set_user_attr(key, value)
    confirm(folder, top=1, seeds=2)
    again = again_of(folder)
    assert [t.state.name for t in again.trials] == ["COMPLETE", "RUNNING"], "of another host"

    dead.set_user_attr(WORKER, f"{worker_name().rsplit(':', 2)[0]}:1:0")
    confirm(folder, top=1, seeds=2)
    again = again_of(folder)
    assert [t.state.name for t in again.trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert keys(finished(again)) == [(done.user_attrs[SOURCE], seed) for seed in (0, 1)]


def test_of_two_processes_that_ask_at_once_one_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=1)
    vo.optimize(folder)
    confirm(folder, seeds=1)
    taken = module._taken
    # Nothing is seen before the claim, as if the other one had come between.
    monkeypatch.setattr(
        module, "_taken", lambda again, before=None: taken(again, before) if before else set()
    )
    monkeypatch.setattr(module, "finished", lambda again: [])
    monkeypatch.setattr(module, "retrain", broken)
    confirm(folder, seeds=1)
    first, second = again_of(folder).trials
    assert (first.state, second.state) == (TrialState.COMPLETE, TrialState.FAIL)
    assert FAILURE not in second.user_attrs


def test_a_training_that_fails_is_counted_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=2)
    vo.optimize(folder)
    with monkeypatch.context() as patch:
        patch.setattr(module, "retrain", broken)
        result = confirm(folder, top=2, seeds=1)
    assert (result.failed, result.winner) == (2, None)
    assert [t.user_attrs[FAILURE]["message"] for t in again_of(folder).trials] == ["no luck"] * 2
    result = confirm(folder, top=2, seeds=1)
    assert result.failed == 0
    assert result.winner is not None
    assert [t.state.name for t in again_of(folder).trials] == ["FAIL"] * 2 + ["COMPLETE"] * 2


def test_replicates_of_the_search_are_one_training_here(tmp_path: Path) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=1, search="")
    text = (
        (folder / "study.toml").read_text().replace("[workflow]\n", "[workflow]\nreplicates = 2\n")
    )
    (folder / "study.toml").write_text(text)
    vo.optimize(folder)
    confirm(folder, seeds=1)
    (trial,) = again_of(folder).trials
    assert settings_of(trial).replicates == 1
    assert restore(trial, prepare(open_study(folder))).replicates == ()


def test_a_changed_study_is_not_confirmed(tmp_path: Path) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=1)
    vo.optimize(folder)
    text = (folder / "study.toml").read_text()
    (folder / "study.toml").write_text(text.replace("width = 8", "width = 9"))
    with pytest.raises(StudyError, match=r"started with other settings: workflow.vae.width"):
        confirm(folder)
    names = optuna.get_all_study_names(f"sqlite:///{folder}/tiny.db")
    assert names == ["tiny"]


@pytest.mark.parametrize("what", ["trial", "identity", "directions"])
def test_a_second_study_of_somebody_else_is_left_alone(what: str, tmp_path: Path) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=1)
    vo.optimize(folder)
    other = optuna.create_study(
        study_name="tiny-confirm",
        storage=f"sqlite:///{folder}/tiny.db",
        direction="maximize" if what == "directions" else "minimize",
    )
    if what == "trial":
        other.add_trial(optuna.trial.create_trial(value=1.0))
    if what == "identity":
        other.set_user_attr(IDENTITY, {})
    before = other.trials, other.user_attrs
    with pytest.raises(StudyError, match="'tiny-confirm' in the same storage does not belong to"):
        confirm(folder)
    assert (again_of(folder).trials, again_of(folder).user_attrs) == before


def test_a_second_study_of_other_settings_is_refused(tmp_path: Path) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=1)
    vo.optimize(folder)
    confirm(folder, seeds=1)
    again = again_of(folder)
    again.set_user_attr(IDENTITY, again.user_attrs[IDENTITY] | {"seed": 5})
    with pytest.raises(StudyError, match=r"'tiny-confirm' was started with other .*seed: was 5"):
        confirm(folder)


def test_a_second_study_that_was_cut_off_when_it_was_made_is_taken_over(tmp_path: Path) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=1)
    vo.optimize(folder)
    optuna.create_study(study_name="tiny-confirm", storage=f"sqlite:///{folder}/tiny.db")
    confirm(folder, seeds=1)
    assert (again_of(folder).metric_names, len(again_of(folder).trials)) == (["fvu_core"], 1)


def test_without_a_feasible_trial_there_is_nothing_to_confirm(tmp_path: Path) -> None:
    folder = write_study(tmp_path, rewards=ONE, latent_filter=COLLAPSED, n_trials=1)
    vo.optimize(folder, timeout_s=1e-9)
    with pytest.raises(StudyError, match="has no finished trial yet"):
        confirm(folder)
    vo.optimize(folder)
    with pytest.raises(StudyError, match="has 1 trials, all collapsed"):
        confirm(folder)


# ---- who is confirmed --------------------------------------------------------------------------


def study_with(params: list[int], values: list[tuple[float, ...]]) -> optuna.Study:
    study = made_by_hand([MIN] * len(values[0]), [])
    distribution = optuna.distributions.IntDistribution(0, 9)
    for x, value in zip(params, values, strict=True):
        study.add_trial(
            optuna.trial.create_trial(
                values=list(value), params={"x": x}, distributions={"x": distribution}
            )
        )
    return study


def test_leaders_are_the_best_of_different_parameters() -> None:
    study = study_with([1, 2, 1, 3, 2], [(3,), (1,), (2,), (9,), (0,)])
    assert [t.number for t in leaders_of(study)] == [4, 2, 3]
    assert [t.number for t in leaders_of(study, top=2)] == [4, 2]


def test_leaders_may_be_the_front() -> None:
    study = study_with([1, 2, 3, 4], [(0, 9), (1, 1), (2, 2), (9, 0)])
    assert [t.number for t in leaders_of(study, top=1)] == [1]
    assert [t.number for t in leaders_of(study, top=1, on_front=True)] == [1, 0, 3]
    assert [t.number for t in leaders_of(study, top=2)] == [1, 2], "beaten, but near the ideal"


# ---- what is said ------------------------------------------------------------------------------


def leader(trial: int, search: float, *fresh: float, collapsed: int = 0) -> Leader:
    values = {seed: {"gain": value} for seed, value in enumerate(fresh)}
    return Leader(trial, {"gain": search}, values, collapsed)


def said(*leaders: Leader) -> Confirmation:
    return Confirmation("s-confirm", (rank("gain", MAX, leaders),), 0)


def test_a_ranking_by_hand() -> None:
    found = said(leader(7, 9.0, 1.0, 3.0), leader(4, 8.0, 5.0, 7.0)).overall
    first, second = found.order
    assert (first.trial, first.mean, first.n) == (4, 6, 2)
    assert (second.trial, second.mean) == (7, 2)
    assert first.sd == second.sd == pytest.approx(2**0.5)
    assert (first.share_best, second.share_best) == (1, 0)
    assert found.kendall_tau == 1
    assert found.icc == pytest.approx(7 / 9)
    assert found.runs_needed == 1, "2 (1.96 sqrt 2 / 4)^2 = 0.96"


def test_a_winner_that_is_not_that_of_the_search_is_named() -> None:
    assert said(leader(7, 9.0, 1.0, 3.0), leader(4, 8.0, 5.0, 7.0)).sentence == (
        "trial 4 wins: gain 6 over 2 re-trainings; trial 7, which won the search, comes in at "
        "place 2; it is the best in 100 % of bootstrap draws, and the trainings are enough to "
        "tell it from trial 7"
    )


def test_a_winner_that_keeps_its_place_may_still_be_luck() -> None:
    found = said(leader(7, 9.0, 1.0, 9.0), leader(4, 8.0, 3.0, 6.0))
    assert found.winner == 7
    assert "; it won the search too; " in found.sentence
    # 2 (1.96)^2 (32 + 4.5) / 2 / (5 - 4.5)^2 = 560.9
    assert "but about 561 trainings each are needed to tell it from trial 4" in found.sentence


def test_one_training_each_is_said_to_be_too_few() -> None:
    found = said(leader(1, 9.0, 1.0), leader(2, 8.0, 2.0))
    assert found.winner == 2
    assert found.overall.order[0].sd is found.overall.order[0].share_best is None
    assert found.overall.icc is found.overall.runs_needed is None
    assert found.sentence.endswith("one training each says nothing about chance, use more --seeds")


def test_a_trial_that_mostly_collapses_cannot_win() -> None:
    found = said(leader(1, 9.0, 99.0, collapsed=2), leader(2, 8.0, 1.0, 2.0))
    assert found.winner == 2
    assert found.overall.standings[0].share_best == 0
    assert found.sentence.endswith("no other trial could win")
    assert said(leader(1, 9.0, 99.0, collapsed=1), leader(2, 8.0, 1.0)).winner == 1


def test_if_all_collapse_nothing_is_confirmed() -> None:
    found = said(leader(1, 9.0, collapsed=3), leader(2, 8.0, collapsed=3))
    assert said(leader(1, 9.0)).sentence.endswith("no re-training has finished"), "all failed"
    assert "re-trainings of each collapsed" in json.dumps(found.to_table(), allow_nan=False)


def test_equal_means_are_not_told_apart() -> None:
    found = said(leader(1, 9.0, 1.0, 3.0), leader(2, 8.0, 3.0, 1.0))
    assert found.winner == 1, "the order of the search decides"
    assert found.overall.runs_needed is None
    assert found.sentence.endswith("and nothing tells it from trial 2")


def test_the_table_of_leaders_has_the_winner_first() -> None:
    table = confirm_frame(said(leader(7, 9.0, 1.0, 3.0, collapsed=1), leader(4, 8.0, 5.0, 7.0)))
    assert table.columns.tolist() == [
        "trial",
        "gain",
        "gain fresh",
        "gain sd",
        "gain best",
        "n",
        "collapsed",
    ]
    assert table.to_numpy().tolist() == [
        [4, 8, 6, pytest.approx(2**0.5), 1, 2, 0],
        [7, 9, 2, pytest.approx(2**0.5), 0, 2, 1],
    ]
    empty = confirm_frame(said(leader(1, 9.0, collapsed=1)))
    assert empty["gain fresh"].isna().tolist() == [True]
    assert format_frame(empty).splitlines()[1].split() == ["1", "9", "0", "1"]


def test_what_is_unknown_is_said_to_be() -> None:
    assert confirm_lines(said(leader(1, 9.0, 1.0), leader(2, 8.0, 2.0)))[0] == (
        "gain: Kendall tau between seeds unknown, ICC unknown, trainings to tell the first two "
        "apart unknown"
    )


def test_less_is_better_where_it_is() -> None:
    leaders = [leader(1, 1.0, 2.0, 2.5), leader(2, 1.5, 1.0, 1.5)]
    assert rank("gain", MIN, leaders).order[0].trial == 2
    assert rank("gain", MAX, leaders).order[0].trial == 1
