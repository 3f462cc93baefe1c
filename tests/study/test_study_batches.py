"""Trials that are asked for together: who trains with whom, and what if one or all are cut off."""

import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from tests.study.tiny import ONE, SEARCH, TWO, Halt, ctrl_c, points, write_study
from vaeopt.core.errors import StudyError
from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Collapse, WorkflowRun
from vaeopt.study import optimize as loop
from vaeopt.study.attributes import AT_ONCE, BATCH, FAILURE, INTERRUPTED, RETRY_OF, SEED_NUMBER
from vaeopt.study.file import open_study
from vaeopt.study.fronts.pareto import finished
from vaeopt.study.optimize import optimize
from vaeopt.study.results.records import KeptFiles
from vaeopt.study.storage import load_study
from vaeopt.testing import example_run
from vaeopt.workflow import Score, Workflow

SAMPLERS = {
    "random": '"random"',
    "tpe": '{ kind = "tpe", n_startup_trials = 2 }',
    "gp": '{ kind = "gp", n_startup_trials = 2 }',
    # No multiple of the batch: a generation ends within one.
    "nsga2": '{ kind = "nsga2", population_size = 4 }',
    "nsga3": '{ kind = "nsga3", population_size = 4 }',
    "grid": '"grid"',
    "brute-force": '"brute-force"',
}
# Three parameters; a real one, where there may be, shows every difference in what a sampler sees.
FINITE = SEARCH + '"vae.latent_dim" = { low = 1, high = 2 }\n'
REAL = SEARCH + '"vae.kl_scale" = { low = 0.01, high = 1.0, log = true }\n'
N = 8


# ---- trials that cost nothing, so that many studies can be run


class Loop:
    """Walks nowhere: values are drawn from settings and seeds."""

    def __init__(self) -> None:
        self.failing: set[int] = set()
        """seed numbers of trials that fail"""
        self.walked: list[list[int]] = []
        """seed numbers of the trials of each batch"""
        self.strike: Callable[[str], None] = lambda what: None
        """called before parameters are drawn, before a training and before a trial is told"""

    def walk(
        self,
        workflows: Sequence[Workflow],
        *_: Any,
        seeds: Sequence[Seeds],
        on_group: Callable[[Sequence[int]], None],
        **__: Any,
    ) -> Iterator[WorkflowRun | Exception]:
        """Stands for ``walk_many``."""
        self.walked.append([own.number for own in seeds])
        self.strike("training")
        on_group(range(len(workflows)))
        for own in seeds:
            self.strike("told")
            if own.number in self.failing:
                yield FloatingPointError("no luck")
            else:
                draw = np.random.default_rng(own.number).uniform(-1, 1)
                yield replace(
                    _some_run(),
                    seconds={"seed": own.number},
                    collapse=Collapse(margin=draw, reasons=()),
                )

    def scores(self, workflow: Workflow, run: WorkflowRun) -> dict[str, Score]:
        """Stands for ``scores_of``: better for smaller windows, with noise."""
        words = json.dumps([workflow.to_table(), run.seconds["seed"]])
        noise = np.frombuffer(hashlib.sha256(words.encode()).digest(), np.uint8) / 256
        size = workflow.patches.size_px
        values = {"fvu_core": size + noise[0], "gain": workflow.vae.latent_dim + noise[1]}
        return {r.label: Score(float(values[r.label]), 0.0, 1) for r in workflow.rewards}


@functools.cache
def _some_run() -> WorkflowRun:
    return example_run(np.random.default_rng(0).standard_normal((60, 2)))


@pytest.fixture
def quick_loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    made = Loop()
    suggest = optuna.trial.Trial._suggest

    def suggest_or_strike(trial: optuna.Trial, name: str, distribution: Any) -> Any:
        made.strike("asked")
        return suggest(trial, name, distribution)

    monkeypatch.setattr(optuna.trial.Trial, "_suggest", suggest_or_strike)
    monkeypatch.setattr(loop, "walk_many", made.walk)
    for name, stand_in in {
        "scores_of": made.scores,
        "keep_files": lambda *_: KeptFiles({}, {}),
        "attach": lambda *_: None,
    }.items():
        monkeypatch.setattr(f"vaeopt.study.tell.{name}", stand_in)
    return made


def _strike(what: str, after: int) -> Callable[[str], None]:
    """Ctrl-C when this happens once more than so often."""
    left = iter(range(after))

    def strike(happens: str) -> None:
        if happens == what and next(left, None) is None:
            ctrl_c()

    return strike


def _ended(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that ended for good."""
    return [
        trial
        for trial in study.trials
        if trial.state.is_finished() and not trial.user_attrs.get(INTERRUPTED, False)
    ]


def _history(study: optuna.Study) -> list[tuple[Any, ...]]:
    """What a sampler sees of the trials that ended for good, in its order."""
    noted = [
        {k: v for k, v in trial.system_attrs.items() if k.endswith("generation")}
        for trial in _ended(study)
    ]
    return [
        (t.user_attrs[SEED_NUMBER], t.state.name, t.params, t.values, t.constraints, generation)
        for t, generation in zip(_ended(study), noted, strict=True)
    ]


# ---- what an interruption changes: nothing


@pytest.mark.parametrize(
    ("kind", "rewards"),
    # TPE is another one for one objective; GP takes its time.
    [*((kind, TWO) for kind in SAMPLERS if kind != "gp"), ("tpe", ONE), ("gp", ONE)],
    ids=lambda word: {ONE: "one", TWO: "two"}.get(word, word),
)
def test_an_interrupted_batch_ends_as_one_that_was_not(
    kind: str, rewards: str, tmp_path: Path, quick_loop: Loop
) -> None:
    pieces: dict[str, Any] = {
        "search": FINITE if kind in ("grid", "brute-force") else REAL,
        "sampler": SAMPLERS[kind],
        "rewards": rewards,
        "n_trials": N,
        "at_once": 3,
    }
    quick_loop.failing = {4}
    whole = optimize(write_study(tmp_path / "whole", **pieces))
    assert quick_loop.walked == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    cut = write_study(tmp_path / "cut", **pieces)
    for what, after in (
        ("asked", 13),  # within the second trial of the second batch
        ("asked", 1),  # and then in the first retry of it
        ("training", 0),
        ("told", 2),  # with two told, of which one has failed
        ("asked", 7),  # within the second trial of the last batch
    ):
        quick_loop.strike = _strike(what, after)
        with pytest.raises(KeyboardInterrupt):
            optimize(cut)
        running = load_study(open_study(cut)).get_trials(states=(TrialState.RUNNING,))
        assert not running, "all of the batch are marked"
    quick_loop.strike = lambda what: None
    assert _history(optimize(cut)) == _history(whole)


@pytest.mark.parametrize("kind", ["nsga2", "nsga3"])
@pytest.mark.parametrize(("at_once", "n_trials", "first_child"), [(1, 10, 22), (3, 15, 34)])
def test_a_retry_belongs_to_the_generation_of_the_trial_that_it_repeats(
    kind: str, at_once: int, n_trials: int, first_child: int, tmp_path: Path, quick_loop: Loop
) -> None:
    pieces: dict[str, Any] = {"search": REAL, "sampler": SAMPLERS[kind]}
    pieces |= {"n_trials": n_trials, "at_once": at_once}
    whole = optimize(write_study(tmp_path / "whole", **pieces))
    cut = write_study(tmp_path / "cut", **pieces)
    # Behind the parameters of the second trial, and between two of the first child whose parents
    # are selected from two generations.
    for what, after in (("told", 1), ("asked", first_child)):
        quick_loop.strike = _strike(what, after)
        with pytest.raises(KeyboardInterrupt):
            optimize(cut)
    quick_loop.strike = lambda what: None
    assert _history(optimize(cut)) == _history(whole)


def test_retries_keep_their_order_when_only_some_are_cut_off_again(
    tmp_path: Path, quick_loop: Loop
) -> None:
    folder = write_study(tmp_path, at_once=3, n_trials=3)
    for what, after in (("training", 0), ("asked", 1)):
        quick_loop.strike = _strike(what, after)
        with pytest.raises(KeyboardInterrupt):
            optimize(folder)
    quick_loop.strike = lambda what: None
    study = optimize(folder)
    # 0 to 2 were cut off; 3 to 5 waited; 3 was cut off again, and 4 and 5 went behind it.
    assert [t.user_attrs[SEED_NUMBER] for t in study.trials] == [0, 1, 2] * 3
    assert [t.user_attrs.get(RETRY_OF) for t in study.trials] == [None] * 3 + list(range(6))
    assert [t.state.name for t in study.trials] == ["FAIL"] * 6 + ["COMPLETE"] * 3


def test_a_real_study_that_is_interrupted_between_two_of_a_batch_repeats(tmp_path: Path) -> None:
    pieces = {"sampler": SAMPLERS["tpe"], "n_trials": 6, "at_once": 3}
    whole = optimize(write_study(tmp_path / "whole", **pieces))
    folder = write_study(tmp_path / "cut", **pieces)
    with pytest.raises(KeyboardInterrupt):
        optimize(folder, progress=Halt(4, ctrl_c))
    stopped = load_study(open_study(folder))
    assert len(finished(stopped)) == 4, "on a processor each is told before the next one trains"
    study = optimize(folder)
    assert points(study.trials) == points(whole.trials)
    assert [t.user_attrs[SEED_NUMBER] for t in finished(study)] == list(range(6))


# ---- who trains with whom


def test_batches_are_as_large_as_wanted_and_never_beyond_the_total(
    tmp_path: Path, quick_loop: Loop
) -> None:
    folder = write_study(tmp_path, at_once=4, n_trials=10)
    progress = Halt(-1, ctrl_c)
    study = optimize(folder, progress=progress)
    assert quick_loop.walked == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert progress.groups == quick_loop.walked
    assert progress.notes == []
    assert progress.states == ["COMPLETE"] * 10
    assert [t.user_attrs[BATCH] for t in study.trials[3:6]] == [[3, 4], [0, 4], [1, 4]]
    assert study.user_attrs[AT_ONCE] == 4


def test_all_of_a_batch_are_asked_for_before_one_is_told(tmp_path: Path, quick_loop: Loop) -> None:
    states: list[list[str]] = []

    def look(what: str) -> None:
        if what == "training":
            trials = load_study(open_study(tmp_path)).trials
            assert all(len(trial.params) == 2 for trial in trials)
            states.append([trial.state.name for trial in trials])

    quick_loop.strike = look
    optimize(write_study(tmp_path, at_once=2, n_trials=3))
    running, done = ["RUNNING"], ["COMPLETE"]
    assert states == [2 * running, 2 * done + running]


def test_one_at_a_time_leaves_no_trace_of_batches(tmp_path: Path, quick_loop: Loop) -> None:
    progress = Halt(-1, ctrl_c)
    study = optimize(write_study(tmp_path, n_trials=2), progress=progress)
    assert quick_loop.walked == [[0], [1]]
    assert progress.groups == [[0], [1]]
    assert not any(BATCH in trial.user_attrs for trial in study.trials)
    assert AT_ONCE not in study.user_attrs


def test_another_number_at_once_is_said_once(tmp_path: Path, quick_loop: Loop) -> None:
    folder = write_study(tmp_path, at_once=2)
    notes = []
    for total, at_once in ((2, None), (5, 3), (8, 3), (9, None)):
        progress = Halt(-1, ctrl_c)
        optimize(folder, n_trials=total, trials_at_once=at_once, progress=progress)
        notes.append(progress.notes)
    assert quick_loop.walked == [[0, 1], [2, 3, 4], [5, 6, 7], [8]]
    assert [len(lines) for lines in notes] == [0, 1, 0, 1]
    assert notes[1][0].startswith("trials_at_once was 2 and is 3 from here on")


def test_a_batch_that_was_cut_off_keeps_its_size(tmp_path: Path, quick_loop: Loop) -> None:
    folder = write_study(tmp_path, at_once=4, n_trials=6)
    quick_loop.strike = _strike("told", 1)
    with pytest.raises(KeyboardInterrupt):
        optimize(folder)
    quick_loop.strike = lambda what: None
    optimize(folder, trials_at_once=1)
    assert quick_loop.walked == [[0, 1, 2, 3], [1, 2, 3], [4], [5]]


def test_a_smaller_total_takes_up_no_more_than_it_needs(tmp_path: Path, quick_loop: Loop) -> None:
    folder = write_study(tmp_path, at_once=4, n_trials=6)
    quick_loop.strike = _strike("told", 1)
    with pytest.raises(KeyboardInterrupt):
        optimize(folder)
    quick_loop.strike = lambda what: None
    assert len(finished(optimize(folder, n_trials=2))) == 2
    assert len(finished(optimize(folder, n_trials=6))) == 6
    assert quick_loop.walked == [[0, 1, 2, 3], [1], [2, 3], [4, 5]]


def test_no_batch_starts_after_the_time_is_up(tmp_path: Path, quick_loop: Loop) -> None:
    folder = write_study(tmp_path, at_once=2, n_trials=6)
    assert optimize(folder, timeout_s=1e-9).trials == []
    assert len(optimize(folder, timeout_s=1e9).trials) == 6


@pytest.mark.parametrize("kind", ["grid", "brute-force"])
@pytest.mark.parametrize("at_once", [4, 50])
def test_no_point_of_a_finite_space_is_asked_for_twice(
    kind: str, at_once: int, tmp_path: Path, quick_loop: Loop
) -> None:
    quick_loop.failing = {2}
    folder = write_study(tmp_path, sampler=f'"{kind}"', at_once=at_once, n_trials=90)
    study = optimize(folder)
    assert len(study.trials) == 6
    assert len({tuple(sorted(trial.params.items())) for trial in study.trials}) == 6
    assert [len(batch) for batch in quick_loop.walked] == ([4, 2] if at_once == 4 else [6])
    assert len(optimize(folder).trials) == 6, "nothing is left to do"


# ---- failures


def test_one_that_fails_takes_no_other_with_it(tmp_path: Path, quick_loop: Loop) -> None:
    quick_loop.failing = {1}
    study = optimize(write_study(tmp_path, at_once=3, n_trials=4))
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert study.trials[1].user_attrs[FAILURE]["message"] == "no luck"
    assert quick_loop.walked == [[0, 1, 2], [3, 4]]


def test_settings_that_cannot_be_made_fail_their_trial_only(
    tmp_path: Path, quick_loop: Loop
) -> None:
    # One that is refused only together with the other.
    search = """\
"vae.schedule" = { choices = ["constant", "one-cycle"] }
"vae.patience_epochs" = { choices = [0, 3] }
"""
    study = optimize(write_study(tmp_path, search=search, sampler='"grid"', at_once=4, n_trials=4))
    failed = [trial for trial in study.trials if trial.state == TrialState.FAIL]
    assert [trial.params for trial in failed] == [
        {"vae.schedule": "one-cycle", "vae.patience_epochs": 3}
    ]
    assert "improves until its last epoch" in failed[0].user_attrs[FAILURE]["message"]
    assert len(finished(study)) == 3


def test_five_failures_in_a_row_leave_the_rest_of_the_batch_for_later(
    tmp_path: Path, quick_loop: Loop
) -> None:
    folder = write_study(tmp_path, at_once=4, n_trials=9)
    quick_loop.failing = set(range(1, 7))
    with pytest.raises(StudyError, match="5 trials failed in a row; the last with FloatingPoint"):
        optimize(folder)
    study = load_study(open_study(folder))
    assert [t.user_attrs.get(INTERRUPTED, False) for t in study.trials] == [False] * 6 + [True] * 2
    quick_loop.failing = set()
    numbers = [t.user_attrs[SEED_NUMBER] for t in finished(optimize(folder))]
    assert numbers == [0, *range(6, 14)]
