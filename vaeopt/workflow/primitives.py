"""The numbers of a run from which every score can be recomputed (semantics 9.1)."""

import math
from typing import Any

from vaeopt.core.types import GaussianMixtureFit, WorkflowRun
from vaeopt.kernels.mixture import reference as kernel

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
    found, health, best = run.latents.reconstruction, run.diagnostics, run.mixture.best
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
            "overlap": kernel.overlap(best.weights, best.means, best.covariances) if best else None,
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
    return _known(table)  # type: ignore[no-any-return]  # a dict stays one
