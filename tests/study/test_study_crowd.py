"""Many processes on one study: as many trials as were wanted, none lost, none twice."""

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from tests.study.crowd import Crowd, crowd
from tests.study.test_study_batches import REAL
from tests.study.tiny import ONE, points, write_study
from vaeopt.study.attributes import SEED_NUMBER
from vaeopt.study.optimize import optimize
from vaeopt.study.results.confirm import confirm

N = 20
GRID = """\
"patches.size_px" = { low = 3, high = 9, step = 2 }
"vae.invariances" = { choices = [[], ["rotation"], ["translation"]] }
"""


def sound(seen: Crowd, finished: int) -> None:
    """Exactly so many trials, each once, all whole."""
    assert seen.errors == []
    assert seen.finished == finished
    assert (seen.repeated, seen.unfinished, seen.files_lost) == (0, 0, 0)
    numbers = sorted(t.user_attrs[SEED_NUMBER] for t in seen.trials)
    assert numbers == list(range(len(numbers)))
    assert {t.state for t in seen.trials} == {TrialState.COMPLETE}


def test_eight_processes_on_sqlite_end_with_exactly_n_trials(tmp_path: Path) -> None:
    folder = write_study(tmp_path, rewards=ONE, search=REAL, sampler='"tpe"', n_trials=N)
    seen = crowd(folder, 8)
    sound(seen, N)
    assert len(seen.by_worker) > 1, "they shared the work"


@pytest.mark.parametrize("kind", ["grid", "brute-force"])
def test_eight_processes_try_every_point_once(kind: str, tmp_path: Path) -> None:
    folder = write_study(tmp_path, rewards=ONE, sampler=f'"{kind}"', search=GRID, n_trials=50)
    seen = crowd(folder, 8)
    sound(seen, 12)
    assert len({parameters for parameters, _ in points(seen.trials)}) == 12


def test_batches_of_several_processes_never_go_beyond_n(tmp_path: Path) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=11, at_once=3)
    sound(crowd(folder, 3), 11)


def test_eight_processes_on_postgresql_end_with_exactly_n_trials(
    tmp_path: Path, postgres_url: str
) -> None:
    folder = write_study(tmp_path, rewards=ONE, search=REAL, sampler='"tpe"', n_trials=N)
    seen = crowd(folder, 8, postgres_url)
    sound(seen, N)
    assert len(seen.by_worker) > 1, "they shared the work"


def test_eight_processes_on_postgresql_try_every_point_once(
    tmp_path: Path, postgres_url: str
) -> None:
    folder = write_study(tmp_path, rewards=ONE, sampler='"grid"', search=GRID, n_trials=50)
    seen = crowd(folder, 8, postgres_url)
    sound(seen, 12)
    assert len({parameters for parameters, _ in points(seen.trials)}) == 12


def test_a_process_that_confirms_at_the_same_moment_finds_the_study_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=1)
    optimize(folder)
    first = confirm(folder, seeds=1)
    # The other one has looked before this one has made it.
    names = optuna.get_all_study_names
    monkeypatch.setattr(
        optuna, "get_all_study_names", lambda storage: [n for n in names(storage) if n == "tiny"]
    )
    assert confirm(folder, seeds=1) == first
