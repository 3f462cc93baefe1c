"""Mixtures of several runs, replicates and subsets, in one batch per equal settings."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from vaeopt.core.types import Mixture
from vaeopt.stages.mixture import FitRequest, MixtureModel

__all__ = ["Fit", "Fitted", "fit_all"]


@dataclass(frozen=True)
class Fit:
    """One mixture that is wanted."""

    model: MixtureModel
    request: FitRequest


class Fitted(NamedTuple):
    """What came out of one fit."""

    outcome: Mixture | Exception
    seconds: float
    """its share of the time of its batch: every fit of a batch has the same"""


def fit_all(fits: Sequence[Fit]) -> list[Fitted]:
    """Fit all, those of equal settings together (:meth:`MixtureModel.fit_many`), in their order.

    A batch that raises is fitted again one by one, so that only what is to blame fails.
    """
    batches: list[list[int]] = []
    for number, fit in enumerate(fits):
        alike = (batch for batch in batches if fits[batch[0]].model == fit.model)
        if (batch := next(alike, None)) is None:
            batches.append([number])
        else:
            batch.append(number)
    found: dict[int, Fitted] = {}
    for batch in batches:
        found |= zip(batch, _of_batch([fits[number] for number in batch]), strict=True)
    return [found[number] for number in range(len(fits))]


def _of_batch(fits: Sequence[Fit]) -> list[Fitted]:
    if len(fits) == 1:
        return [_alone(fits[0])]
    start = time.perf_counter()
    try:
        mixtures = fits[0].model.fit_many([fit.request for fit in fits])
        outcomes = [_expected(mixture) for _, mixture in zip(fits, mixtures, strict=True)]
    except Exception:  # a model of the user's own, or a device with too little memory for all
        outcomes = []
    if not outcomes:
        return [_alone(fit) for fit in fits]
    each = (time.perf_counter() - start) / len(fits)
    return [Fitted(mixture, each) for mixture in outcomes]


def _alone(fit: Fit) -> Fitted:
    start, one = time.perf_counter(), fit.request
    outcome: Mixture | Exception
    try:
        outcome = _expected(
            fit.model.fit(one.z, kept=one.kept, fit_index=one.fit_index, seeds=one.seeds)
        )
    except Exception as error:
        outcome = error
    return Fitted(outcome, time.perf_counter() - start)


def _expected(found: object) -> Mixture:
    if not isinstance(found, Mixture):  # a plug-in: it would fail others of its batch later
        raise TypeError(f"a mixture model has fitted {found!r}, not a Mixture")
    return found
