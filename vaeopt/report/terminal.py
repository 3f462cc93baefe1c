"""What is shown while a study runs: lines that move for people, lines that stay for files."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import optuna
from optuna.trial import FrozenTrial, TrialState

from vaeopt.report.epochs import Epochs
from vaeopt.report.screen import Line, Screen, bar, fill, moves
from vaeopt.study.asking.repeats import mean_of
from vaeopt.study.attributes import FAILURE, INTERRUPTED, WORKER
from vaeopt.study.fronts.pareto import compromise, finished, margin
from vaeopt.study.processes.process import worker_name
from vaeopt.study.results.access import metric_names, spans
from vaeopt.study.results.pace import pace_of
from vaeopt.study.results.status import about, who
from vaeopt.study.session import Session

__all__ = ["HEARTBEAT_S", "Terminal", "terminal"]

HEARTBEAT_S = 60.0
"""how long a file may go without a line while trials run"""
_BAR = 40
_MOST_WORKERS = 3


class Terminal:
    """Progress of trials and of the epochs in them, what is best so far, and the time left.

    On a terminal a few lines at the bottom are written again; elsewhere each finished trial gets a
    line, and long ones a sign of life every minute.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._screen = Screen(sys.stderr) if not quiet and moves(sys.stderr) else None
        self._total = 0
        self._done = 0
        self._began = datetime.now()
        self._start = self._said = time.monotonic()
        self._left: tuple[float, float] | None = None
        """seconds left, and when that was found"""
        self._best: list[str] = []
        self._epochs = Epochs()
        self._running: list[str] = []

    def started(self, study: optuna.Study, session: Session, total: int) -> None:
        """Show how far the study is; finished trials of earlier sessions count."""
        if self._quiet:
            return
        self._total, self._done = total, len(finished(study))
        self._began, self._start = datetime.now(), time.monotonic()
        if self._screen is None:
            self._say(f"{self._done} of {total} trials are finished")
        else:
            if self._done:
                self._best = _best_so_far(study)
            self._draw(now=True)

    def note(self, line: str) -> None:
        """Above the lines that move."""
        if not self._quiet:
            self._say(line)

    def training(self, numbers: Sequence[int]) -> None:
        """Name the trials that train."""
        self._epochs = Epochs(spans(numbers))

    def epoch(self, epoch: int, epochs: int, loss_nats: float) -> None:
        """Show the epoch, its loss and its time."""
        if self._quiet:
            return
        self._epochs.ended(epoch, epochs, loss_nats)
        self._show_life("; ".join(self._epochs.pieces))

    def working(self, study: optuna.Study, running: Sequence[FrozenTrial]) -> None:
        """Show which processes run which trials."""
        if self._quiet:
            return
        self._running = _workers(running)
        self._show_life("; ".join(self._running))

    def trial_done(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Advance, and say what is best so far."""
        self._epochs = Epochs()
        if self._quiet:
            return
        self._done = len(finished(study))  # those of other processes count
        self._best = _best_so_far(study)
        self._left = self._time_left(study, trial)
        if self._screen is not None:
            self._draw(now=True)
        else:
            left = [text] if (text := self._left_text()) else []
            self._say("; ".join([_outcome(trial), *self._best, *left]))

    def close(self) -> None:
        """Leave the cursor below what is shown."""
        if self._screen is None:
            return
        if self._total:
            self._epochs, self._running = Epochs(), []
            self._draw(now=True)
        self._screen.close()

    def _say(self, line: str) -> None:
        self._said = time.monotonic()
        if self._screen is not None:
            self._screen.say(line)
        else:
            print(line, file=sys.stderr, flush=True)

    def _show_life(self, text: str) -> None:
        if self._screen is not None:
            self._draw()
        elif text and time.monotonic() - self._said >= HEARTBEAT_S:
            self._say(text)

    def _time_left(self, study: optuna.Study, trial: FrozenTrial) -> tuple[float, float] | None:
        """By the trials of this session, and by the processes that run trials now."""
        trials = study.get_trials(deepcopy=False)
        pace = pace_of(trials, since=self._began)
        if pace is None:
            return self._left
        running = [t for t in trials if t.state == TrialState.RUNNING and t.datetime_start]
        # Whoever has just told a trial is about to begin the next one.
        workers = {t.user_attrs.get(WORKER) for t in (*running, trial)}
        now = datetime.now()
        begun = [(now - t.datetime_start).total_seconds() for t in running if t.datetime_start]
        missing = max(0, self._total - self._done)
        left = pace.left_s(missing, len(workers), [*begun, 0.0])
        return None if left is None else (left, time.monotonic())

    def _left_text(self) -> str:
        if self._left is None or self._done >= self._total:
            return ""
        seconds, found = self._left
        return f"about {about(max(0.0, seconds - (time.monotonic() - found)))} left"

    def _draw(self, *, now: bool = False) -> None:
        if self._screen is None:
            return
        columns = self._screen.columns
        lines: list[Line] = []
        if self._total:
            lines.append(Line(self._trials(columns)))
            lines += [Line(text, "bold") for text in fill(self._best, columns, most=2)]
        lines += [Line(text, "dim") for text in fill(self._epochs.pieces, columns, most=1)]
        lines += [Line(t, "dim") for t in fill(self._running, columns, most=_MOST_WORKERS)]
        self._screen.show(lines, now=now)

    def _trials(self, columns: int) -> str:
        """``trials 12/50 [####......] 24%, about 6 min left, 02:10``, as far as there is room."""
        share = min(1.0, self._done / self._total)
        passed = round(time.monotonic() - self._start)
        clock = f"{passed // 60:02d}:{passed % 60:02d}"
        head, tail = f"trials {self._done}/{self._total}", f"{100 * share:.0f}%"
        for more in (self._left_text(), clock):  # the more important one first
            if more and len(f"{head} {tail}, {more}") <= columns:
                tail += f", {more}"
        drawn = bar(share, min(_BAR, columns - len(head) - len(tail) - 2))
        return " ".join(filter(None, [head, drawn, tail]))


def _outcome(trial: FrozenTrial) -> str:
    """What became of a trial: ``trial 7 complete, collapsed (node3:4711)``."""
    text = f"trial {trial.number} {trial.state.name.lower()}"
    if trial.state == TrialState.COMPLETE and margin(trial) > 0:
        text += ", collapsed"
    failure = trial.user_attrs.get(FAILURE)
    if failure:
        text += " ".join(f": {failure.get('type')}: {failure.get('message')}".split())[:200]
    worker = trial.user_attrs.get(WORKER)
    elsewhere = worker is not None and worker != worker_name()
    return f"{text} ({who(trial)})" if elsewhere else text


def _best_so_far(study: optuna.Study) -> list[str]:
    """The best trial with its values, and how many trials are not what one hopes for."""
    found, trials = compromise(study), study.get_trials(deepcopy=False)
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    pieces = []
    if found is not None:
        values = zip(metric_names(study), found.values, strict=True)
        best = ", ".join(f"{name} {value:.4g}" for name, value in values)
        pieces.append(f"best #{found.number}: {best}")
    pieces.append(f"{sum(margin(t) > 0 for t in complete)} collapsed")
    repeats = sum(len(mean_of(t)) > 1 for t in complete)
    failed = sum(t.state == TrialState.FAIL and not t.user_attrs.get(INTERRUPTED) for t in trials)
    if repeats:
        pieces.append(f"{repeats} repeat{'s' if repeats > 1 else ''}")
    if failed:
        pieces.append(f"{failed} failed")
    return pieces


def _workers(running: Sequence[FrozenTrial]) -> list[str]:
    """``node3:4711 runs trial 7 since 12 s``, for each process."""
    of: dict[str, list[FrozenTrial]] = {}
    for trial in running:
        of.setdefault(who(trial), []).append(trial)
    now = datetime.now()
    pieces = []
    for name, own in of.items():
        begun = [t.datetime_start for t in own if t.datetime_start]
        age = max(0.0, (now - min(begun)).total_seconds()) if begun else 0.0
        pieces.append(f"{name} runs {spans(t.number for t in own)} since {about(age)}")
    return pieces


@contextmanager
def terminal(*, quiet: bool = False) -> Iterator[Terminal]:
    """A terminal display that is closed whatever happens."""
    display = Terminal(quiet=quiet)
    try:
        yield display
    finally:
        display.close()
