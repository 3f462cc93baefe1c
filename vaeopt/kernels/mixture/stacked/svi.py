"""Variational inference of many Bayesian mixtures at once, on a GPU: the steps of ``mixture.svi``.

A look at the losses every 50 steps, which is when the stopping rule asks; between two looks the
host only starts a recorded graph.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus

from vaeopt.kernels.mixture.stacked.graph import Repeated
from vaeopt.kernels.mixture.stacked.guide import StackedDensity
from vaeopt.kernels.mixture.svi import BETA1, BETA2, CHECK_EVERY, CLIP, EPSILON, GuideFit, settled

__all__ = ["Steps", "evidence_costs", "fit_guides"]

Float64s = NDArray[np.float64]


class Steps:
    """The optimisation of S guides; every step reads and writes these tensors and no others.

    Args:
        density: of the sets.
        x: (S, 2, P) medians and unconstrained standard deviations.
        rate: learning rate of ClippedAdam.
    """

    def __init__(self, density: StackedDensity, x: Tensor, rate: float) -> None:
        self.density, self.x, self.rate = density, x, rate
        self.first, self.second = torch.zeros_like(x), torch.zeros_like(x)
        self.count = x.new_zeros(())
        self.place = torch.zeros(1, dtype=torch.int64, device=x.device)
        """of the next step within the noise"""
        self.noise = x.new_zeros(CHECK_EVERY, *x[:, 0].shape)
        self.losses = x.new_zeros(CHECK_EVERY, len(x))

    def of(self, sets: Tensor) -> "Steps":
        """The same for some of the sets."""
        found = Steps(self.density.of(sets), self.x[sets], self.rate)
        found.first, found.second, found.count = self.first[sets], self.second[sets], self.count
        return found

    def step(self) -> None:
        """Move all guides once."""
        noise = self.noise.index_select(0, self.place)[0]
        loc, raw = self.x.unbind(1)
        scale = softplus(raw)
        with torch.enable_grad():
            u = (loc + scale * noise).requires_grad_()
            value = self.density(u)
            (slope,) = torch.autograd.grad(value.sum(), u)
        loss = guide_log_density(scale, noise) - value.detach()
        self.losses.index_copy_(0, self.place, loss[None] / self.density.n_points)
        gradient = torch.stack([-slope, -(slope * noise + 1 / scale) * raw.sigmoid()], 1)
        clipped = gradient.clamp(-CLIP, CLIP)
        self.count += 1
        self.place += 1
        self.first.lerp_(clipped, 1 - BETA1)
        self.second.lerp_(clipped.square(), 1 - BETA2)
        # The usual corrections 1 - beta^t, of which t stays on the device.
        first, second = (-(self.count * math.log(b)).expm1() for b in (BETA1, BETA2))
        size = self.rate * second.sqrt() / first
        self.x -= size * self.first / (self.second.sqrt() + EPSILON)


def guide_log_density(scale: Tensor, noise: Tensor) -> Tensor:
    """(S,) of the guides at median + scale * noise."""
    terms = noise.square() / 2 + scale.log() + math.log(2 * math.pi) / 2
    return -terms.sum(-1)


def fit_guides(
    density: StackedDensity,
    start: Float64s,
    rngs: Sequence[np.random.Generator],
    *,
    init_scale: float,
    steps: int,
    learning_rate: float,
    stop_gain: float,
) -> list[GuideFit]:
    """What ``mixture.svi.fit_guides`` finds for every set, to rounding; the noise is the same.

    Args:
        density: of S sets.
        start: (S, P) where the guides are centred at the start.
        rngs: of the noise, one per set.
        init_scale: standard deviation of the guides at the start.
        steps: most optimiser steps.
        learning_rate: of ClippedAdam.
        stop_gain: a guide ends when 200 steps gain less over 200 before [nats per sample].
    """
    s, p = start.shape
    device = density.phi.device
    raw = np.full((s, p), init_scale + math.log(-math.expm1(-init_scale)))
    with torch.no_grad():
        state = Steps(
            density, torch.from_numpy(np.stack([start, raw], 1)).to(device), learning_rate
        )
        repeated = Repeated(state.step, device)
        losses: list[list[float]] = [[] for _ in range(s)]
        found: dict[int, GuideFit] = {}
        active = list(range(s))  # in the state; some of them may have ended
        for done in range(0, steps, CHECK_EVERY):
            times = min(CHECK_EVERY, steps - done)
            none = np.zeros((times, p))
            noise = [none if i in found else rngs[i].standard_normal((times, p)) for i in active]
            state.noise[:times] = torch.from_numpy(np.stack(noise, 1)).to(device)
            state.place.zero_()
            repeated(times)
            ended = _ended(state, active, losses, found, times, stop_gain, done + times == steps)
            found |= ended
            going = [row for row, i in enumerate(active) if i not in found]
            if not going:
                break
            if 2 * len(going) <= len(active):  # what has ended is carried along until then
                state = state.of(torch.tensor(going).to(device))
                repeated = Repeated(state.step, device)
                active = [active[row] for row in going]
    return [found[i] for i in range(s)]


def _ended(
    state: Steps,
    active: list[int],
    losses: list[list[float]],
    found: dict[int, GuideFit],
    times: int,
    stop_gain: float,
    last: bool,
) -> dict[int, GuideFit]:
    """The guides that end with these steps; adds to the losses."""
    latest, ended = state.losses[:times].T.tolist(), {}
    for row, i in enumerate(active):
        if i in found:
            continue
        broken = next((j for j, loss in enumerate(latest[row]) if not math.isfinite(loss)), None)
        losses[i] += latest[row] if broken is None else latest[row][: broken + 1]
        calm = broken is None and settled(losses[i], stop_gain)
        if calm or last or broken is not None:
            loc, raw = state.x[row].clone().cpu()
            ended[i] = GuideFit(
                loc=loc.numpy(),
                scale=softplus(raw).numpy(),
                steps=len(losses[i]),
                converged=calm,
                broken=broken is not None,
            )
    return ended


def evidence_costs(
    density: StackedDensity,
    fits: Sequence[GuideFit],
    draws: int,
    rngs: Sequence[np.random.Generator],
) -> Float64s:
    """-ELBO / M without the overlap, for draws from every guide: (S, draws)."""
    device = density.phi.device
    loc, scale = (
        torch.from_numpy(np.stack([getattr(fit, name) for fit in fits])).to(device)
        for name in ("loc", "scale")
    )
    drawn = np.stack([rng.standard_normal((draws, loc.shape[1])) for rng in rngs], 1)
    with torch.no_grad():
        costs = [
            guide_log_density(scale, noise) - density(loc + scale * noise, penalised=False)
            for noise in torch.from_numpy(drawn).to(device)
        ]
        return np.asarray((torch.stack(costs, 1) / density.n_points).cpu().numpy())
