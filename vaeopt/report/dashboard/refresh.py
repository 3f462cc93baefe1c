"""Figures that follow a study while it is looked at."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import optuna
from optuna.trial import TrialState

from vaeopt.core.errors import VaeoptError
from vaeopt.report.dashboard.cards import cards_of, panels_of, save_cards
from vaeopt.stages.micrograph import load
from vaeopt.study.file import StudyFile
from vaeopt.study.storage import closed, load_study
from vaeopt.study.storage.together import rdb_of

__all__ = ["EVERY_S", "Refresher", "in_one_line", "save_figures"]

EVERY_S = 30.0
"""least time between two looks at the study [s]"""
_SHARE = 20  # looking and drawing take at most one part in so many of the time
# A journal keeps every figure that was ever written to it.
_GROWTH_OF_JOURNAL = 1.25
_LAST_WORD_S = 5.0


def save_figures(study: optuna.Study, pixel_size_nm: float | None = None) -> int:
    """Draw the figures of a study and store those that have changed; returns their number.

    Args:
        study: with or without finished trials.
        pixel_size_nm: of the image, if it is known.
    """
    return save_cards(study, cards_of(panels_of(study, pixel_size_nm)))


class Refresher:
    """A thread that saves the figures now and whenever trials have ended since.

    It opens the storage for itself, and goes on when the storage was away for a while.

    Args:
        file: of the study.
        storage: URL; that of the study file if left out.
        say: told once, in one line, that the figures cannot be saved.
        every_s: least time between two looks [s].
    """

    def __init__(
        self,
        file: StudyFile,
        storage: str | None,
        say: Callable[[str], None],
        *,
        every_s: float = EVERY_S,
    ) -> None:
        self._file, self._storage, self._say, self._every_s = file, storage, say, every_s
        self._study: optuna.Study | None = None
        self._pixel_size_nm: float | None = None
        self._drawn: tuple[int, str] | None = None
        self._quiet = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="figures", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join(_LAST_WORD_S)  # what it writes is written whole or not at all

    def _run(self) -> None:
        pause = 0.0
        while not self._ended.wait(pause):
            start = time.monotonic()
            try:
                self._look()
                self._quiet = False
            except Exception as error:  # whatever it is, the dashboard must go on
                self._study = None
                if not (self._quiet or self._ended.is_set()):
                    self._say(f"figures are not saved: {in_one_line(error)}")
                self._quiet = True
            pause = max(self._every_s, _SHARE * (time.monotonic() - start))
        if self._study is not None:
            closed(self._study._storage)

    def _look(self) -> None:
        if self._study is None:
            self._study = load_study(self._file, self._storage)
            self._pixel_size_nm = _pixel_size_nm(self._file)
        study = self._study
        ended = len(study.get_trials(deepcopy=False, states=_ENDED))
        state = (ended, repr(sorted(study.user_attrs.items())))
        if state == self._drawn or not self._worth(study, ended):
            return
        cards = cards_of(panels_of(study, self._pixel_size_nm))
        if not self._ended.is_set():
            save_cards(study, cards)
            self._drawn = state

    def _worth(self, study: optuna.Study, ended: int) -> bool:
        if self._drawn is None or rdb_of(study._storage) is not None:
            return True
        return ended >= _GROWTH_OF_JOURNAL * self._drawn[0]


def _pixel_size_nm(file: StudyFile) -> float | None:
    """Of the image, which need not be at hand where a study is looked at: pixels are left then."""
    try:
        return load(file.settings.image, folder=file.folder).pixel_size_nm
    except (VaeoptError, OSError):
        return None


_ENDED = (TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED)


def in_one_line(error: Exception) -> str:
    """What to say of an error that only keeps something from being saved."""
    if isinstance(error, VaeoptError):
        return "; ".join(error.lines)
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {cause}".splitlines()[0]
