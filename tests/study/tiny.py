"""A study that is done in a second, for the tests of the upper floors."""

import functools
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
import pytest
import sqlalchemy
from numpy.typing import NDArray
from optuna.storages._rdb.storage import _VersionManager
from optuna.trial import FrozenTrial

from vaeopt.study.attributes import IDENTITY
from vaeopt.study.optimize import optimize
from vaeopt.study.session import Session
from vaeopt.study.storage import sqlite

SEARCH = """\
"patches.size_px" = { low = 5, high = 7, step = 2 }
"vae.invariances" = { choices = [[], ["rotation"], ["rotation", "translation"]] }
"""
# No product of variances reaches 1e6: with that threshold a trial collapses on any machine.
SEARCH_COLLAPSE = SEARCH + '"latent_filter.minimum" = { choices = [1e-12, 1e6] }\n'
TWO = '[ { kind = "reconstruction" }, { kind = "gain" } ]'
ONE = '[ { kind = "reconstruction" } ]'
N_TRIALS = 6


def stripes(size_px: int = 48, seed: int = 0) -> NDArray[np.float32]:
    """Stripes of two directions with noise, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    row, col = np.mgrid[:size_px, :size_px]
    pattern = np.where(col < size_px / 2, np.sin(row / 2), np.sin((row + col) / 3))
    noisy = pattern + 0.1 * rng.standard_normal(pattern.shape)
    return np.asarray(noisy, dtype=np.float32)


def study_text(
    *,
    name: str = "tiny",
    head: str = "",
    image: str = 'path = "image.npy"',
    keypoints: str = '{ kind = "grid", spacing_px = 6 }',
    patches: str = "{ size_px = 5 }",
    vae: str = "",
    latent_filter: str = '{ kind = "variance-product", minimum = 1e-12 }',
    components: str = "[1, 2]",
    rewards: str = TWO,
    search: str = SEARCH,
    sampler: str = '{ kind = "random" }',
    n_trials: int = 3,
    seed: int = 0,
    at_once: int | None = None,
    optuna: str = "",
) -> str:
    """A study file; every argument is a piece of TOML."""
    recipe = f"epochs = 2, batch_size = 32{', ' if vae else ''}{vae}"
    return f"""\
name = "{name}"
{head}
[image]
{image}
[workflow]
keypoints = {keypoints}
patches = {patches}
vae = {{ width = 8, depth = 1, device = "cpu", {recipe} }}
latent_filter = {latent_filter}
mixture = {{ kind = "gmm", components = {components}, n_init = 1, tol = 1e-3 }}
rewards = {rewards}
[search]
{search}
[optuna]
sampler = {sampler}
n_trials = {n_trials}
seed = {seed}
{"" if at_once is None else f"trials_at_once = {at_once}"}
{optuna}
"""


def write_study(folder: Path, **pieces: Any) -> Path:
    """A study folder with its image."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "image.npy").exists():
        np.save(folder / "image.npy", stripes())
    (folder / "study.toml").write_text(study_text(**pieces), encoding="utf-8")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, to see whether something was written.

    SQLite itself writes to what it shares between the processes that read a database, and leaves
    an empty log.
    """
    found = {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
        if not path.name.endswith("-shm")
    }
    return {name: held for name, held in found.items() if held or not name.endswith("-wal")}


Direction = Literal["minimize", "maximize"]
Point = tuple[tuple[tuple[str, Any], ...], tuple[float, ...]]


def points(trials: Sequence[FrozenTrial]) -> list[Point]:
    """Parameters and values of finished trials, in an order that does not depend on numbers."""
    done = [t for t in trials if t.state == optuna.trial.TrialState.COMPLETE]
    return sorted((tuple(sorted(t.params.items())), tuple(t.values)) for t in done)


class Halt:
    """Progress that counts, and calls something at one epoch of one trial of this session."""

    def __init__(self, trial: int, then: Callable[[], None], epoch: int = 1) -> None:
        self._trial, self._epoch, self._then = trial, epoch, then
        self._ended = 0
        self.states: list[str] = []
        self.groups: list[list[int]] = []
        self.notes: list[str] = []

    def started(self, study: optuna.Study, session: Session, total: int) -> None:
        """Nothing to prepare."""

    def note(self, line: str) -> None:
        """Keep it."""
        self.notes.append(line)

    def training(self, numbers: Sequence[int]) -> None:
        """Note who trains with whom."""
        self.groups.append(list(numbers))

    def working(self, study: optuna.Study, running: Sequence[FrozenTrial]) -> None:
        """Nothing to do."""

    def epoch(self, epoch: int, epochs: int, loss_nats: float) -> None:
        """Strike."""
        if self._ended == self._trial and epoch == self._epoch:
            self._then()

    def trial_done(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Count."""
        self._ended += 1
        self.states.append(trial.state.name)


def ctrl_c() -> None:
    """What Python does at Ctrl-C."""
    raise KeyboardInterrupt


@functools.cache
def _finished(base: Path) -> Path:
    folder = write_study(
        base / "finished",
        search=SEARCH_COLLAPSE,
        sampler='{ kind = "grid" }',
        components="[1, 3]",
        n_trials=N_TRIALS,
    )
    optimize(folder)
    return folder


@pytest.fixture(scope="session")
def finished_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the one finished study; read it, never write to it."""
    # A conftest of each folder imports this fixture, which makes several of it: cache by place.
    return _finished(tmp_path_factory.getbasetemp())


@pytest.fixture
def finished_copy(finished_folder: Path, tmp_path: Path) -> Path:
    """A copy of the finished study that a test may spoil."""
    return Path(shutil.copytree(finished_folder, tmp_path / "copy"))


def made_by_hand(
    directions: Sequence[Direction],
    values: Sequence[Sequence[float]],
    margins: Sequence[float] | None = None,
) -> optuna.Study:
    """A study in memory with these values and collapse margins."""
    study = optuna.create_study(directions=list(directions))
    for i, value in enumerate(values):
        system = {} if margins is None else {"constraints": [margins[i]]}
        study.add_trial(
            optuna.trial.create_trial(values=list(value), user_attrs={}, system_attrs=system)
        )
    study.set_user_attr(IDENTITY, {})
    return study


def _no_fsync(connection: Any, record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")  # nothing here survives a power cut anyway


_new_script = _VersionManager._create_alembic_script


@functools.cache
def _script() -> Any:
    return _new_script(_VersionManager.__new__(_VersionManager))


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    """No fsync, and Optuna's thirty schema versions are imported once, not with every study."""
    sqlalchemy.event.listen(sqlalchemy.engine.Engine, "connect", _no_fsync)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite, "SYNCHRONOUS", "OFF")
        patch.setattr(_VersionManager, "url", "sqlite://", raising=False)
        patch.setattr(_VersionManager, "_create_alembic_script", lambda manager: _script())
        yield
    sqlalchemy.event.remove(sqlalchemy.engine.Engine, "connect", _no_fsync)


@pytest.fixture(autouse=True)
def untouched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No storage from the environment, and the signal handlers as they were."""
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)
