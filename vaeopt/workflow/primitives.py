"""The numbers of a run from which every score can be recomputed (semantics 9.1)."""

import math
from typing import Any

import numpy as np

from vaeopt.core.types import GaussianMixtureFit, Mixture, WorkflowRun
from vaeopt.kernels.mixture import reference as kernel
from vaeopt.stages.rewards.spatial_kappa import kappa_at

__all__ = ["primitives"]


def _fit(fit: GaussianMixtureFit) -> dict[str, Any]:
    return {
        "n_components": fit.n_components,
        "n_free": fit.n_free,
        "log_likelihood_total": fit.log_likelihood_total,
        "entropy_total": fit.entropy_total,
        "map_log_responsibility_total": fit.map_log_responsibility_total,
        "weights": fit.weights.tolist(),
        "rejected": fit.rejected,
    }


def _known(value: Any) -> Any:
    """The same with None for NaN and infinity, which JSON has not: what could not be computed."""
    if isinstance(value, dict):
        return {name: _known(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_known(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def primitives(run: WorkflowRun) -> dict[str, Any]:
    """JSON-ready table of scores, diagnostics and counts of one run."""
    found, health = run.latents.reconstruction, run.diagnostics
    kappas = [kappa_at(run, (k,)) for k in (4, 5, 6)]
    computed = [kappa for kappa in kappas if kappa is not None]
    table = {
        "n_keypoints": len(run.keypoints),
        "n_fit": len(run.mixture.fit_index),
        "keep_fraction": float(run.mixture.kept.mean()),
        "reconstruction": {
            "nll_nats": found.nll_nats,
            "excess_nll_nats": found.excess_nll_nats,
            "mse": found.mse,
            "fvu": found.fvu,
            "fvu_core": found.fvu_core,
            "core_px": found.core_px,
        },
        "latents": {
            "variance": health.variance.tolist(),
            "noise": health.noise.tolist(),
            "snr": health.snr.tolist(),
            "information_nats": health.information_nats.tolist(),
            "kl_nats": health.kl_nats.tolist(),
            "code_kl_nats": health.code_kl_nats.tolist(),
            "eigenvalues": health.eigenvalues.tolist(),
            "variance_product": health.variance_product,
            "variance_total": health.variance_total,
            "rate_nats": health.rate_nats,
            "active_units": int(health.active.sum()),
        },
        "mixture": _mixture(run.mixture),
        "bayesian": None if run.bayesian is None else _mixture(run.bayesian),
        "spatial_kappa": kappas[1],
        "spatial_kappa_4_to_6": float(np.mean(computed)) if len(computed) == 3 else None,
        "training": {
            "epochs": len(run.vae.loss_nats),
            "loss_nats": float(run.vae.loss_nats[-1]) if len(run.vae.loss_nats) else None,
            "diverged": run.vae.diverged,
            "stopped_epoch": len(run.vae.loss_nats) if run.vae.stopped else None,
        },
        "collapse": {"margin": run.collapse.margin, "reasons": list(run.collapse.reasons)},
        "seconds": dict(run.seconds),
    }
    if run.replicates:
        table["replicates"] = [primitives(replicate) for replicate in run.replicates]
    return _known(table)  # type: ignore[no-any-return]  # a dict stays one


def _mixture(mixture: Mixture) -> dict[str, Any]:
    best, elbo = mixture.best, mixture.elbo
    return {
        "space": mixture.space,
        "log_det_whitening": mixture.log_det_whitening,
        "n_components": best.n_components if best else None,
        "effective_components": kernel.effective_components(best.weights) if best else None,
        "perplexity": kernel.perplexity(best.weights) if best else None,
        "overlap": kernel.overlap(best.weights, best.means, best.covariances) if best else None,
        "elbo": None if elbo is None else vars(elbo),
        "fits": [_fit(fit) for fit in mixture.fits],
    }
