"""The numbers of a run from which every score can be recomputed without training (REWARDS 9.1)."""

from typing import Any

import numpy as np

from vaeopt.core.types import GaussianMixtureFit, WorkflowRun
from vaeopt.kernels.mixture import reference as kernel

__all__ = ["primitives"]


def _fit(fit: GaussianMixtureFit) -> dict[str, Any]:
    return {
        "n_components": fit.n_components,
        "n_free": fit.n_free,
        # JSON knows no infinity: a fit that could not be made has no likelihood.
        "log_likelihood_total": fit.log_likelihood_total
        if np.isfinite(fit.log_likelihood_total)
        else None,
        "entropy_total": fit.entropy_total,
        "map_log_responsibility_total": fit.map_log_responsibility_total,
        "weights": fit.weights.tolist(),
        "rejected": fit.rejected,
    }


def primitives(run: WorkflowRun) -> dict[str, Any]:
    """JSON-ready table of scores, diagnostics and counts of one run."""
    found, health, best = run.latents.reconstruction, run.diagnostics, run.mixture.best
    return {
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
            "kl_nats": health.kl_nats.tolist(),
            "code_kl_nats": health.code_kl_nats.tolist(),
            "eigenvalues": health.eigenvalues.tolist(),
            "variance_product": health.variance_product,
            "rate_nats": health.rate_nats,
            "active_units": int(health.active.sum()),
        },
        "mixture": {
            "space": run.mixture.space,
            "log_det_whitening": run.mixture.log_det_whitening,
            "n_components": best.n_components if best else None,
            "effective_components": kernel.effective_components(best.weights) if best else None,
            "perplexity": kernel.perplexity(best.weights) if best else None,
            "fits": [_fit(fit) for fit in run.mixture.fits],
        },
        "training": {
            "epochs": len(run.vae.loss_nats),
            "loss_nats": float(run.vae.loss_nats[-1]) if len(run.vae.loss_nats) else None,
            "diverged": run.vae.diverged,
        },
        "collapse": {"margin": run.collapse.margin, "reasons": list(run.collapse.reasons)},
        "seconds": dict(run.seconds),
    }
