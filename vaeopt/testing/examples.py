"""Small inputs for checks: an image with structure, and runs with known latents."""

import hashlib
from dataclasses import replace

import numpy as np

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import (
    Comparison,
    Floats,
    KeyPoints,
    Latents,
    Micrograph,
    Reconstruction,
    Recut,
    TrainedVae,
    WorkflowRun,
)
from vaeopt.stages.patches import PatchSettings, cut
from vaeopt.workflow import Workflow
from vaeopt.workflow.run import score

__all__ = ["example_micrograph", "example_run"]


def example_micrograph(size_px: int = 64, *, seed: int = 0) -> Micrograph:
    """Stripes of two directions with noise, in [0, 1]; 10 nm per pixel, places 8 px apart."""
    rng = np.random.default_rng(seed)
    row, col = np.mgrid[:size_px, :size_px]
    stripes = np.where(col < size_px / 2, np.sin(row / 2), np.sin((row + col) / 3))
    noisy = 0.5 + 0.35 * stripes + 0.05 * rng.standard_normal(stripes.shape)
    pixels = np.clip(noisy, 0, 1).astype(np.float32)
    return Micrograph(
        name="stripes",
        pixels=pixels,
        pixel_size_nm=10.0,
        sha256=hashlib.sha256(pixels.tobytes()).hexdigest(),
        scaling=(0.0, 1.0),
        yx_px=np.stack([row, col], axis=-1)[4::8, 4::8].reshape(-1, 2).astype(np.float64),
    )


def example_run(z_mean: Floats, workflow: Workflow | None = None, *, seed: int = 0) -> WorkflowRun:
    """A run with given content latents and everything behind the encoder computed from them.

    Args:
        z_mean: (n, d) posterior means; posterior standard deviations are 0.1.
        workflow: filters, mixture and rewards; the defaults if left out.
        seed: of the mixture fits.
    """
    workflow = workflow or Workflow()
    z = np.asarray(z_mean, dtype=np.float64)
    n = len(z)
    micrograph = example_micrograph()
    rng = np.random.default_rng(seed)
    keypoints = KeyPoints(yx_px=rng.uniform(8, 55, (n, 2)), strength=np.ones(n))
    latents = Latents(
        z_mean=z,
        z_std=np.full_like(z, 0.1),
        codes={},
        code_mean=np.zeros((n, 0)),
        code_std=np.zeros((n, 0)),
        error_nats=np.ones(n),
        reconstruction=Reconstruction(
            nll_nats=0.5, floor_nats=0.4, mse=0.01, fvu=0.2, fvu_core=0.1, core_px=5
        ),
    )
    n_fit = min(workflow.mixture.max_points, workflow.density_filter.count(n))
    run = score(
        workflow,
        micrograph,
        keypoints,
        cut(PatchSettings(size_px=5), micrograph, keypoints),
        TrainedVae(config=workflow.vae.to_table(), window_px=5, weights={}, loss_nats=np.ones(1)),
        latents,
        comparison=Comparison(largest_window_px=5, core_px=5, n_fit=n_fit, seed=seed),
        seeds=Seeds(seed, 0),
        seconds={},
        recuts=_example_recuts(z, rng),
    )
    others = (_moved(run, rng) for _ in range(workflow.replicates - 1))
    return replace(run, replicates=tuple(others))


def _moved(run: WorkflowRun, rng: np.random.Generator) -> WorkflowRun:
    """Another training, of which there is none: the same latents with a little noise."""
    found = run.latents
    noise = 0.01 * rng.standard_normal(found.z_mean.shape)
    drawn = None if found.z_sample is None else found.z_sample + noise
    return replace(run, latents=replace(found, z_mean=found.z_mean + noise, z_sample=drawn))


def _example_recuts(z: Floats, rng: np.random.Generator) -> dict[str, Recut]:
    """Latents of a second pose that differ a little: there is no model that could encode one."""
    inside = np.ones(len(z), dtype=bool)
    return {
        name: Recut(z_mean=z + 0.05 * rng.standard_normal(z.shape), inside=inside)
        for name in ("rotation", "jitter")
    }
