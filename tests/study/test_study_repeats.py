"""Parameters that come up again: refused, or trained with another seed and averaged."""

import statistics
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState

from tests.study.test_study_batches import (
    SAMPLERS,
    Loop,
    _history,
    _strike,
    quick_loop,  # noqa: F401  # a fixture
)
from tests.study.tiny import ONE, SEARCH, TWO, Halt, ctrl_c, write_study
from vaeopt.study.asking.ask import ask
from vaeopt.study.asking.points import Taken, least_tried, point_of, takers
from vaeopt.study.attributes import REPEAT, RETRY_OF
from vaeopt.study.file import open_study
from vaeopt.study.fronts.pareto import finished
from vaeopt.study.optimize import optimize
from vaeopt.study.session import Session, prepare
from vaeopt.study.storage import create_or_load, load_study, storage_url

pytestmark = pytest.mark.usefixtures("quick_loop")

N_POINTS = 6  # of SEARCH
MODELS = [kind for kind in SAMPLERS if kind not in ("grid", "brute-force")]
SKIP = 'duplicates = "skip"'
TWICE = "max_replicates = 2"


def _tried(study: optuna.Study) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(sorted(trial.params.items())) for trial in study.trials)


def _folder(tmp_path: Path, **pieces: Any) -> Path:
    return write_study(tmp_path, **{"rewards": ONE, **pieces})


# ---- how often a point is tried


@pytest.mark.parametrize("kind", SAMPLERS)
@pytest.mark.parametrize(
    ("policy", "most"), [(SKIP, 1), (TWICE, 2), ('duplicates = "replicate"\nmax_replicates = 1', 1)]
)
def test_every_sampler_uses_a_small_space_up_and_stops(
    kind: str, policy: str, most: int, tmp_path: Path
) -> None:
    folder = _folder(tmp_path, sampler=SAMPLERS[kind], n_trials=90, optuna=policy)
    told = Halt(-1, ctrl_c)
    study = optimize(folder, progress=told)
    count = N_POINTS * (most if kind in MODELS else 1)
    assert len(_tried(study)) == N_POINTS
    assert set(_tried(study).values()) == {count // N_POINTS}
    assert told.notes == [f"the search space is used up: {count} of 90 trials are finished"]
    assert len(optimize(folder).trials) == count, "nothing is left to do"


@pytest.mark.parametrize("kind", MODELS)
def test_what_is_allowed_is_drawn_as_it_comes(kind: str, tmp_path: Path) -> None:
    pieces = {"sampler": SAMPLERS[kind], "n_trials": 8}
    study = optimize(_folder(tmp_path, optuna='duplicates = "allow"', **pieces))
    assert len(study.trials) == 8
    assert max(_tried(study).values()) > 1
    assert not any(REPEAT in trial.user_attrs for trial in study.trials)


def test_a_point_that_has_failed_is_tried(tmp_path: Path, quick_loop: Loop) -> None:  # noqa: F811
    quick_loop.failing = {2, 4}
    study = optimize(_folder(tmp_path, n_trials=90, optuna=SKIP))
    assert Counter(t.state.name for t in study.trials) == {"COMPLETE": 4, "FAIL": 2}
    assert set(_tried(study).values()) == {1}


def test_an_empty_search_has_no_policy(tmp_path: Path) -> None:
    study = optimize(_folder(tmp_path, search="", n_trials=5, optuna=SKIP))
    assert len(study.trials) == 5
    assert not any(REPEAT in trial.user_attrs for trial in study.trials)


def test_an_infinite_space_is_never_used_up(tmp_path: Path) -> None:
    search = '"vae.kl_scale" = { low = 0.01, high = 1.0, log = true }\n'
    folder = _folder(tmp_path, search=search, n_trials=3, optuna=SKIP)
    study = optimize(folder)
    study.enqueue_trial({"vae.kl_scale": 0.5})
    study.enqueue_trial({"vae.kl_scale": 0.5})
    assert [t.params["vae.kl_scale"] for t in optimize(folder, n_trials=5).trials[3:]] == [0.5, 0.5]


@pytest.mark.parametrize("kind", ["grid", "random"])
def test_what_a_user_queues_is_trained_and_not_drawn_again(kind: str, tmp_path: Path) -> None:
    folder = _folder(tmp_path, sampler=SAMPLERS[kind], optuna=SKIP, n_trials=90)
    study = optimize(folder, timeout_s=1e-9)
    wish = {"patches.size_px": 7, "vae.invariances": "rotation"}
    # Optuna's grid refuses what is queued in part.
    for queued in (wish, wish, {"patches.size_px": 5} if kind == "random" else wish):
        study.enqueue_trial(queued)
    study = optimize(folder)
    assert [t.params for t in study.trials[:2]] == [wish, wish], "never refused"
    assert study.trials[2].params["patches.size_px"] == (5 if kind == "random" else 7)
    assert len(study.trials) == N_POINTS + (1 if kind == "random" else 2)
    assert len(_tried(study)) == N_POINTS
    study.enqueue_trial(wish)
    assert optimize(folder).trials[-1].params == wish, "also when nothing else is left"


# ---- interruptions


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("at_once", [1, 3])
def test_an_interrupted_study_refuses_what_the_whole_one_refuses(
    kind: str,
    at_once: int,
    tmp_path: Path,
    quick_loop: Loop,  # noqa: F811
) -> None:
    pieces: dict[str, Any] = {"sampler": SAMPLERS[kind], "n_trials": 10, "optuna": TWICE}
    pieces |= {"at_once": at_once, "rewards": ONE if kind == "gp" else TWO}
    whole = _history(optimize(write_study(tmp_path / "whole", **pieces)))
    cut = write_study(tmp_path / "cut", **pieces)
    for what, after in (("asked", 13), ("told", 1), ("asked", 2)):
        quick_loop.strike = _strike(what, after)
        with pytest.raises(KeyboardInterrupt):
            optimize(cut)
    quick_loop.strike = lambda what: None
    study = optimize(cut)
    assert any(RETRY_OF in trial.user_attrs for trial in study.trials)
    assert _history(study) == whole


# ---- several at the same moment


def _together(count: int, act: Callable[[], None]) -> None:
    errors: list[BaseException] = []

    def caught() -> None:
        try:
            act()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=caught) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.parametrize("kind", ["random", "tpe", "grid", "brute-force"])
def test_eight_at_the_same_moment_do_not_draw_the_same(kind: str, tmp_path: Path) -> None:
    search = SEARCH + '"vae.latent_dim" = { low = 1, high = 4 }\n'
    file = open_study(_folder(tmp_path, search=search, sampler=SAMPLERS[kind], optuna=SKIP))
    session = prepare(file)
    create_or_load(session, storage_url(file))

    def work() -> None:
        study = load_study(file)
        while (trial := ask(study, session)) is not None:
            study.tell(trial, float(trial.number))

    _together(8, work)
    study = load_study(file)
    assert len(study.trials) == len(_tried(study)) == 4 * N_POINTS
    assert all(trial.state == TrialState.COMPLETE for trial in study.trials)


# ---- what is told


def test_a_repeat_tells_the_mean_and_the_worst_margin(tmp_path: Path) -> None:
    study = optimize(_folder(tmp_path, rewards=TWO, n_trials=90))
    assert set(_tried(study).values()) == {3}
    by_point: dict[Any, list[optuna.trial.FrozenTrial]] = {}
    for trial in study.trials:
        by_point.setdefault(tuple(trial.params.items()), []).append(trial)
    for first, second, third in by_point.values():
        assert REPEAT not in first.user_attrs
        own = [first.values, *(t.user_attrs[REPEAT]["own"] for t in (second, third))]
        (margin,) = first.constraints.values()
        margins = [margin, *(t.user_attrs[REPEAT]["margin"] for t in (second, third))]
        for i, trial in enumerate((second, third), start=2):
            repeat = trial.user_attrs[REPEAT]
            assert trial.values == pytest.approx(np.mean(own[:i], axis=0), rel=1e-15)
            assert list(trial.constraints.values()) == [max(margins[:i])]
            assert repeat["of"] == first.number
            assert repeat["trials"] == [first.number, second.number, third.number][:i]
            assert repeat["sd"] == [statistics.stdev(column) for column in zip(*own[:i])]  # noqa: B905
        assert len({tuple(values) for values in own}) == 3, "seeds of their own"


def test_only_replicates_are_averaged(tmp_path: Path) -> None:
    folder = _folder(tmp_path, optuna=SKIP, n_trials=2)
    study = optimize(folder, timeout_s=1e-9)
    for _ in range(2):
        study.enqueue_trial({"patches.size_px": 7, "vae.invariances": "rotation"})
    first, second = finished(optimize(folder))
    assert first.params == second.params
    assert first.values != second.values
    assert REPEAT not in second.user_attrs


# ---- points


SPACE = {
    "word": CategoricalDistribution(["none", "rotation", 3, None]),
    "real": FloatDistribution(0.1, 0.7, step=0.1),
    "whole": IntDistribution(3, 9, step=2),
    "any": FloatDistribution(1e-3, 1.0, log=True),
}


def test_a_point_is_the_same_before_and_after_it_was_stored(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/points.db"
    study = optuna.create_study(storage=url, sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = []
    for _ in range(30):
        trial = study.ask(fixed_distributions=dict(SPACE))
        drawn.append(point_of(trial.params, SPACE))
    again = optuna.load_study(study_name=study.study_name, storage=url)
    assert [point_of(trial.params, SPACE) for trial in again.trials] == drawn
    assert len(set(drawn)) == 30


def test_rounding_and_order_make_no_other_point() -> None:
    point = point_of({"any": 0.5, "whole": 7, "real": 0.1 + 2 * 0.1, "word": None}, SPACE)
    assert point == point_of({"word": None, "real": 0.3, "whole": 7.0, "any": 0.5}, SPACE)
    assert point == (3, 2, 2, 0.5)
    assert point_of({"word": None, "real": 0.3, "whole": 7}, SPACE) is None
    odd = point_of({"word": "x", "real": 0.35, "whole": 11, "any": 0.5}, SPACE)
    assert odd == ("'x'", "0.35", "11", 0.5), "queued by hand: no place in the space"


def test_what_is_tried_least_is_drawn_evenly() -> None:
    space = {"a": IntDistribution(0, 3), "b": CategoricalDistribution(["x", "y"])}
    values: dict[str, list[Any]] = {"a": [0, 1, 2, 3], "b": ["x", "y"]}
    rng = np.random.default_rng(0)

    def often(counts: dict[Any, int], fixed: dict[str, Any]) -> Counter[Any]:
        taken = Taken(counts, 0)
        drawn = (least_tried(taken, space, values, fixed, rng) for _ in range(300))
        return Counter(tuple(sorted(found.items())) for found in drawn)

    some = often({(0, 0): 1, (3, 1): 2, (1, "'z'"): 1}, {})
    assert len(some) == 6
    assert min(some.values()) > 25
    assert (("a", 0), ("b", "x")) not in some
    assert (("a", 3), ("b", "y")) not in some
    everything = {(a, b): 1 + (a != 2) for a in range(4) for b in range(2)}
    assert often(everything, {}).keys() == {(("a", 2), ("b", "x")), (("a", 2), ("b", "y"))}
    assert often({(0, 1): 1, (1, 1): 1, (2, 0): 1}, {"b": "y"}).keys() == {
        (("a", 2),),
        (("a", 3),),
    }


def _session_of(folder: Path) -> Session:
    return prepare(open_study(folder))


def test_trials_that_will_be_run_again_hold_their_point(
    tmp_path: Path,
    quick_loop: Loop,  # noqa: F811
) -> None:
    folder = _folder(tmp_path, optuna=SKIP, at_once=6, n_trials=6)
    quick_loop.strike = _strike("training", 0)
    with pytest.raises(KeyboardInterrupt):
        optimize(folder)
    study = load_study(open_study(folder))
    assert {trial.state for trial in study.trials} == {TrialState.FAIL}
    session = _session_of(folder)
    held = Taken.by(takers(study), session)
    assert len(held.counts) == 6, "cut off, not queued yet"
    assert list(takers(study, dead=False)) == []
    assert ask(study, session) is None
