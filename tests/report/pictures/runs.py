"""Small real runs of every kind that a picture may be asked for."""

import functools
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

import vaeopt as vo
from tests.study.tiny import ONE, write_study
from vaeopt.core.types import WorkflowRun

__all__ = ["KINDS", "run_of"]


@functools.cache
def run_of(*overrides: str) -> WorkflowRun:
    """The tiny study walked once, with these settings changed."""
    with tempfile.TemporaryDirectory() as folder:
        return vo.run(
            write_study(Path(folder), components="[2, 3]", rewards=ONE, search=""),
            overrides=overrides,
        )


def _collapsed() -> WorkflowRun:
    return run_of('latent_filter={kind = "variance-product", minimum = 1e9}')


def _without_mixture() -> WorkflowRun:
    run = run_of()
    mixture = replace(
        run.mixture,
        fits=(),
        chosen=None,
        failure="3 points are too few",
        responsibilities=np.zeros((len(run.latents), 0)),
        core=np.zeros(len(run.latents), bool),
    )
    return replace(run, mixture=mixture)


def _flat() -> WorkflowRun:
    """All latents are the same number, as after a collapse for good."""
    run = _without_mixture()
    return replace(run, latents=replace(run.latents, z_mean=np.zeros_like(run.latents.z_mean)))


def _diverged() -> WorkflowRun:
    run = run_of()
    loss = np.asarray([3.0, np.nan])
    return replace(run, vae=replace(run.vae, diverged=True, loss_nats=loss))


def _in_the_first_epoch() -> WorkflowRun:
    run = run_of()
    return replace(run, vae=replace(run.vae, diverged=True, loss_nats=np.zeros(0)))


def _all_filtered_but_one_component() -> WorkflowRun:
    run = run_of()
    return replace(run, mixture=replace(run.mixture, kept=run.mixture.component == 0))


KINDS: dict[str, Callable[[], WorkflowRun]] = {
    "rotation": run_of,
    "no invariance": lambda: run_of("vae.invariances=none"),
    "three invariances": lambda: run_of("vae.invariances=rotation+translation+scale"),
    "one latent": lambda: run_of("vae.latent_dim=1"),
    "three latents": lambda: run_of("vae.latent_dim=3"),
    "one component": lambda: run_of("mixture.components=[1, 1]"),
    "whitened": lambda: run_of("mixture.space=whiten"),
    "replicates": lambda: run_of("replicates=2"),
    "gaussian": lambda: run_of("vae.likelihood=gaussian"),
    "large window": lambda: run_of("patches.size_px=21", "keypoints.spacing_px=3"),
    "collapsed": _collapsed,
    "no mixture": _without_mixture,
    "no spread": _flat,
    "diverged": _diverged,
    "diverged at once": _in_the_first_epoch,
    "one component left": _all_filtered_but_one_component,
}
