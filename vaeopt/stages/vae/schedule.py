"""How the learning rate changes over a training."""

import math
from typing import Literal

__all__ = ["Schedule", "learning_rate"]

Schedule = Literal["constant", "one-cycle"]

_WARM_UP = 0.1  # share of the training


def learning_rate(schedule: Schedule, peak: float, epoch: int, epochs: int) -> float:
    """The learning rate of one epoch.

    ``one-cycle`` rises linearly to the peak over the first tenth of the training and falls to 0
    along half a cosine over the rest. Every epoch has the rate of its middle, so that none has 0.

    Args:
        schedule: its shape.
        peak: the largest rate.
        epoch: number of the epoch, from 0.
        epochs: of the whole training.

    Returns:
        Above 0, at most ``peak``.

    Source:
        Smith and Topin, arXiv:1708.07120, for the cycle; Loshchilov and Hutter, arXiv:1608.03983,
        for the cosine.

    >>> [round(learning_rate("one-cycle", 1.0, epoch, 10), 2) for epoch in range(10)]
    [0.5, 0.99, 0.93, 0.82, 0.67, 0.5, 0.33, 0.18, 0.07, 0.01]
    >>> learning_rate("constant", 1.0, 3, 10)
    1.0
    """
    if schedule == "constant":
        return peak
    done = (epoch + 0.5) / epochs
    if done < _WARM_UP:
        return peak * done / _WARM_UP
    return peak * (1 + math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP))) / 2
