"""Stochastic variational inference of the Bayesian mixture, several fits side by side.

The guide is a normal distribution with diagonal covariance in unconstrained space, started and
optimised as Pyro's ``AutoDiagonalNormal`` with ``ClippedAdam`` (semantics 6.2, 6.3).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from threadpoolctl import threadpool_limits

from vaeopt.kernels.mixture.guide import BayesianDensity

__all__ = [
    "BETA1",
    "BETA2",
    "CHECK_EVERY",
    "CLIP",
    "EPSILON",
    "GuideFit",
    "evidence_costs",
    "fit_guides",
    "settled",
    "unconstrained",
]

Float64s = NDArray[np.float64]
_WINDOW, CHECK_EVERY = 200, 50  # steps of the stopping rule
CLIP, BETA1, BETA2, EPSILON = 10.0, 0.9, 0.999, 1e-8  # of ClippedAdam


@dataclass(frozen=True, kw_only=True)
class GuideFit:
    """The guide of one member."""

    loc: Float64s
    """(P,) its median"""
    scale: Float64s
    """(P,) its standard deviations"""
    steps: int
    converged: bool
    """whether the stopping rule ended the fit"""
    broken: bool
    """whether the loss was not a number in the last step"""


def settled(losses: Sequence[float], stop_gain: float) -> bool:
    """Whether the last steps are hardly better on average than as many before.

    Args:
        losses: of all steps so far [nats per sample].
        stop_gain: least gain [nats per sample]; 0: never settled.
    """
    n = len(losses)
    if stop_gain == 0 or n < 2 * _WINDOW or n % CHECK_EVERY:
        return False
    now, before = np.mean(losses[-_WINDOW:]), np.mean(losses[-2 * _WINDOW : -_WINDOW])
    return bool(before - now < stop_gain)


def unconstrained(
    weights: Float64s, means: Float64s, spread: Float64s, means_limit: float | None
) -> Float64s:
    """The parameters (P,) of a mixture without correlations.

    Args:
        weights: (K,), all positive.
        means: (K, d), inside the limit.
        spread: (K, d) what has the HalfNormal prior.
        means_limit: of the uniform prior; None for the normal one.
    """
    k, d = means.shape
    left = np.maximum(1 - weights[:-1].cumsum(), np.finfo(float).tiny)
    sticks = np.log(weights[:-1]) - np.log(left) + np.log(np.arange(k - 1, 0, -1))
    if means_limit is not None:
        means = 2 * np.arctanh(means / means_limit)
    none = np.zeros(k * d * (d - 1) // 2)
    return np.concatenate([sticks, means.ravel(), np.log(spread).ravel(), none])


def fit_guides(
    density: BayesianDensity,
    start: Float64s,
    rngs: Sequence[np.random.Generator],
    *,
    init_scale: float,
    steps: int,
    learning_rate: float,
    stop_gain: float,
) -> list[GuideFit]:
    """Fit a guide to every member; what one member becomes does not depend on the others.

    Args:
        density: of S members.
        start: (S, P) where the guides are centred at the start.
        rngs: of the noise, one per member.
        init_scale: standard deviation of the guides at the start.
        steps: most optimiser steps.
        learning_rate: of ClippedAdam.
        stop_gain: a member ends when 200 steps gain less over 200 before [nats per sample].
    """
    s, p = start.shape
    raw = np.full((s, p), init_scale + math.log(-math.expm1(-init_scale)))
    state = _Adam(np.stack([start, raw], axis=1), learning_rate)
    losses: list[list[float]] = [[] for _ in range(s)]
    active, found = list(range(s)), dict[int, GuideFit]()
    # Values that leave the numbers end the member, with a reason.
    with threadpool_limits(1), np.errstate(all="ignore"):
        for step in range(1, steps + 1):
            noise = np.stack([rngs[i].standard_normal(p) for i in active])
            loss, gradient = _loss(density, state.x, noise)
            for row, i in enumerate(active):
                losses[i].append(loss[row] / density.points.shape[1])
            state.step(gradient)
            broken = ~np.isfinite(loss)
            calm = np.array([settled(losses[i], stop_gain) for i in active]) & ~broken
            done = broken | calm | (step == steps)
            for row in np.flatnonzero(done).tolist():
                loc, raw_scale = state.x[row]
                found[active[row]] = GuideFit(
                    loc=loc,
                    scale=np.logaddexp(0, raw_scale),
                    steps=step,
                    converged=bool(calm[row]),
                    broken=bool(broken[row]),
                )
            if done.all():
                break
            if done.any():
                going = np.flatnonzero(~done)
                active, density = [active[i] for i in going], density.of(going)
                state.keep(going)
    return [found[i] for i in range(s)]


def _loss(density: BayesianDensity, x: Float64s, noise: Float64s) -> tuple[Float64s, Float64s]:
    """-ELBO plus penalty (S,) for one draw from each guide, and its gradient (S, 2, P)."""
    loc, raw = x[:, 0], x[:, 1]
    scale = np.logaddexp(0, raw)
    value, slope = density(loc + scale * noise)
    gradient = np.stack([-slope, -(slope * noise + 1 / scale) * expit(raw)], axis=1)
    return _guide_log_density(scale, noise) - value, gradient


def _guide_log_density(scale: Float64s, noise: Float64s) -> Float64s:
    terms = noise**2 / 2 + np.log(scale) + math.log(2 * math.pi) / 2
    return np.asarray(-terms.sum(-1))


class _Adam:
    """ClippedAdam of Pyro: gradients are clipped element by element.

    Args:
        x: (S, 2, P) medians and unconstrained standard deviations.
        rate: learning rate.
    """

    def __init__(self, x: Float64s, rate: float) -> None:
        self.x, self.rate, self.steps = x, rate, 0
        self.first, self.second = np.zeros_like(x), np.zeros_like(x)

    def step(self, gradient: Float64s) -> None:
        """Move all members once."""
        self.steps += 1
        clipped = gradient.clip(-CLIP, CLIP)
        self.first += (1 - BETA1) * (clipped - self.first)
        self.second += (1 - BETA2) * (clipped**2 - self.second)
        size = self.rate * math.sqrt(1 - BETA2**self.steps) / (1 - BETA1**self.steps)
        self.x = self.x - size * self.first / (np.sqrt(self.second) + EPSILON)

    def keep(self, members: NDArray[np.intp]) -> None:
        """Go on with these only."""
        self.x, self.first, self.second = (a[members] for a in (self.x, self.first, self.second))


def evidence_costs(
    density: BayesianDensity, fit: GuideFit, draws: int, rng: np.random.Generator
) -> Float64s:
    """-ELBO / M without the overlap, one per draw from the guide: (draws,).

    Args:
        density: of one member.
        fit: its guide.
        draws: how many.
        rng: of the draws.
    """
    found = np.empty(draws)
    with threadpool_limits(1), np.errstate(all="ignore"):
        for i in range(draws):
            noise = rng.standard_normal((1, len(fit.loc)))
            value, _ = density(fit.loc + fit.scale * noise, penalised=False)
            found[i] = (_guide_log_density(fit.scale, noise) - value)[0]
    return np.asarray(found / density.points.shape[1])
