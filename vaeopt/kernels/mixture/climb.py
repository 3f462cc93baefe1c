"""Extrapolated expectation maximisation of many mixtures (SQUAREM, Varadhan and Roland 2008)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vaeopt.kernels.mixture.batch import Layout, Parameters, expect, maximise

__all__ = ["LONGEST", "TRIES", "Starts", "best", "climb", "fresh", "joined"]

LONGEST = 1e3  # times an EM step: the most that is extrapolated
TRIES = 3  # shorter extrapolations, until all covariances are positive definite


@dataclass(frozen=True)
class Starts:
    """Mixtures under way."""

    layout: Layout
    statistics: Tensor
    """(C, F) mean statistics, from which components follow"""
    value: Tensor
    """(S,) mean log-likelihood; -inf where a covariance is singular or nothing is known yet"""
    settled: Tensor
    """(S,) whether the last EM step gained less than the tolerance"""

    def take(self, starts: Tensor) -> "Starts":
        """These starts alone, in this order."""
        rows = self.layout.rows(starts)
        layout = self.layout.of(starts)
        return Starts(layout, self.statistics[rows], self.value[starts], self.settled[starts])


def fresh(layout: Layout, statistics: Tensor) -> Starts:
    """Starts that have not been taken anywhere yet."""
    n = len(layout.sizes)
    value = torch.full((n,), -math.inf, dtype=torch.float64)
    return Starts(layout, statistics, value, torch.zeros(n, dtype=torch.bool))


def joined(parts: Sequence[Starts]) -> Starts:
    """All starts of the parts, in order of K."""
    sizes = tuple(k for part in parts for k in part.layout.sizes)
    order = torch.tensor(sorted(range(len(sizes)), key=lambda i: sizes[i]))
    together = Starts(
        Layout(sizes),
        torch.cat([part.statistics for part in parts]),
        torch.cat([part.value for part in parts]),
        torch.cat([part.settled for part in parts]),
    )
    return together.take(order)


def best(starts: Starts, keep: int, *, least: float, gap: float = 0.0) -> Starts:
    """The best starts of every K.

    Args:
        starts: to choose among.
        keep: most starts per K.
        least: starts with a component lighter than this come last.
        gap: of starts whose values differ by less than this one is kept [nats per sample].
    """
    lightest = torch.full_like(starts.value, math.inf).scatter_reduce_(
        0, starts.layout.owner, starts.statistics[:, 0], "amin"
    )
    light, value = (lightest < least).tolist(), starts.value.tolist()
    chosen: list[int] = []
    for span, _, _ in starts.layout.runs:
        mine: list[int] = []
        for i in sorted(range(span.start, span.stop), key=lambda i: (light[i], -value[i])):
            if all(abs(value[i] - value[j]) >= gap for j in mine) and (
                not mine or math.isfinite(value[i])
            ):
                mine.append(i)
        chosen += sorted(mine[:keep])
    return starts.take(torch.tensor(chosen))


def climb(phi: Tensor, starts: Starts, ridge: Tensor, *, steps: int, tol: float) -> Starts:
    """Take EM steps, two for each extrapolation, until each gains less than the tolerance.

    No start ever loses likelihood: where an extrapolation does, the plain steps stand. A start
    whose covariances become singular is left where it is, with value -inf.

    Args:
        phi: (F, M) features of the points.
        starts: where to begin.
        ridge: (d, d) added to covariances.
        steps: most steps; an even number is taken.
        tol: a start ends when a step gains less [nats per sample].
    """
    statistics, value = starts.statistics.clone(), torch.full_like(starts.value, -math.inf)
    settled = torch.zeros_like(starts.settled)
    active, layout = torch.arange(len(value)), starts.layout
    places = torch.arange(len(statistics))
    now, safe, floor = statistics.clone(), statistics, value
    parameters = maximise(now, ridge)
    for _ in range(max(1, steps // 2)):
        before, first = _step(phi, parameters, layout)
        lost = torch.nonzero(before < floor).flatten()
        if len(lost):
            rows = layout.rows(lost)
            now[rows] = safe[rows]
            plain = maximise(now[rows], ridge)
            before[lost], first[rows] = _step(phi, plain, layout.of(lost))
        after, second = _step(phi, maximise(first, ridge), layout)
        statistics[places] = second
        value[active] = torch.where(torch.isfinite(before), after, -math.inf)
        settled[active] = (after - before).abs() < tol
        going = torch.nonzero(torch.isfinite(value[active]) & ~settled[active]).flatten()
        if not len(going):
            break
        floor, safe = after[going], second
        if len(going) < len(active):
            rows = layout.rows(going)
            active, places, layout = active[going], places[rows], layout.of(going)
            now, first, safe = now[rows], first[rows], second[rows]
        now, parameters = _extrapolated(now, first, safe, layout, ridge)
    return Starts(starts.layout, statistics, value, settled)


def _step(phi: Tensor, parameters: Parameters, layout: Layout) -> tuple[Tensor, Tensor]:
    """Value of these components, and the statistics under them."""
    value, after = expect(phi, parameters.coefficients, layout)
    dead = _any(~parameters.proper, layout) | ~torch.isfinite(value)
    return torch.where(dead, -math.inf, value), after


def _extrapolated(
    zeroth: Tensor, first: Tensor, second: Tensor, layout: Layout, ridge: Tensor
) -> tuple[Tensor, Parameters]:
    """Statistics that two EM steps point to, and what follows; the second where those cannot be."""
    step, bend = first - zeroth, second - 2 * first + zeroth
    lengths = [_sum(v.square().sum(1), layout) for v in (step, bend)]
    reach = (lengths[0] / lengths[1].clamp(min=1e-300)).sqrt().clamp(1.0, LONGEST)
    for _ in range(TRIES):
        r = reach[layout.owner][:, None]
        found = zeroth + 2 * r * step + r * r * bend
        parameters = maximise(found, ridge)
        positive = parameters.proper & (found[:, 0] > 0)
        impossible = _any(~positive, layout)
        if not impossible.any():
            return found, parameters
        reach = torch.where(impossible, (reach + 1) / 2, reach)
    found = torch.where(impossible[layout.owner][:, None], second, found)
    return found, maximise(found, ridge)


def _sum(values: Tensor, layout: Layout) -> Tensor:
    """Sum over the components of each start."""
    return values.new_zeros(len(layout.sizes)).index_add_(0, layout.owner, values)


def _any(flags: Tensor, layout: Layout) -> Tensor:
    """Whether a component of the start has the flag."""
    return _sum(flags.to(torch.float64), layout) > 0
