"""Who stands for a configuration that was trained several times: fronts, tables, other scores."""

import statistics
from pathlib import Path

import numpy as np
import optuna
import pytest

import vaeopt as vo
from tests.study.tiny import ONE, TWO, made_by_hand, write_study
from vaeopt.report.figures import front_info, history_info
from vaeopt.report.tables import best_frame, rescored_frame
from vaeopt.study.asking.repeats import mean_of, own_margin, own_values
from vaeopt.study.attributes import REPEAT
from vaeopt.study.file import open_study
from vaeopt.study.fronts.hypervolume import hypervolume_history
from vaeopt.study.fronts.pareto import feasible, finished, front, representatives
from vaeopt.study.fronts.preferences import preferred, win_share
from vaeopt.study.optimize import optimize
from vaeopt.study.results.access import candidates
from vaeopt.study.results.confirm import leaders_of
from vaeopt.study.results.records import record_of, scores_in
from vaeopt.study.results.replay import replay
from vaeopt.study.results.rescore import rescore
from vaeopt.study.results.status import status_lines
from vaeopt.study.results.stored import stored_scores
from vaeopt.study.session import prepare
from vaeopt.study.storage import load_study


def _repeat(study: optuna.Study, number: int, earlier: list[int], own: list[float]) -> None:
    """Say that a finished trial has told a mean; Optuna itself takes attributes before."""
    repeat = {"of": earlier[0], "trials": [*earlier, number], "own": own, "margin": -1.0}
    trial = study.get_trials(deepcopy=False)[number]
    trial.set_user_attr(REPEAT, repeat | {"sd": [0.1] * len(own)})  # what the storage holds itself


@pytest.fixture
def lucky() -> optuna.Study:
    """Trial 0 was lucky; 2 repeats it, and 3 both. Then 1 is the best. Trial 5 repeats 4."""
    study = made_by_hand(
        ["minimize"],
        [[0.1], [0.5], [0.6], [0.7], [0.4], [0.45]],
        margins=[-1, -1, -1, -1, -1, 0.5],  # 5 has collapsed, and with it the configuration
    )
    _repeat(study, 2, [0], [1.1])
    _repeat(study, 3, [0, 2], [0.9])
    _repeat(study, 5, [4], [0.5])
    return study


def test_the_latest_stands_for_all(lucky: optuna.Study) -> None:
    assert [t.number for t in representatives(lucky)] == [1, 3, 5]
    assert [t.number for t in feasible(lucky)] == [1, 3]
    assert [t.number for t in front(lucky)] == [1]
    assert vo.best(lucky).number == 1
    assert [t.number for t in leaders_of(lucky)] == [1]
    assert [t.number for t in preferred(lucky, {"value_0": 1})] == [1, 3]
    assert win_share(lucky) == {1: 1.0, 3: 0.0}
    assert len(finished(lucky)) == 6, "all of them were trained"


def test_figures_and_curves_show_one_each(lucky: optuna.Study) -> None:
    history = history_info(lucky, 0)
    assert history.numbers.tolist() == [1, 3, 5]
    np.testing.assert_array_equal(history.best, [0.5, 0.5, 0.5])
    volumes = hypervolume_history(lucky)
    assert volumes.shape == (6,)
    assert volumes[0] == 0, "a value that was superseded dominates nothing"
    assert volumes[1] == volumes[-1] == pytest.approx(1.1)
    two = made_by_hand(["minimize", "maximize"], [[0.0, 9.0], [0.5, 1.0], [1.0, 2.0]])
    _repeat(two, 2, [0], [2.0, -5.0])
    assert front_info(two).numbers.tolist() == [1, 2]


def test_tables_tell_what_values_are_means_of(lucky: optuna.Study) -> None:
    frame = vo.trials_frame(lucky)
    assert frame["mean_of"].tolist() == [1, 1, 2, 3, 1, 2]
    assert frame["superseded"].tolist() == [True, False, True, False, True, False]
    assert candidates(frame)["trial"].tolist() == [1, 3]
    table = best_frame(lucky)
    assert table["trial"].tolist() == [1, 3]
    assert "superseded" not in table
    assert table["mean_of"].tolist() == [1, 3]
    lines = "\n".join(status_lines(lucky, 6))
    assert "repeats   3 trained parameters again; their values are means" in lines
    plain = made_by_hand(["minimize"], [[0.1], [0.2]])
    assert not {"mean_of", "superseded"} & set(vo.trials_frame(plain).columns)
    assert "repeats" not in "\n".join(status_lines(plain, 2))


def test_values_of_the_training_alone(lucky: optuna.Study) -> None:
    trials = lucky.get_trials(deepcopy=False)
    assert [own_values(t) for t in trials[:4]] == [[0.1], [0.5], [1.1], [0.9]]
    assert [own_margin(t) for t in trials[-2:]] == [-1.0, -1.0]
    assert [mean_of(t) for t in trials[:4]] == [[0], [1], [0, 2], [0, 2, 3]]


# ---- with files


@pytest.fixture(scope="module")
def repeated_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two points, three trials of each."""
    folder = write_study(
        tmp_path_factory.mktemp("repeated"),
        search='"vae.invariances" = { choices = [[], ["rotation"]] }',
        rewards=TWO,
        optuna='duplicates = "replicate"',
        n_trials=6,
    )
    text = (folder / "study.toml").read_text()
    (folder / "study.toml").write_text(text.replace("[search]", 'scores = ["bic"]\n[search]', 1))
    optimize(folder)
    return folder


def test_recorded_scores_are_means_too(repeated_folder: Path) -> None:
    study = load_study(open_study(repeated_folder))
    last = {tuple(t.params.items()): t for t in study.trials}
    assert len(last) == 2
    frame = vo.trials_frame(study).set_index("trial")
    for trial in last.values():
        numbers = mean_of(trial)
        assert len(numbers) == 3
        for label, told in (("fvu_core", trial.values[0]), ("bic", None)):
            found = [scores_in(study.trials[n])[label] for n in numbers]
            values = [score.value for score in found if score is not None]
            mean = statistics.fmean(values)
            assert told is None or told == pytest.approx(mean)
            assert frame.loc[trial.number, label] == pytest.approx(mean)
            assert frame.loc[trial.number, f"{label} sd"] == pytest.approx(statistics.stdev(values))
            assert stored_scores(study)[label].values[trial.number] == pytest.approx(mean)
        record = record_of(study, trial)
        assert record["repeat"]["trials"] == numbers
    assert set(best_frame(study)["trial"]) <= {t.number for t in last.values()}


def test_a_repeat_replays_its_own_training(repeated_folder: Path) -> None:
    study = load_study(open_study(repeated_folder))
    trial = next(t for t in study.trials if len(mean_of(t)) == 2)
    assert own_values(trial) != trial.values
    result = replay(study, prepare(open_study(repeated_folder)), trial)
    assert result.differences(1e-6) == {}


def test_what_is_rescored_is_averaged_in_the_same_way(repeated_folder: Path) -> None:
    study = load_study(open_study(repeated_folder))
    result = rescore(repeated_folder, "icl", name="by-icl")
    assert len(result.scores) == 6
    table = rescored_frame(study, result)
    assert len(table) == 2, "one row per configuration"
    made = optuna.load_study(study_name="by-icl", storage=study._storage)
    assert len(made.trials) == 6
    scores = stored_scores(load_study(open_study(repeated_folder)))["icl"].values
    for number, value in zip(table["trial"], table["icl"], strict=True):
        numbers = mean_of(study.trials[number])
        own = [result.scores[n].value for n in numbers]
        assert value == pytest.approx(statistics.fmean(own))
        assert scores[number] == value
        copied = made.trials[number]
        assert copied.value == value
        assert own_values(copied) == [result.scores[number].value]
        assert mean_of(copied) == numbers
    assert len(representatives(made)) == 2


def test_copies_keep_their_own_numbers(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path, search='"vae.invariances" = { choices = [[], ["rotation"]] }', rewards=ONE
    )
    optimize(folder, n_trials=4)
    gone = next((folder / "artefacts").iterdir())
    study = load_study(open_study(folder))
    first = next(t for t in study.trials if gone.name in t.user_attrs["vaeopt:files"].values())
    gone.unlink()
    rescore(folder, "bic", name="by-bic")
    made = optuna.load_study(study_name="by-bic", storage=study._storage)
    assert len(made.trials) == 3
    sources = [t.number for t in study.trials if t.number != first.number]
    for copied, number in zip(made.trials, sources, strict=True):
        kept = [n for n in mean_of(study.trials[number]) if n != first.number]
        assert [sources[n] for n in mean_of(copied)] == kept
