"""What a caller may want to show while a study runs."""

from collections.abc import Sequence
from typing import Protocol

import optuna
from optuna.trial import FrozenTrial

from vaeopt.study.session import Session

__all__ = ["Progress", "Silent"]


class Progress(Protocol):
    """Told of what happens; the methods of :class:`Silent` are a start."""

    def started(self, study: optuna.Study, session: Session, total: int) -> None:
        """Before the first trial; ``total`` finished trials are wanted."""

    def note(self, line: str) -> None:
        """Something to know, as soon as it is known; not called where there is nothing."""

    def training(self, numbers: Sequence[int]) -> None:
        """Before trials train: those of the next epochs, several if they train together."""

    def epoch(self, epoch: int, epochs: int, loss_nats: float) -> None:
        """After each training epoch; the loss is the mean of all that trains."""

    def working(self, study: optuna.Study, running: Sequence[FrozenTrial]) -> None:
        """Now and then while this process waits for trials that others run."""

    def trial_done(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """After each trial, failed ones included; with workers, after each of theirs."""


class Silent:
    """Shows nothing."""

    def started(self, study: optuna.Study, session: Session, total: int) -> None:
        """Nothing."""

    def note(self, line: str) -> None:
        """Nothing."""

    def training(self, numbers: Sequence[int]) -> None:
        """Nothing."""

    def epoch(self, epoch: int, epochs: int, loss_nats: float) -> None:
        """Nothing."""

    def working(self, study: optuna.Study, running: Sequence[FrozenTrial]) -> None:
        """Nothing."""

    def trial_done(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Nothing."""
