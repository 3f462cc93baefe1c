"""What the terminal shows while a study runs: a bar for people, plain lines for files."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.trial import FrozenTrial
from tqdm import tqdm

from vaeopt.study.fronts.pareto import compromise, finished, margin
from vaeopt.study.results.access import metric_names, spans
from vaeopt.study.session import Session

__all__ = ["Terminal", "terminal"]


class Terminal:
    """Progress of trials, best value(s), collapsed count, epochs inside a trial, time left."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Any = None
        self._what = "trials"
        self._interactive = sys.stderr.isatty()

    def started(self, study: optuna.Study, session: Session, total: int) -> None:
        """Open the bar; finished trials of earlier sessions count."""
        if self._quiet:
            return
        done = len(finished(study))
        self._bar = tqdm(
            total=total,
            initial=min(done, total),
            desc="trials",
            unit="trial",
            file=sys.stderr,
            disable=not self._interactive,
            dynamic_ncols=True,
        )
        if not self._interactive:
            print(f"{done} of {total} trials are finished", file=sys.stderr, flush=True)

    def note(self, line: str) -> None:
        """Above the bar."""
        if not self._quiet:
            tqdm.write(line, file=sys.stderr)

    def training(self, numbers: Sequence[int]) -> None:
        """Name the trials that train."""
        self._what = spans(numbers)

    def epoch(self, epoch: int, epochs: int, loss_nats: float) -> None:
        """Show the epoch beside the bar, a few times per trial."""
        if self._bar is not None and epoch % max(1, epochs // 20) == 0:
            self._bar.set_description(f"{self._what} (epoch {epoch}/{epochs})")

    def trial_done(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Advance, and say what is best so far."""
        self._what = "trials"
        if self._quiet:
            return
        text = _best_so_far(study)
        if self._interactive:
            self._bar.set_postfix_str(text, refresh=False)
            done = min(len(finished(study)), self._bar.total)  # those of other processes count
            self._bar.update(done - self._bar.n)
        else:
            state = trial.state.name.lower()
            print(f"trial {trial.number} {state}; {text}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the cursor below the bar."""
        if self._bar is not None:
            self._bar.set_description("trials")
            self._bar.close()


def _best_so_far(study: optuna.Study) -> str:
    found = compromise(study)
    collapsed = sum(margin(trial) > 0 for trial in finished(study))
    if found is None:
        return f"{collapsed} collapsed"
    values = zip(metric_names(study), found.values, strict=True)
    best = ", ".join(f"{name} {value:.4g}" for name, value in values)
    return f"best #{found.number}: {best}; {collapsed} collapsed"


@contextmanager
def terminal(*, quiet: bool = False) -> Iterator[Terminal]:
    """A terminal display that is closed whatever happens."""
    display = Terminal(quiet=quiet)
    try:
        yield display
    finally:
        display.close()
