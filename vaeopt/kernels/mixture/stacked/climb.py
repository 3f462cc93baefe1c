"""Extrapolated EM of many sets of points at once: the steps of ``mixture.climb``, without a look.

What that module decides by looking at numbers is decided here by choosing among results: a start
that has lost likelihood by an extrapolation takes the same steps again from where it was, while the
others go on. The host looks every few steps, to leave out starts that have ended.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vaeopt.kernels.mixture.batch import Layout
from vaeopt.kernels.mixture.climb import LONGEST, TRIES
from vaeopt.kernels.mixture.stacked.batch import Places, expect, gathered, maximise
from vaeopt.kernels.mixture.stacked.graph import Repeated

__all__ = ["Stack", "Way", "begin", "best", "climb", "fresh", "iterate", "joined"]

_LOOK = 4  # iterations between two looks
_STEADY = 16  # iterations after which more of the same are likely
_WORTHWHILE = 0.75  # of the components are left: then the others are dropped


@dataclass(frozen=True)
class Stack:
    """Mixtures under way, of T sets of points.

    A set that has fewer starts than others is filled up with some that are not *real*: nobody
    takes them anywhere or chooses them.
    """

    layout: Layout
    """of every set"""
    statistics: Tensor
    """(T, C, F) mean statistics, from which components follow"""
    value: Tensor
    """(T, S) mean log-likelihood; -inf where a covariance is singular or nothing is known yet"""
    settled: Tensor
    """(T, S) whether the last EM step gained less than the tolerance"""
    real: Tensor
    """(T, S)"""

    def take(self, starts: Sequence[Sequence[int]], real: Sequence[Sequence[bool]]) -> "Stack":
        """Of every set these starts, equal numbers for each K, in order of K."""
        layout = Layout(tuple(self.layout.sizes[s] for s in starts[0]))
        index, device = torch.tensor(starts), self.value.device
        rows = torch.stack([self.layout.rows(own) for own in index]).to(device)
        index = index.to(device)
        return Stack(
            layout,
            gathered(self.statistics, rows),
            gathered(self.value, index),
            gathered(self.settled, index),
            torch.tensor(real).to(device),
        )


def fresh(layout: Layout, statistics: Tensor) -> Stack:
    """Starts that have not been taken anywhere yet."""
    shape = (len(statistics), len(layout.sizes))
    none = torch.zeros(shape, dtype=torch.bool, device=statistics.device)
    return Stack(layout, statistics, statistics.new_full(shape, -math.inf), none, ~none)


def joined(parts: Sequence[Stack]) -> Stack:
    """All starts of the parts, in order of K."""
    sizes = tuple(k for part in parts for k in part.layout.sizes)
    order = sorted(range(len(sizes)), key=lambda i: sizes[i])
    together = Stack(
        Layout(sizes),
        torch.cat([part.statistics for part in parts], 1),
        torch.cat([part.value for part in parts], 1),
        torch.cat([part.settled for part in parts], 1),
        real := torch.cat([part.real for part in parts], 1),
    )
    return together.take([order] * len(real), real[:, order].tolist())


def best(starts: Stack, keep: int, *, least: float, gap: float = 0.0) -> Stack:
    """The best starts of every K of every set, chosen as in ``mixture.climb``.

    Args:
        starts: to choose among.
        keep: most starts per K.
        least: starts with a component lighter than this come last.
        gap: of starts whose values differ by less than this one is kept [nats per sample].
    """
    places = Places.of(starts.layout, starts.value.device)
    weights = starts.statistics[..., 0]
    padded = torch.cat([weights, torch.full_like(weights[:, :1], math.inf)], 1)
    lightest = padded[:, places.table].amin(2)
    table = torch.stack([starts.real.double(), (lightest < least).double(), starts.value])
    numbers = table.transpose(0, 1).tolist()  # one look for all
    chosen: list[list[int]] = [[] for _ in numbers]
    real: list[list[bool]] = [[] for _ in numbers]
    for span, _, _ in starts.layout.runs:
        mine = [_best_of(span, *own, keep=keep, gap=gap) for own in numbers]
        most = max(len(own) for own in mine)
        for t, own in enumerate(mine):
            fill = [i for i in range(span.start, span.stop) if i not in own][: most - len(own)]
            together = sorted(own + fill)
            chosen[t] += together
            real[t] += [i in own for i in together]
    return starts.take(chosen, real)


def _best_of(
    span: slice,
    real: list[float],
    light: list[float],
    value: list[float],
    *,
    keep: int,
    gap: float,
) -> list[int]:
    """Numbers of the best starts of one K of one set."""
    mine: list[int] = []
    candidates = [i for i in range(span.start, span.stop) if real[i]]
    for i in sorted(candidates, key=lambda i: (light[i], -value[i])):
        apart = all(abs(value[i] - value[j]) >= gap for j in mine)
        if apart and (not mine or math.isfinite(value[i])):
            mine.append(i)
    return mine[:keep]


@dataclass(frozen=True)
class Way:
    """Where the starts are between two iterations, and what is known of them."""

    now: Tensor
    """(T, C, F) statistics, maybe extrapolated"""
    coefficients: Tensor
    """(T, C, F) that follow from them"""
    proper: Tensor
    """(T, C) whether the covariances do"""
    safe: Tensor
    """(T, C, F) statistics after the last plain step"""
    floor: Tensor
    """(T, S) value there; a start that is below has lost by the extrapolation"""
    value: Tensor
    """(T, S) as in :class:`Stack`"""
    settled: Tensor
    """(T, S) as in :class:`Stack`"""
    left: Tensor
    """(T, S) iterations that may still be taken"""
    going: Tensor
    """(T, S) whether the start goes on"""

    def take(self, starts: Tensor, rows: Tensor) -> "Way":
        """Of every set these starts (T, S') with their components (T, C')."""
        return Way(
            *(gathered(t, rows) for t in (self.now, self.coefficients, self.proper, self.safe)),
            *(gathered(t, starts) for t in (self.floor, self.value, self.settled)),
            *(gathered(t, starts) for t in (self.left, self.going)),
        )

    def become(self, other: "Way") -> None:
        """Take over all numbers; the tensors stay the same."""
        for name, mine in vars(self).items():
            mine.copy_(getattr(other, name))


def climb(phi: Tensor, starts: Stack, ridge: Tensor, *, steps: int, tol: float) -> Stack:
    """Take EM steps, two for each extrapolation, until each gains less than the tolerance.

    Args:
        phi: (T, F, M) features of the points.
        starts: where to begin.
        ridge: (T, d, d) added to covariances.
        steps: most steps; an even number is taken.
        tol: a start ends when a step gains less [nats per sample].
    """
    layout, device = starts.layout, phi.device
    statistics, value = starts.statistics, torch.full_like(starts.value, -math.inf)
    settled, way = torch.zeros_like(starts.settled), begin(starts, ridge, steps)
    index = torch.arange(value.shape[1], device=device).expand_as(value)
    rows = torch.arange(statistics.shape[1], device=device).expand(len(value), -1)
    repeated = _repeated(phi, way, ridge, layout, tol)
    while True:
        repeated(_LOOK)
        going = way.going.tolist()
        fewer = _fewer(going, layout)
        done = not any(any(own) for own in going)
        if done or fewer is not None:
            statistics = _put(statistics, rows, way.safe)
            value, settled = _put(value, index, way.value), _put(settled, index, way.settled)
        if done:
            return Stack(starts.layout, statistics, value, settled, starts.real)
        if fewer is not None:
            own = torch.stack([layout.rows(torch.tensor(s)) for s in fewer]).to(device)
            few = torch.tensor(fewer).to(device)
            way, index, rows = way.take(few, own), gathered(index, few), gathered(rows, own)
            layout = Layout(tuple(layout.sizes[s] for s in fewer[0]))
            repeated = _repeated(phi, way, ridge, layout, tol)


def begin(starts: Stack, ridge: Tensor, steps: int) -> Way:
    """Before the first of these steps."""
    first = maximise(starts.statistics, ridge)
    none = torch.full_like(starts.value, -math.inf)
    return Way(
        now=starts.statistics.clone(),
        coefficients=first.coefficients,
        proper=first.proper,
        safe=starts.statistics.clone(),
        floor=none,
        value=none.clone(),
        settled=torch.zeros_like(starts.settled),
        left=torch.full_like(starts.value, max(1, steps // 2), dtype=torch.int64),
        going=starts.real.clone(),
    )


def _repeated(phi: Tensor, way: Way, ridge: Tensor, layout: Layout, tol: float) -> Repeated:
    """Iterations that change the numbers of this way in place."""
    places = Places.of(layout, phi.device)

    def step() -> None:
        way.become(iterate(phi, way, ridge, layout, places, tol))

    return Repeated(step, phi.device, warm=_STEADY)


def _put(all_: Tensor, index: Tensor, values: Tensor) -> Tensor:
    """All of them with these values (T, N, ...) at index (T, N)."""
    shape = (*index.shape, *(1 for _ in values.shape[2:]))
    return all_.scatter(1, index.view(shape).expand_as(values), values)


def _fewer(going: list[list[bool]], layout: Layout) -> list[list[int]] | None:
    """Of every set the starts to go on with, as many for each; nothing if nearly all are."""
    kept: list[list[int]] = [[] for _ in going]
    components = 0
    for span, _, k in layout.runs:
        numbers = range(span.start, span.stop)
        most = max(sum(own[span]) for own in going)
        components += most * k
        for t, own in enumerate(going):
            first = [i for i in numbers if own[i]] + [i for i in numbers if not own[i]]
            kept[t] += sorted(first[:most])
    return kept if 0 < components < _WORTHWHILE * sum(layout.sizes) else None


def iterate(
    phi: Tensor, way: Way, ridge: Tensor, layout: Layout, places: Places, tol: float
) -> Way:
    """Two steps and an extrapolation of the starts that go on.

    A start that has lost by the last extrapolation is set back to where it was before, and does
    not count the iteration.
    """
    before, first = _step(phi, way.coefficients, way.proper, layout, places)
    middle = maximise(first, ridge)
    after, second = _step(phi, middle.coefficients, middle.proper, layout, places)
    lost = way.going & (before < way.floor)
    taken = way.going & ~lost
    value = torch.where(taken, torch.where(before.isfinite(), after, -math.inf), way.value)
    settled = torch.where(taken, (after - before).abs() < tol, way.settled)
    left = way.left - taken.to(way.left.dtype)
    safe = torch.where(taken[:, places.owner, None], second, way.safe)
    now, coefficients, proper = _extrapolated(way.now, first, safe, lost, places, ridge)
    return Way(
        now=now,
        coefficients=coefficients,
        proper=proper,
        safe=safe,
        floor=torch.where(lost, -math.inf, after),
        value=value,
        settled=settled,
        left=left,
        going=lost | (taken & value.isfinite() & ~settled & (left > 0)),
    )


def _step(
    phi: Tensor, coefficients: Tensor, proper: Tensor, layout: Layout, places: Places
) -> tuple[Tensor, Tensor]:
    """Value of these components, and the statistics under them."""
    value, after = expect(phi, coefficients, layout)
    dead = places.any(~proper) | ~value.isfinite()
    return torch.where(dead, -math.inf, value), after


def _extrapolated(
    zeroth: Tensor, first: Tensor, second: Tensor, lost: Tensor, places: Places, ridge: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Statistics that two EM steps point to, coefficients, and whether those are proper.

    The longest extrapolation that can be is taken; the second step where none can, and where the
    last extrapolation has lost (``second`` is then where it came from).
    """
    step, bend = first - zeroth, second - 2 * first + zeroth
    lengths = [places.sum(v.square().sum(2)) for v in (step, bend)]
    reach = (lengths[0] / lengths[1].clamp(min=1e-300)).sqrt().clamp(1.0, LONGEST)
    candidates = []
    for _ in range(TRIES):
        r = reach[:, places.owner, None]
        candidates.append(zeroth + 2 * r * step + r * r * bend)
        reach = (reach + 1) / 2
    found = torch.stack([*candidates, second])
    parameters = maximise(found, ridge)
    impossible = places.any(~(parameters.proper & (found[..., 0] > 0)))
    impossible[:TRIES] |= lost
    impossible[TRIES] = False
    choice = impossible.long().cumprod(0).sum(0)[:, places.owner]  # the first that can be
    return (
        torch.take_along_dim(found, choice[None, ..., None], 0)[0],
        torch.take_along_dim(parameters.coefficients, choice[None, ..., None], 0)[0],
        torch.take_along_dim(parameters.proper, choice[None], 0)[0],
    )
