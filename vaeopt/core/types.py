"""The nouns of the flow: what one stage hands to the next.

All are frozen, keyword-only and hold NumPy arrays as they are (not copied). Positions are (row,
column) in pixels, centres at integers, and are named ``yx``. A name with a unit ends in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Collapse",
    "Comparison",
    "ElboEstimate",
    "Floats",
    "GaussianMixtureFit",
    "KeyPoints",
    "LatentDiagnostics",
    "Latents",
    "Look",
    "Micrograph",
    "Mixture",
    "Patches",
    "Reconstruction",
    "Recut",
    "TrainedVae",
    "WorkflowRun",
]

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]


def _expect(condition: bool, what: str) -> None:
    """Guard a shape where a type is made: a plug-in author's mistake, not a user's."""
    if not condition:
        raise ValueError(what)


@dataclass(frozen=True, kw_only=True, eq=False)
class Micrograph:
    """One image channel, clipped and mapped to [0, 1] once for a whole study."""

    name: str
    pixels: Floats
    """float32 (height, width), in [0, 1]"""
    pixel_size_nm: float | None
    """edge of a pixel [nm]; None where the file does not say"""
    sha256: str
    """of the scaled pixels and their shape: identifies what the study sees"""
    scaling: tuple[float, float]
    """raw values that were mapped to 0 and 1 (semantics 1.2)"""
    yx_px: Floats | None = None
    """float64 (n, 2) places that a rendered image brings along; None for any other image"""

    def __post_init__(self) -> None:
        _expect(self.pixels.ndim == 2, f"pixels must be (height, width), got {self.pixels.shape}")
        if self.yx_px is not None:
            n = len(self.yx_px)
            _expect(self.yx_px.shape == (n, 2), f"yx_px must be (n, 2), got {self.yx_px.shape}")


@dataclass(frozen=True, kw_only=True, eq=False)
class KeyPoints:
    """Where patches are cut."""

    yx_px: Floats
    """float64 (n_keypoints, 2)"""
    strength: Floats
    """(n_keypoints,) in the detector's own unit; larger is stronger"""

    def __post_init__(self) -> None:
        n = len(self.yx_px)
        _expect(self.yx_px.shape == (n, 2), f"yx_px must be (n, 2), got {self.yx_px.shape}")
        _expect(self.strength.shape == (n,), f"strength must be ({n},), got {self.strength.shape}")

    def __len__(self) -> int:
        return len(self.yx_px)


@dataclass(frozen=True, kw_only=True, eq=False)
class Patches:
    """Square windows round key points."""

    pixels: Floats
    """float32 (n_patches, size, size) in [0, 1]"""
    keypoint_index: Ints
    """int64 (n_patches,): the key point that each patch belongs to"""

    def __post_init__(self) -> None:
        n, *edges = self.pixels.shape
        square = len(edges) == 2 and edges[0] == edges[1]
        _expect(square, f"pixels must be (n, size, size), got {self.pixels.shape}")
        _expect(self.keypoint_index.shape == (n,), "one key-point index per patch")

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def size_px(self) -> int:
        """Edge of the window [px]."""
        return int(self.pixels.shape[1])


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedVae:
    """Weights and all that is needed to use them, so that nothing has to be retyped."""

    config: Mapping[str, Any]
    """plain table of the VAE settings that were trained"""
    window_px: int
    weights: Mapping[str, Floats]
    loss_nats: Floats
    """(epochs,) training loss per patch: NLL summed over pixels + KL scale * window**2 * KL"""
    diverged: bool = False
    """the loss left the finite numbers; weights are those of the last good epoch"""
    stopped: bool = False
    """somebody who watched the training ended it; weights are those of its last epoch"""
    pixel_scaling: tuple[float, float] | None = None
    """raw image values that were mapped to 0 and 1"""
    pixel_size_nm: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Reconstruction:
    """How well patches come back at the posterior mean, with their pose (semantics 7)."""

    nll_nats: float
    """mean over patches and pixels"""
    floor_nats: float
    """the least NLL that grey pixels allow under the likelihood, same unit"""
    mse: float
    fvu: float
    """fraction of variance unexplained: sum (x - x')^2 / sum (x - mean patch)^2"""
    fvu_core: float
    """the same on the central pixels that all windows of the study share"""
    core_px: int

    @property
    def excess_nll_nats(self) -> float:
        """NLL above its floor: comparable between windows."""
        return self.nll_nats - self.floor_nats


@dataclass(frozen=True, kw_only=True, eq=False)
class Latents:
    """What the encoder says of every patch."""

    z_mean: Floats
    """float64 (n_patches, latent_dim): posterior means of the content latents"""
    z_std: Floats
    """float64 (n_patches, latent_dim): posterior standard deviations of the same"""
    codes: Mapping[str, Floats]
    """pose by name, each (n_patches,): angle_rad, shift_row_px, shift_col_px, magnification"""
    code_mean: Floats
    """float64 (n_patches, n_codes): posterior means of the pose latents, in units of their prior"""
    code_std: Floats
    error_nats: Floats
    """(n_patches,) NLL summed over the pixels of the patch, at the posterior mean"""
    reconstruction: Reconstruction
    z_sample: Floats | None = None
    """float64 (n_patches, latent_dim): one draw per patch from the posterior of the content
    latents, where a study scores draws instead of means (semantics 2.2)"""

    def __len__(self) -> int:
        return len(self.z_mean)

    @property
    def z(self) -> Floats:
        """What enters filters of density, mixtures and rewards: the draws if any, or the means."""
        return self.z_mean if self.z_sample is None else self.z_sample

    @property
    def latent_dim(self) -> int:
        """Number of content latents."""
        return int(self.z_mean.shape[1])


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentDiagnostics:
    """Per-unit health of the content latents (semantics 2.3, 2.4 and 3.1); ddof = 0."""

    variance: Floats
    """V_j (latent_dim,): variance over patches of the posterior means"""
    noise: Floats
    """A_j (latent_dim,): mean posterior variance"""
    snr: Floats
    """V_j / A_j"""
    kl_nats: Floats
    """KL_j (latent_dim,): mean KL divergence from the N(0, 1) prior"""
    code_kl_nats: Floats
    """the same for the pose latents (n_codes,)"""
    eigenvalues: Floats
    """of Cov(z_mean), ascending (latent_dim,)"""

    @property
    def active(self) -> Bools:
        """Units with V_j > 0.01."""
        return np.asarray(self.variance > 0.01)

    @property
    def information_nats(self) -> Floats:
        """log(1 + SNR_j) / 2 per unit."""
        return np.asarray(np.log1p(self.snr) / 2)

    @property
    def variance_product(self) -> float:
        """Prod V_j (the paper's equation 2)."""
        return float(np.prod(self.variance))

    @property
    def variance_geomean(self) -> float:
        """(prod V_j)^(1/d)."""
        return float(np.prod(self.variance) ** (1 / len(self.variance)))

    @property
    def variance_total(self) -> float:
        """Sum V_j."""
        return float(np.sum(self.variance))

    @property
    def generalised_variance(self) -> float:
        """Det Cov(z_mean): sees a collapse along an oblique axis, which prod V_j misses."""
        return float(np.prod(self.eigenvalues))

    @property
    def rate_nats(self) -> float:
        """Sum of KL_j over content and pose latents: nats per patch."""
        return float(np.sum(self.kl_nats) + np.sum(self.code_kl_nats))


@dataclass(frozen=True, kw_only=True)
class Collapse:
    """Verdict of a latent filter."""

    margin: float
    """log10(threshold / score) of the worst test, clipped to [-6, 6]; infeasible if positive"""
    reasons: tuple[str, ...]
    """one sentence per violated test; empty if the latents are healthy"""

    @property
    def feasible(self) -> bool:
        """No test is violated."""
        return self.margin <= 0


@dataclass(frozen=True, kw_only=True, eq=False)
class GaussianMixtureFit:
    """One fit with K components, in fit space, and the primitives of every score (semantics 5)."""

    n_components: int
    n_points: int
    """M, points that were fitted"""
    latent_dim: int
    n_free: int
    """p, free parameters"""
    log_likelihood_total: float
    """L [nats]"""
    entropy_total: float
    """H_total [nats], 0 for K = 1"""
    map_log_responsibility_total: float
    """sum_i log max_k tau_ik [nats]"""
    weights: Floats
    """(K,)"""
    means: Floats
    """(K, d)"""
    covariances: Floats
    """(K, d, d)"""
    rejected: str = ""
    """why this fit must not be chosen; empty if it may"""


@dataclass(frozen=True, kw_only=True)
class ElboEstimate:
    """Evidence lower bound of a Bayesian mixture, without any penalty (semantics 6.5)."""

    cost_nats: float
    """-ELBO / M [nats per sample]: mean over draws from the guide; lower is better"""
    standard_error_nats: float
    """of that mean"""
    draws: int
    steps: int
    """optimiser steps that were taken"""
    converged: bool
    """whether the stopping rule ended the fit, rather than the limit of steps"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Mixture:
    """All fits of the K grid and what the chosen one says of every patch."""

    fits: tuple[GaussianMixtureFit, ...]
    chosen: int | None
    """index into ``fits`` of the K chosen by J(selection weight); None if every fit was rejected"""
    selection_weight: float | None
    """sampled w_sel that decides K for every reward; None: each reward picks by its own cost"""
    space: str
    shift: Floats
    """(d,) and ..."""
    transform: Floats
    """... (d, d): fit space = (z - shift) @ transform.T"""
    fit_index: Ints
    """(M,) patches that were fitted"""
    kept: Bools
    """(n_patches,) patches that passed the density filter"""
    responsibilities: Floats
    """(n_patches, K) of the chosen fit, for every patch, filtered or not"""
    core: Bools
    """(n_patches,) core points of their component (semantics 5.8)"""
    failure: str = ""
    """why nothing could be fitted; empty if something was"""
    elbo: ElboEstimate | None = None
    """of a Bayesian mixture; None for one fitted by maximum likelihood"""

    @property
    def best(self) -> GaussianMixtureFit | None:
        """The chosen fit."""
        return None if self.chosen is None else self.fits[self.chosen]

    @property
    def component(self) -> Ints:
        """(n_patches,) most probable component; -1 everywhere if there is no fit."""
        if self.chosen is None:
            return np.full(len(self.kept), -1, dtype=np.int64)
        return np.asarray(self.responsibilities.argmax(axis=1), dtype=np.int64)

    @property
    def log_det_whitening(self) -> float:
        """log|det W|; J in raw space = J in fit space - this (semantics 5.1)."""
        return float(np.linalg.slogdet(self.transform)[1])


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What all runs must share so that their scores compare; fixed when a study is created."""

    largest_window_px: int
    """key points keep this window inside the image (semantics 1.1)"""
    core_px: int
    """smallest window: fvu_core looks at its pixels only (semantics 7.2)"""
    n_fit: int
    """M, points in every mixture fit (semantics 4.4)"""
    seed: int
    """decides which key points are preferred for the fit"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Recut:
    """Latents of the same key points, cut from the image a second time with another pose."""

    z_mean: Floats
    """float64 (n_patches, latent_dim); 0 where ``inside`` is false"""
    inside: Bools
    """(n_patches,) whether the image had room for the second window"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """What key points look like to a classical descriptor, however they are turned."""

    alike: Ints
    """(n_patches, k): the most similar key points of each, -1 where there are fewer"""
    labels: Mapping[int, Ints]
    """by number of components K: (n_patches,) components of a mixture of the descriptors"""


@dataclass(frozen=True, kw_only=True, eq=False)
class WorkflowRun:
    """One walk through all stages, with everything that a reward may look at."""

    micrograph: Micrograph
    keypoints: KeyPoints
    patches: Patches
    vae: TrainedVae
    latents: Latents
    diagnostics: LatentDiagnostics
    collapse: Collapse
    mixture: Mixture
    comparison: Comparison
    seconds: Mapping[str, float] = field(default_factory=dict)
    """wall time per stage [s]"""
    bayesian: Mixture | None = None
    """Bayesian mixture of the same latents; there only if a reward needs it"""
    recuts: Mapping[str, Recut] = field(default_factory=dict)
    """``rotation`` and ``jitter``; there only if a reward needs them (semantics 8.2)"""
    look: Look | None = None
    """what windows look like to a descriptor; there only if a reward needs it (semantics 8.5)"""
    resampled: tuple[Mixture, ...] = ()
    """the mixture fitted again to other subsets of the kept points (semantics 4.5)"""
    replicates: tuple["WorkflowRun", ...] = ()
    """the same settings trained again with other seeds (semantics 10.1); this run left out"""

    @property
    def members(self) -> tuple["WorkflowRun", ...]:
        """This run and its replicates."""
        return (self, *self.replicates)
