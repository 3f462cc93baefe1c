"""A reward computed afterwards from what is stored, and what resuming must give again."""
# ruff: noqa: N802  # properties carry the names that they have in docs/semantics.md

import json
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

import vaeopt as vo
from tests.study.tiny import N_TRIALS, ONE, contents, write_study
from vaeopt.core.errors import DataError, SettingsError, StudyError
from vaeopt.report.tables import best_frame, rescored_frame
from vaeopt.stages.rewards import Reward
from vaeopt.stages.rewards.composite import Composite
from vaeopt.stages.rewards.icl import Icl
from vaeopt.study.fronts.pareto import feasible, finished, front, margin
from vaeopt.study.results import rescore as module
from vaeopt.study.results.confirm import SOURCE
from vaeopt.study.results.records import restore, settings_of
from vaeopt.study.results.rescore import RESCORES, parse_reward, rescore
from vaeopt.study.results.stored import RESCORED

RANKS = """{ kind = "composite", combine = "rank", name = "both", terms = [
  { reward = { kind = "reconstruction" } }, { reward = { kind = "gain" }, weight = 3.0 } ] }"""


def held(folder: Path) -> Any:
    return vo.load_study(folder).user_attrs[RESCORED]


def by_hand(folder: Path, number: int, weight: float) -> float:
    return Icl(weight=weight).value(vo.load_trial(folder, number))


def broken(*_: object, **__: object) -> Any:
    raise RuntimeError("no luck")


# ---- properties --------------------------------------------------------------------------------


def test_P6_a_study_read_from_its_database_gives_the_same_front(finished_copy: Path) -> None:
    before = vo.load_study(finished_copy)
    after = vo.optimize(finished_copy)  # nothing is left to do
    assert [(t.number, t.params, t.values) for t in front(after)] == [
        (t.number, t.params, t.values) for t in front(before)
    ]
    assert len(after.trials) == N_TRIALS


def test_P6_objective_values_come_out_of_the_files_again(finished_copy: Path) -> None:
    study = vo.load_study(finished_copy)
    for i, reward in enumerate(settings_of(study.trials[0]).rewards):
        found = rescore(finished_copy, reward)
        assert set(found.scores) == {t.number for t in finished(study)}
        for trial in finished(study):
            again = found.scores[trial.number].value
            assert again == pytest.approx(trial.values[i], rel=1e-9, abs=1e-9)


def test_P6_holds_for_means_over_replicates(tmp_path: Path) -> None:
    folder = write_study(tmp_path, n_trials=2)
    text = (folder / "study.toml").read_text()
    (folder / "study.toml").write_text(text.replace("[workflow]\n", "[workflow]\nreplicates = 2\n"))
    study = vo.optimize(folder)
    found = rescore(folder, "gain")
    for trial in study.trials:
        assert found.scores[trial.number].value == pytest.approx(trial.values[1], abs=1e-9)
        assert found.scores[trial.number].n == 2


# ---- values ------------------------------------------------------------------------------------


def test_values_are_those_of_the_reward_and_nothing_is_trained(
    finished_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vaeopt.workflow.flow.train_groups", broken)
    before = [(t.values, t.user_attrs, t.system_attrs) for t in vo.load_study(finished_copy).trials]
    found = rescore(finished_copy, '{ kind = "icl", weight = 0.5 }')
    assert (found.label, found.direction, found.skipped) == ("icl(w=0.5)", "minimize", {})
    for number, score in found.scores.items():
        assert score.value == by_hand(finished_copy, number, 0.5)
        assert (score.sd, score.n) == (0, 1)
    after = [(t.values, t.user_attrs, t.system_attrs) for t in vo.load_study(finished_copy).trials]
    assert after == before


def test_values_stand_in_the_study(finished_copy: Path) -> None:
    found = rescore(finished_copy, "icl")
    rescore(finished_copy, "bic")
    stored = held(finished_copy)
    assert list(stored) == ["icl", "bic"]
    assert stored["icl"] == {
        "reward": Icl().to_table(),
        "settings": {},
        "direction": "minimize",
        "values": {
            str(number): {"value": score.value, "sd": 0.0, "n": 1}
            for number, score in found.scores.items()
        },
    }
    json.dumps(stored, allow_nan=False)
    study = vo.load_study(finished_copy)
    order = best_frame(study, order_by="icl")["trial"].tolist()
    expected = sorted((t.number for t in front(study)), key=lambda n: found.scores[n].value)
    assert order == expected


def test_only_what_is_missing_is_computed(
    finished_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = rescore(finished_copy, "icl")
    with monkeypatch.context() as patch:
        patch.setattr(module, "restore", broken)
        assert rescore(finished_copy, "icl") == first
    told: list[tuple[int, int]] = []
    rescore(finished_copy, "icl", each=lambda done, total: told.append((done, total)))
    assert told == [(i, N_TRIALS) for i in range(1, N_TRIALS + 1)]


def test_another_reward_of_that_label_replaces_the_values(finished_copy: Path) -> None:
    terms = '[ { reward = { kind = "gain" }, weight = %s } ]'
    table = '{ kind = "composite", terms = ' + terms + " }"
    one = rescore(finished_copy, table % "1.0")
    two = rescore(finished_copy, table % "2.0")
    for number, score in two.scores.items():
        assert score.value == pytest.approx(2 * one.scores[number].value)
    assert list(held(finished_copy)) == ["composite"]


def test_what_was_computed_before_an_interrupt_is_kept(
    finished_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rescore(finished_copy, "icl", each=stop)
    assert list(held(finished_copy)["icl"]["values"]) == ["0", "1", "2"]
    calls: list[int] = []

    def counted(trial: Any, session: Any) -> Any:
        calls.append(trial.number)
        return restore(trial, session)

    monkeypatch.setattr(module, "restore", counted)
    assert len(rescore(finished_copy, "icl").scores) == N_TRIALS
    assert calls == [3, 4, 5]


def test_a_process_that_is_killed_leaves_what_it_had(
    finished_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[int] = []

    def look(done: int, total: int) -> None:
        there.append(len(held(finished_copy)["icl"]["values"]))

    monkeypatch.setattr(module, "_EVERY_S", 0.0)
    rescore(finished_copy, "icl", each=look)
    assert there == list(range(1, N_TRIALS + 1))


def test_trials_without_files_are_named_and_skipped(finished_copy: Path) -> None:
    study = vo.load_study(finished_copy)
    ids = study.trials[2].user_attrs["vaeopt:files"]
    (finished_copy / "artefacts" / ids["latents.npz"]).unlink()
    found = rescore(finished_copy, "icl")
    assert list(found.skipped) == [2]
    assert "file latents.npz of trial 2 is not in" in found.skipped[2]
    assert set(found.scores) == {0, 1, 3, 4, 5}
    assert len(rescored_frame(study, found)) == 5


# ---- ranks -------------------------------------------------------------------------------------


def test_ranks_are_taken_among_the_feasible_trials(finished_copy: Path) -> None:
    study = vo.load_study(finished_copy)
    good = feasible(study)
    assert len(good) >= 2
    found = rescore(finished_copy, RANKS)
    values = np.asarray([t.values for t in good])

    def share(i: int, sign: int, value: float) -> float:
        return float(np.mean((np.sign(sign * (value - values[:, i])) + 1) / 2))

    for trial in good:
        expected = (share(0, -1, trial.values[0]) + 3 * share(1, 1, trial.values[1])) / 4
        assert found.scores[trial.number].value == pytest.approx(expected)
    reward = Reward.from_table(dict(found.reward))
    assert isinstance(reward, Composite)
    assert reward.terms[1].reference == pytest.approx(tuple(values[:, 1]))
    assert rescore(finished_copy, reward) == found, "with its references it is the same reward"


def test_references_that_are_written_down_stay(finished_copy: Path) -> None:
    text = RANKS.replace('"gain" }', '"gain" }, reference = [-1.0, 50.0]')
    found = rescore(finished_copy, text)
    reward = Reward.from_table(dict(found.reward))
    assert isinstance(reward, Composite)
    assert reward.terms[1].reference == (-1.0, 50.0)
    assert len(reward.terms[0].reference) == len(feasible(vo.load_study(finished_copy)))


def test_an_inner_composite_of_ranks_is_filled_too(finished_copy: Path) -> None:
    outer = f'{{ kind = "composite", name = "outer", terms = [ {{ reward = {RANKS} }} ] }}'
    found, inner = rescore(finished_copy, outer), rescore(finished_copy, RANKS)
    assert {n: s.value for n, s in found.scores.items()} == pytest.approx(
        {n: s.value for n, s in inner.scores.items()}
    )


def test_a_reference_that_is_too_short_is_what_is_named(finished_copy: Path) -> None:
    text = RANKS.replace('"gain" }', '"gain" }, reference = [0.5]')
    with pytest.raises(StudyError, match=r"^--reward: terms\.1\.reference: .*got 1; copy them"):
        rescore(finished_copy, text)


def test_ranks_among_one_trial_are_none(tmp_path: Path) -> None:
    folder = write_study(tmp_path, n_trials=1)
    vo.optimize(folder)
    with pytest.raises(StudyError, match="1 feasible trials with their files are too few to rank"):
        rescore(folder, RANKS)


# ---- another study -----------------------------------------------------------------------------


def test_a_study_with_the_new_values_can_be_made(finished_copy: Path) -> None:
    source = vo.load_study(finished_copy)
    found = rescore(finished_copy, "icl", name="tiny-icl")
    made = optuna.load_study(study_name="tiny-icl", storage=f"sqlite:///{finished_copy}/tiny.db")
    assert made.metric_names == ["icl"]
    assert [d.name for d in made.directions] == ["MINIMIZE"]
    for copy, trial in zip(made.trials, source.trials, strict=True):
        assert copy.value == found.scores[trial.number].value
        assert copy.params == trial.params
        assert copy.distributions == trial.distributions
        assert copy.user_attrs == {**trial.user_attrs, SOURCE: trial.number}
        assert margin(copy) == margin(trial)
        assert copy.duration == trial.duration
        attached = {k: v for k, v in trial.system_attrs.items() if k.startswith("artifacts:")}
        assert attached
        assert attached.items() <= copy.system_attrs.items()
    best = min(feasible(source), key=lambda t: found.scores[t.number].value)
    assert made.best_trial.user_attrs[SOURCE] == best.number
    assert made.user_attrs[RESCORES] == {
        "study": "tiny",
        "reward": Icl().to_table(),
        "complete": True,
    }


def test_a_name_that_is_taken_is_refused_before_work_starts(finished_copy: Path) -> None:
    before = contents(finished_copy)
    with pytest.raises(StudyError, match="--as: study 'tiny' exists in this storage; choose"):
        rescore(finished_copy, "icl", name="tiny")
    with pytest.raises(StudyError, match="--as: the name is empty"):
        rescore(finished_copy, "icl", name=" ")
    assert contents(finished_copy) == before


def test_a_study_that_could_not_be_filled_is_taken_back(
    finished_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module, "_with_value", broken)
        with pytest.raises(RuntimeError, match="no luck"):
            rescore(finished_copy, "icl", name="tiny-icl")
    url = f"sqlite:///{finished_copy}/tiny.db"
    assert optuna.get_all_study_names(url) == ["tiny"]
    rescore(finished_copy, "icl", name="tiny-icl")
    assert sorted(optuna.get_all_study_names(url)) == ["tiny", "tiny-icl"]


def test_a_trial_whose_reward_raises_is_named_and_left_out(
    finished_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(reward: Icl, fit: object) -> float:
        raise ZeroDivisionError("no luck\nwith this")

    with monkeypatch.context() as patch:
        patch.setattr(Icl, "criterion", fails)
        found = rescore(finished_copy, "icl")
    assert set(found.skipped.values()) == {"ZeroDivisionError: no luck with this"}
    assert not rescore(finished_copy, "icl").skipped


def test_no_study_is_made_where_there_is_no_value(finished_copy: Path) -> None:
    artefacts = finished_copy / "artefacts"
    artefacts.rename(finished_copy / "elsewhere")
    assert not rescore(finished_copy, "icl", name="tiny-icl").scores
    (finished_copy / "elsewhere").rename(artefacts)
    assert len(rescore(finished_copy, "icl", name="tiny-icl").scores) == N_TRIALS


# ---- what cannot be ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        ("seed-ari", "--reward: trial 0 cannot give 'seed_ari': .*replicates.*; start a new study"),
        ("spatial-kappa", r"--reward: trial 0 cannot give 'spatial_kappa.*K = .*; fit again"),
        (
            '{ kind = "composite", combine = "rank", terms = [ { reward = "seed-ari" } ] }',
            "--reward: trial 0 cannot give 'seed_ari'",
        ),
    ],
)
def test_a_reward_that_is_not_in_what_is_stored_is_refused_before_work_starts(
    reward: str, message: str, finished_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(finished_copy)
    monkeypatch.setattr(module, "restore", broken)
    with pytest.raises(StudyError, match=message):
        rescore(finished_copy, reward)
    assert contents(finished_copy) == before


def test_a_composite_with_the_label_of_a_reward_of_the_study_is_refused(
    finished_copy: Path,
) -> None:
    before = contents(finished_copy)
    text = '{ kind = "composite", name = "gain", terms = [ { reward = "icl" } ] }'
    with pytest.raises(StudyError, match=r"^--reward\.name: 'gain' is .* another reward .*choose"):
        rescore(finished_copy, text)
    assert contents(finished_copy) == before


def test_what_the_image_cannot_give_is_said_of_the_reward_that_was_typed(
    finished_copy: Path,
) -> None:
    with pytest.raises(DataError, match=r"^--reward: reward 'rotation-ami' cuts windows"):
        rescore(finished_copy, '{ kind = "rotation-ami", components = 2 }')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("icx", "--reward.kind: unknown kind 'icx'; did you mean 'icl'"),
        ("", "--reward.kind: unknown kind ''"),
        ('{ kind = "icl", wieght = 1 }', "--reward.wieght: unknown setting; did you mean 'weight'"),
        ("{ weight = 1.0 }", "--reward.kind: is required and missing"),
    ],
)
def test_a_reward_that_is_none_is_refused(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_reward(text)


def test_a_table_that_is_none_is_refused() -> None:
    with pytest.raises(StudyError, match=r"--reward: cannot understand '. kind = icl .': "):
        parse_reward("{ kind = icl }")


def test_a_study_without_a_trial_or_with_another_image_is_refused(tmp_path: Path) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=1)
    vo.optimize(folder, timeout_s=1e-9)
    with pytest.raises(StudyError, match="has no finished trial yet"):
        rescore(folder, "icl")
    vo.optimize(folder)
    np.save(folder / "image.npy", np.load(folder / "image.npy")[::-1])
    with pytest.raises(StudyError, match=r"started with other settings: .*image_sha256"):
        rescore(folder, "icl")


# ---- the table ---------------------------------------------------------------------------------


def test_the_table_has_the_search_beside_it(finished_copy: Path) -> None:
    study = vo.load_study(finished_copy)
    found = rescore(finished_copy, "gain")
    table = rescored_frame(study, found)
    params = list(study.trials[0].params)
    assert table.columns.tolist() == [
        "trial",
        "gain",
        "feasible",
        "fvu_core",
        "gain search",
        *params,
    ]
    assert table["feasible"].is_monotonic_decreasing, "feasible ones first"
    for _, group in table.groupby("feasible"):
        assert group["gain"].is_monotonic_decreasing
    for row in table.to_dict("records"):
        trial = study.trials[row["trial"]]
        assert [row["fvu_core"], row["gain search"]] == trial.values
