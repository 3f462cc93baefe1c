"""How fast a study goes: time per trial of one worker, trials per hour, time that is left."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from optuna.trial import FrozenTrial, TrialState

from vaeopt.study.attributes import BATCH, INTERRUPTED, WORKER

__all__ = ["Pace", "busy_seconds", "pace_of"]

LAST = 20
"""finished trials that tell how fast it goes now"""


@dataclass(frozen=True)
class Pace:
    """What the last finished trials say."""

    trials: int
    """finished ones that it was measured on"""
    seconds_per_trial: float
    """of one worker, with what passes between its trials; those that train together share it"""
    per_hour: float
    """trials per hour of all workers together; pauses in which nobody worked left out"""
    batch: float = 1.0
    """trials that were asked for together, on average"""

    def left_s(self, missing: int, workers: int, begun_s: Sequence[float] = ()) -> float | None:
        """Seconds until ``missing`` more trials are finished; None where nobody works.

        Workers go round by round, as nobody can help with the last trial of another one.

        Args:
            missing: trials that are not finished, running ones included.
            workers: processes that run trials.
            begun_s: how long the trials that run now have been running.
        """
        if missing <= 0:
            return 0.0
        if workers <= 0:
            return None
        one_round = self.seconds_per_trial * self.batch
        rounds = math.ceil(missing / (workers * self.batch))
        begun = [min(age, one_round) for age in begun_s]
        return max(0.0, rounds * one_round - (sum(begun) / len(begun) if begun else 0.0))


def pace_of(
    trials: Sequence[FrozenTrial], *, last: int = LAST, since: datetime | None = None
) -> Pace | None:
    """The pace of the last finished trials; None where there is none yet.

    Args:
        trials: of a study, in any state.
        last: finished trials that are looked at.
        since: only trials that have begun after this.
    """
    ended = [
        t
        for t in trials
        if t.datetime_start
        and t.datetime_complete
        and not t.user_attrs.get(INTERRUPTED)
        and (since is None or t.datetime_start >= since)
    ]
    complete = [t for t in ended if t.state == TrialState.COMPLETE]
    recent = sorted(complete, key=_end)[-last:]
    if not recent:
        return None
    first = min(_start(t) for t in recent)
    window = [t for t in ended if _start(t) >= first]  # failed ones took their time, too
    of: dict[str | None, list[FrozenTrial]] = {}
    for trial in window:
        of.setdefault(trial.user_attrs.get(WORKER), []).append(trial)
    spent = sum(
        # A process that ran one trial after the other also spent what lies between them.
        busy_seconds(own)
        if worker is None
        else (max(map(_end, own)) - min(map(_start, own))).total_seconds()
        for worker, own in of.items()
    )
    batches = [t.user_attrs[BATCH][1] if BATCH in t.user_attrs else 1 for t in recent]
    # The mean over batches, of which a large one has more trials.
    batch = len(batches) / sum(1 / max(1, size) for size in batches)
    busy = max(busy_seconds(window), 1e-9)
    return Pace(
        trials=len(recent),
        seconds_per_trial=spent / len(recent),
        per_hour=3600 * len(recent) / busy,
        batch=batch,
    )


def _start(trial: FrozenTrial) -> datetime:
    assert trial.datetime_start is not None
    return trial.datetime_start


def _end(trial: FrozenTrial) -> datetime:
    assert trial.datetime_complete is not None
    return trial.datetime_complete


def busy_seconds(trials: Sequence[FrozenTrial]) -> float:
    """How long at least one of them was running: those of a batch run at the same time."""
    times = sorted(
        (t.datetime_start.timestamp(), t.datetime_complete.timestamp())
        for t in trials
        if t.datetime_start and t.datetime_complete
    )
    total, until = 0.0, 0.0
    for start, end in times:
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total
