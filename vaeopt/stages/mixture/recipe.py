"""What both engines of the Bayesian mixture share: its start and its reported figures."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from vaeopt.core.types import ElboEstimate, Floats
from vaeopt.stages.mixture.bgmm import MEANS_LIMIT, Bgmm, NoEvidenceError

__all__ = ["LEAST_WEIGHT", "MEANS_SD", "Median", "estimate", "partition"]

Float64s = NDArray[np.float64]

LEAST_WEIGHT = 1e-8
"""weights count as at least this, in the likelihood and in the density of their prior"""
MEANS_SD = 5.0
"""of the normal prior of the means"""


@dataclass(frozen=True, kw_only=True)
class Median:
    """Parameters of the mixture at the median of the guide, in fit space."""

    weights: Floats
    """(K,)"""
    means: Floats
    """(K, d)"""
    covariances: Floats
    """(K, d, d)"""


def partition(settings: Bgmm, points: Floats, seed: int) -> tuple[Float64s, Float64s, Float64s]:
    """Where the guide starts: weights, centres and spreads of a k-means partition."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    k, d = settings.max_components, points.shape[1]
    with threadpool_limits(1), warnings.catch_warnings():
        # Fewer distinct cells than K: the points nearly coincide, which the fit itself shows.
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = KMeans(n_clusters=k, n_init=1, random_state=seed).fit(points)
    counts = np.bincount(found.labels_, minlength=k)
    cells = [points[found.labels_ == c] for c in range(k)]
    sd = np.stack([cell.std(axis=0) if len(cell) else np.zeros(d) for cell in cells])
    sd = sd.clip(0.05 * points.std(axis=0))  # a cell may hold a single point, or none
    inside = 0.98 * MEANS_LIMIT if settings.means_prior == "uniform" else np.inf
    weights = (counts + 1) / (counts + 1).sum()
    centres = found.cluster_centers_.clip(-inside, inside)
    return weights, centres, sd if settings.prior_on == "sd" else sd**2


def estimate(costs: Floats, steps: int, converged: bool) -> ElboEstimate:
    """The reported bound, from its value for every draw from the guide.

    Raises:
        NoEvidenceError: one of them is not a number.
    """
    if not np.isfinite(costs).all():
        raise NoEvidenceError("the evidence bound is not a number for a draw from the guide")
    return ElboEstimate(
        cost_nats=float(costs.mean()),
        standard_error_nats=float(costs.std(ddof=1) / math.sqrt(len(costs))),
        draws=len(costs),
        steps=steps,
        converged=converged,
    )
