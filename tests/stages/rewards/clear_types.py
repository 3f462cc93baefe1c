"""Runs with five clear types of site in strips of the image, and without any type."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vaeopt.core.types import Floats, Recut, WorkflowRun
from vaeopt.stages.mixture.gmm import Gmm
from vaeopt.testing import example_run
from vaeopt.workflow import Workflow

__all__ = ["CLEAR", "NOISE", "QUICK", "STRIPS", "TYPE", "N", "Z", "full", "run_of", "seen_again"]

QUICK = Workflow(mixture=Gmm(components=(1, 6), n_init=1, tol=1e-3))

# Five clear clusters whose members lie together in the image, one strip each.
N = 300
TYPE = np.repeat(np.arange(5), N // 5)
_RNG = np.random.default_rng(0)
_CENTRES = 8 * np.array([(0, 0), (1, 0), (0, 1), (1, 1), (2, 2)], dtype=float)
Z = _CENTRES[TYPE] + 0.3 * _RNG.standard_normal((N, 2))
STRIPS = np.c_[_RNG.uniform(0, 150, N), 60 * TYPE + _RNG.uniform(0, 30, N)]


def seen_again(run: WorkflowRun, z: Floats, inside: NDArray[np.bool_] | None = None) -> WorkflowRun:
    """The same run with these latents of the patches that were cut again."""
    counts = np.ones(len(z), dtype=bool) if inside is None else inside
    second = Recut(z_mean=z * counts[:, None], inside=counts)
    return replace(run, recuts={"rotation": second, "jitter": second})


def full(run: WorkflowRun) -> WorkflowRun:
    """The same run with everything that a reward of this family may ask for."""
    seen = seen_again(run, run.latents.z_mean)
    return replace(seen, replicates=(run, run))


def run_of(z: Floats, workflow: Workflow = QUICK) -> WorkflowRun:
    """A run with these latents at key points in strips."""
    run = example_run(z, workflow)
    return replace(run, keypoints=replace(run.keypoints, yx_px=STRIPS[: len(z)]))


CLEAR = full(run_of(Z))
NOISE = full(run_of(np.random.default_rng(1).standard_normal((N, 2))))
