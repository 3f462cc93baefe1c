"""The laws of each family."""

import math
from pathlib import Path

import numpy as np
import torch

from vaeopt.core.seeds import Seeds
from vaeopt.core.settings import Plugin
from vaeopt.kernels.latent import unit_diagnostics
from vaeopt.stages.density_filter import DensityFilter
from vaeopt.stages.keypoints import KeypointDetector
from vaeopt.stages.latent_filter import LatentFilter
from vaeopt.stages.mixture import MixtureModel
from vaeopt.stages.mixture.bgmm import Bgmm
from vaeopt.stages.mixture.gmm import Gmm
from vaeopt.stages.rewards import Reward
from vaeopt.stages.rewards.base import trainings_compared
from vaeopt.stages.rewards.reconstruction import Reconstruction
from vaeopt.stages.vae import Invariance
from vaeopt.testing.examples import example_micrograph, example_run
from vaeopt.workflow import Workflow

__all__ = [
    "check_density_filter",
    "check_detector",
    "check_invariance",
    "check_latent_filter",
    "check_mixture",
    "check_reward",
    "check_settings",
]


def check_settings(member: Plugin) -> None:
    """A member has a docstring, and its table makes the same member again."""
    kind = member.kind
    assert type(member).__doc__, f"{kind}: no docstring"
    again = type(member).from_table(member.to_table())
    assert again == member, f"{kind}: to_table and from_table do not round-trip"
    for name, field in type(member).model_fields.items():
        assert field.description, f"{kind}: setting {name!r} has no docstring"


def check_detector(detector: KeypointDetector, *, folder: Path = Path()) -> None:
    """Positions lie on the image, are as many as strengths, and come out the same again."""
    micrograph = example_micrograph()
    first = detector.find(micrograph, folder=folder)
    again = detector.find(micrograph, folder=folder)
    height, width = micrograph.pixels.shape
    inside = (first.yx_px >= 0) & (first.yx_px <= [height - 1, width - 1])
    assert inside.all(), f"{detector.kind}: a position lies outside the image"
    assert np.isfinite(first.strength).all(), f"{detector.kind}: a strength is not finite"
    assert np.array_equal(first.yx_px, again.yx_px), f"{detector.kind}: not deterministic"


def check_invariance(invariance: type[Invariance]) -> None:
    """No amount, no change; patch i depends on code i only; gradients exist."""
    kind, n = invariance.kind, 5
    linear, offset = invariance.affine(torch.zeros(n, invariance.n_codes, dtype=torch.float64))
    assert torch.allclose(linear, torch.eye(2, dtype=torch.float64).expand(n, 2, 2)), (
        f"{kind}: amount 0 must leave the coordinates alone"
    )
    assert torch.equal(offset, torch.zeros_like(offset)), f"{kind}: amount 0 must not shift"
    amount = torch.linspace(-0.7, 0.9, n * invariance.n_codes, dtype=torch.float64)
    amount = amount.reshape(n, invariance.n_codes).requires_grad_()
    linear, offset = invariance.affine(amount)
    for i in range(n):
        one_linear, one_offset = invariance.affine(amount[i : i + 1])
        same = torch.allclose(linear[i], one_linear[0]) and torch.allclose(offset[i], one_offset[0])
        assert same, f"{kind}: patch {i} depends on other codes"
    (linear.sum() + (offset**2).sum()).backward()  # type: ignore[no-untyped-call]  # torch's stub
    assert amount.grad is not None, f"{kind}: no gradient reaches the codes"


def check_latent_filter(latent_filter: LatentFilter) -> None:
    """Healthy latents pass, collapsed ones do not, and reasons go with the sign of the margin."""
    rng = np.random.default_rng(0)
    none = np.zeros((500, 0))
    for scale, feasible in (((1.0, 1.0), True), ((1.0, 1e-4), False)):
        z = rng.standard_normal((500, 2)) * scale
        std = np.where(np.asarray(scale) < 1, 1.0, 0.2) * np.ones_like(z)
        verdict = latent_filter(unit_diagnostics(z, std, none, none), raw_space=True)
        assert math.isfinite(verdict.margin), f"{latent_filter.kind}: margin is not finite"
        assert verdict.feasible is feasible, f"{latent_filter.kind}: wrong verdict for sd {scale}"
        assert bool(verdict.reasons) is not feasible, f"{latent_filter.kind}: reasons do not fit"


def check_density_filter(density_filter: DensityFilter) -> None:
    """Keeps at least as many as it promises, never the outlier first, and is deterministic."""
    z = np.random.default_rng(0).standard_normal((300, 2)) * 0.05
    z[7] = (40.0, -40.0)
    kept = density_filter(z)
    assert kept.shape == (300,), f"{density_filter.kind}: wrong shape"
    assert np.array_equal(kept, density_filter(z)), f"{density_filter.kind}: not deterministic"
    assert 1 <= density_filter.count(300) <= 300, f"{density_filter.kind}: impossible count"
    if not kept.all():
        assert not kept[7], f"{density_filter.kind}: keeps the outlier and drops others"


def check_mixture(model: MixtureModel) -> None:
    """Finds two far clusters, repeats itself, and never raises for degenerate latents."""
    rng = np.random.default_rng(0)
    z = np.concatenate([rng.standard_normal((100, 2)), rng.standard_normal((100, 2)) + 12])
    everything, kept = np.arange(200), np.ones(200, dtype=bool)
    first = model.fit(z, kept=kept, fit_index=everything, seeds=Seeds(0, 0))
    again = model.fit(z, kept=kept, fit_index=everything, seeds=Seeds(0, 0))
    assert np.array_equal(first.responsibilities, again.responsibilities), (
        f"{model.kind}: the same seeds give another answer"
    )
    left, right = first.component[:100], first.component[100:]
    assert not set(left) & set(right), f"{model.kind}: two clusters 12 sd apart share a component"
    for degenerate in (np.zeros((200, 2)), z * [1.0, 0.0], np.repeat(z[:1], 200, axis=0)):
        found = model.fit(degenerate, kept=kept, fit_index=everything, seeds=Seeds(0, 0))
        assert found.failure, f"{model.kind}: degenerate latents were fitted"


def check_reward(reward: Reward) -> None:
    """A finite float for healthy and degenerate runs; the same run gives the same value."""
    assert reward.direction in ("minimize", "maximize"), f"{reward.kind}: wrong direction"
    rng = np.random.default_rng(0)
    healthy = np.concatenate([rng.standard_normal((80, 2)), rng.standard_normal((80, 2)) + 9])
    quick = Workflow(
        mixture=Gmm(components=(1, 6), n_init=1),
        bayesian=Bgmm(steps=50, max_components=8),
        replicates=trainings_compared(reward),
        scores=() if reward.mistake else (reward,),
        rewards=(Reconstruction(metric="mse"),),
    )
    for z in (healthy, np.zeros((160, 2)), healthy * [1.0, 0.0]):
        run = example_run(z, quick)
        value = reward.value(run)
        assert isinstance(value, float), f"{reward.kind}: {value!r} is not a float"
        assert math.isfinite(value), f"{reward.kind}: {value} is not finite"
        assert reward.value(run) == value, f"{reward.kind}: the same run gives another value"
    assert reward.label == type(reward).from_table(reward.to_table()).label
