"""Per-unit diagnostics of a latent space (semantics 2.3, 2.4, 3.1); ddof = 0 throughout."""

import numpy as np

from vaeopt.core.types import Floats, LatentDiagnostics
from vaeopt.kernels.elbo.reference import kl_gaussian

__all__ = ["unit_diagnostics"]

_LEAST_STD = 1e-100  # a posterior with no width at all would be infinitely informative


def unit_diagnostics(
    z_mean: Floats, z_std: Floats, code_mean: Floats, code_std: Floats
) -> LatentDiagnostics:
    """Diagnostics of n patches.

    Args:
        z_mean: (n, d) posterior means of the content latents.
        z_std: (n, d) their posterior standard deviations.
        code_mean: (n, c) posterior means of the pose latents, in units of their prior.
        code_std: (n, c) their standard deviations, same unit.
    """
    z_mean = np.asarray(z_mean, np.float64)
    z_std = np.maximum(np.asarray(z_std, np.float64), _LEAST_STD)
    code_std = np.maximum(np.asarray(code_std, np.float64), _LEAST_STD)
    noise = np.mean(z_std**2, axis=0)
    variance = np.var(z_mean, axis=0)
    covariance = np.atleast_2d(np.cov(z_mean, rowvar=False, ddof=0))
    return LatentDiagnostics(
        variance=variance,
        noise=noise,
        snr=variance / noise,
        kl_nats=np.mean(kl_gaussian(z_mean, z_std), axis=0),
        code_kl_nats=np.mean(kl_gaussian(code_mean, code_std), axis=0),
        eigenvalues=np.maximum(np.linalg.eigvalsh(covariance), 0.0),
    )
