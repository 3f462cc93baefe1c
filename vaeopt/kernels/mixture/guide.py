"""The Bayesian mixture in unconstrained space, with its gradient by hand (semantics 6.1, 6.4).

The same density as the Pyro program of the kind ``bgmm``, with the bijections and Jacobians of
``torch.distributions``. All arrays have a leading dimension of members S: fits side by side.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, gammaln, multigammaln

from vaeopt.kernels.mixture.batch import Layout, expect, features

__all__ = ["BayesianDensity", "Components"]

Float64s = NDArray[np.float64]
_LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class Components:
    """Mixtures in fit space."""

    weights: Float64s
    """(S, K)"""
    means: Float64s
    """(S, K, d)"""
    sd: Float64s
    """(S, K, d)"""
    correlation_roots: Float64s
    """(S, K, d, d) lower Cholesky factors"""

    @property
    def covariances(self) -> Float64s:
        """(S, K, d, d)."""
        roots = self.sd[..., None] * self.correlation_roots
        return np.asarray(roots @ roots.swapaxes(-1, -2))


@dataclass(frozen=True, kw_only=True)
class BayesianDensity:
    """Log joint density of the unconstrained parameters and the points.

    A vector of parameters holds K - 1 numbers of the weights, K d of the means, K d of the spread
    and K d (d - 1) / 2 of the correlations.
    """

    points: Float64s
    """(S, M, d) in fit space"""
    n_components: int
    dirichlet: float
    means_limit: float | None
    """means are uniform within +- this; None: normal with standard deviation ``means_sd``"""
    means_sd: float
    prior_sd: float
    """scale of the HalfNormal prior"""
    on_variance: bool
    """whether it is on variances"""
    lkj: float
    least_sd: float
    """standard deviations are not taken below this in the likelihood"""
    least_weight: float
    """nor weights below this"""
    overlap_weight: float
    overlap_weighted: bool

    def of(self, members: NDArray[np.intp]) -> "BayesianDensity":
        """The same for some of the members."""
        return replace(self, points=self.points[members])

    @property
    def latent_dim(self) -> int:
        """Dimensions d."""
        return int(self.points.shape[2])

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Numbers of weights, means, spread and correlations."""
        k, d = self.n_components, self.latent_dim
        return k - 1, k * d, k * d, k * d * (d - 1) // 2

    @cached_property
    def _ends(self) -> tuple[int, int, int]:
        w, m, s, _ = self.sizes
        return w, w + m, w + m + s

    @cached_property
    def _below(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        return np.tril_indices(self.latent_dim, -1)

    @cached_property
    def _upper(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        return np.triu_indices(self.latent_dim)

    @cached_property
    def _pairs(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        return np.triu_indices(self.n_components, 1)

    @cached_property
    def _centre(self) -> Float64s:
        """Origin of the features, where products of coordinates lose the fewest digits."""
        return np.asarray(self.points.mean(axis=1))

    @cached_property
    def _features(self) -> list[torch.Tensor]:
        """Of every member; a single one where all have the same points."""
        centred = self.points - self._centre[:, None]
        if (self.points == self.points[:1]).all():
            centred = centred[:1]
        return [features(torch.from_numpy(own)) for own in centred]

    @cached_property
    def log_constant(self) -> float:
        """Part of the log prior that does not depend on the parameters."""
        k, d = self.n_components, self.latent_dim
        c, e = self.dirichlet, self.lkj
        total = gammaln(k * c) - k * gammaln(c)
        total += k * d * (math.log(2 / self.prior_sd) - _LOG_2PI / 2)
        if self.means_limit is None:
            total -= k * d * (math.log(self.means_sd) + _LOG_2PI / 2)
        if d > 1:
            below = multigammaln(e + (d - 1) / 2 - 0.5, d - 1) + (d - 1) / 2 * math.log(math.pi)
            total -= k * (below - (d - 1) * gammaln(e + (d - 1) / 2))
        return float(total)

    def components(self, u: Float64s) -> Components:
        """The mixtures that parameters (S, P) stand for."""
        weights = self._weights(self._split(u)[0])[0]
        return Components(weights, *self._shapes(u)[:3])

    def __call__(self, u: Float64s, *, penalised: bool = True) -> tuple[Float64s, Float64s]:
        """Log joint density with the Jacobian of u, (S,), and its gradient (S, P).

        Args:
            u: (S, P) parameters.
            penalised: subtract lambda M O.
        """
        x_w, x_m, x_s, _ = self._split(u)
        s = len(u)
        weights, z = self._weights(x_w)
        means, sd, roots, r, tails = self._shapes(u)
        inverse = _inverse_of_root(sd[..., None] * roots)
        precision = inverse.swapaxes(-1, -2) @ inverse
        half_log_det = -np.log(np.diagonal(inverse, axis1=-2, axis2=-1)).sum(-1)
        heavy = weights >= self.least_weight
        log_w = np.log(np.maximum(weights, self.least_weight))

        value, mass, to_means, to_cov = self._likelihood(log_w, means, precision, half_log_det)
        to_log_w = heavy * (mass + self.dirichlet - 1)
        value = value + self.log_constant + (self.dirichlet - 1) * log_w.sum(-1)
        if penalised and self.overlap_weight > 0:
            o, do_w, do_m, do_c = self._overlap(weights, means, sd, roots, precision, half_log_det)
            scale = self.overlap_weight * self.points.shape[1]
            value = value - scale * o
            to_log_w = to_log_w - scale * weights * do_w
            to_means, to_cov = to_means - scale * do_m, to_cov - scale * do_c

        # Stick breaking: d log w_j / d x_i is 1 - z_j for i = j and -z_i for i < j.
        value = value + (np.log(weights[:, :-1]) + np.log1p(-z)).sum(-1)
        to_log_w[:, :-1] += 1
        later = to_log_w[:, ::-1].cumsum(-1)[:, ::-1]
        grad_w = to_log_w[:, :-1] * (1 - z) - z * later[:, 1:] - z

        if self.means_limit is None:
            value = value - (x_m**2).sum((-2, -1)) / (2 * self.means_sd**2)
            grad_m = to_means - x_m / self.means_sd**2
        else:
            side = expit(x_m)
            slope = side * (1 - side)
            value = value + np.log(slope).sum((-2, -1))
            grad_m = to_means * 2 * self.means_limit * slope + 1 - 2 * side

        # Roots R = diag(sd) L of C = R R': d/dR = 2 (d/dC) R.
        to_root = 2 * to_cov @ (sd[..., None] * roots)
        spread = np.exp(x_s)
        value = value + (x_s - spread**2 / (2 * self.prior_sd**2)).sum((-2, -1))
        share = 0.5 if self.on_variance else 1.0
        above = (np.sqrt(spread) if self.on_variance else spread) >= self.least_sd
        grad_s = share * above * sd * (to_root * roots).sum(-1) + 1 - (spread / self.prior_sd) ** 2
        parts = [grad_w, grad_m.reshape(s, -1), grad_s.reshape(s, -1)]
        if self.latent_dim > 1:
            extra, grad_c = self._correlations(sd[..., None] * to_root, roots, r, tails)
            value = value + extra
            parts.append(grad_c.reshape(s, -1))
        return np.asarray(value), np.concatenate(parts, axis=1)

    # ---- from parameters to components

    def _split(self, u: Float64s) -> tuple[Float64s, Float64s, Float64s, Float64s]:
        s, k, d = len(u), self.n_components, self.latent_dim
        a, b, c = self._ends
        means, spread = u[:, a:b].reshape(s, k, d), u[:, b:c].reshape(s, k, d)
        return u[:, :a], means, spread, u[:, c:].reshape(s, k, d * (d - 1) // 2)

    def _weights(self, x: Float64s) -> tuple[Float64s, Float64s]:
        """Weights (S, K) by stick breaking, and the shares (S, K - 1) that are broken off."""
        left = np.arange(self.n_components - 1, 0, -1)
        # torch stops at the same ends.
        z = np.clip(expit(x - np.log(left)), np.finfo(float).tiny, 1 - np.finfo(float).eps)
        rest = np.cumprod(1 - z, axis=1)
        weights = np.concatenate([z, np.ones_like(z[:, :1])], axis=1)
        weights[:, 1:] *= rest
        return weights, z

    def _shapes(self, u: Float64s) -> tuple[Float64s, Float64s, Float64s, Float64s, Float64s]:
        """Means, standard deviations, roots of correlations; partial correlations and sticks."""
        _, x_m, x_s, x_c = self._split(u)
        means = x_m if self.means_limit is None else self.means_limit * (2 * expit(x_m) - 1)
        spread = np.exp(x_s)
        sd = np.maximum(np.sqrt(spread) if self.on_variance else spread, self.least_sd)
        d = self.latent_dim
        r = np.zeros((*means.shape, d))
        row, column = self._below
        limit = 1 - np.finfo(float).eps
        r[..., row, column] = np.clip(np.tanh(x_c), -limit, limit)
        tails = np.ones_like(r)
        tails[..., 1:] = np.sqrt(np.cumprod(1 - r[..., :-1] ** 2, axis=-1))
        return means, sd, (r + np.eye(d)) * tails * np.tri(d), r, tails

    # ---- terms

    def _likelihood(
        self, log_w: Float64s, means: Float64s, precision: Float64s, half_log_det: Float64s
    ) -> tuple[Float64s, Float64s, Float64s, Float64s]:
        """Total log-likelihood, and its gradients by log-weight, mean and covariance."""
        s, k, d = means.shape
        n = self.points.shape[1]
        shifted = means - self._centre[:, None]
        linear = (precision @ shifted[..., None])[..., 0]
        constant = log_w - half_log_det - d / 2 * _LOG_2PI - (linear * shifted).sum(-1) / 2
        row, column = self._upper
        quadratic = precision[..., row, column] * np.where(row == column, -0.5, -1.0)
        parts = [constant[..., None], linear, quadratic]
        coefficients = torch.from_numpy(np.concatenate(parts, axis=-1).reshape(s * k, -1))
        value, moments = self._expect(coefficients, s)
        mass, first = n * moments[..., 0], n * moments[..., 1 : d + 1]
        second = np.empty((s, k, d, d))
        second[..., row, column] = second[..., column, row] = n * moments[..., d + 1 :]
        pull = first - mass[..., None] * shifted
        cross = first[..., None] * shifted[..., None, :]
        about = second - cross - cross.swapaxes(-1, -2)
        about += mass[..., None, None] * shifted[..., None] * shifted[..., None, :]
        to_cov = precision @ about @ precision - mass[..., None, None] * precision
        return n * value, mass, (precision @ pull[..., None])[..., 0], to_cov / 2

    def _expect(self, coefficients: torch.Tensor, s: int) -> tuple[Float64s, Float64s]:
        k = self.n_components
        if len(self._features) == 1:
            found = [expect(self._features[0], coefficients, Layout((k,) * s))]
        else:
            own = torch.split(coefficients, k)
            found = [expect(f, c, Layout((k,))) for f, c in zip(self._features, own, strict=True)]
        value = torch.cat([v for v, _ in found])
        return value.numpy(), torch.cat([m for _, m in found]).view(s, k, -1).numpy()

    def _overlap(
        self,
        weights: Float64s,
        means: Float64s,
        sd: Float64s,
        roots: Float64s,
        precision: Float64s,
        half_log_det: Float64s,
    ) -> tuple[Float64s, Float64s, Float64s, Float64s]:
        """O of semantics 6.4, and its gradients by weight, mean and covariance."""
        one, two = self._pairs
        covariances = Components(weights, means, sd, roots).covariances
        middle, log_det = _inverse((covariances[:, one] + covariances[:, two]) / 2)
        gap = means[:, one] - means[:, two]
        a = (middle @ gap[..., None])[..., 0]
        distance = (a * gap).sum(-1) / 8 + log_det / 2
        bc = np.exp((half_log_det[:, one] + half_log_det[:, two]) / 2 - distance)
        share = weights[:, one] * weights[:, two] if self.overlap_weighted else 1.0
        part = share * bc
        to_w = np.zeros_like(weights)
        if self.overlap_weighted:
            pairs = np.zeros((len(weights), self.n_components, self.n_components))
            pairs[:, one, two] = pairs[:, two, one] = bc
            to_w = (pairs @ weights[..., None])[..., 0]
        signed, summed = self._incidence
        to_means = signed @ (-part[..., None] * a / 4)
        flat = part[..., None, None] * (a[..., None] * a[..., None, :] / 16 - middle / 4)
        s, k, d = means.shape
        to_cov = (summed @ flat.reshape(s, len(one), -1)).reshape(s, k, d, d)
        to_cov += (part @ summed.T)[..., None, None] * precision / 4
        return part.sum(-1), to_w, to_means, to_cov

    @cached_property
    def _incidence(self) -> tuple[Float64s, Float64s]:
        """(K, pairs): +1 and -1, and +1 and +1, at the two components of each pair."""
        one, two = self._pairs
        signed = np.zeros((self.n_components, len(one)))
        signed[one, np.arange(len(one))] = 1
        summed = signed.copy()
        signed[two, np.arange(len(one))] = -1
        summed[two, np.arange(len(one))] = 1
        return signed, summed

    def _correlations(
        self, to_l: Float64s, roots: Float64s, r: Float64s, tails: Float64s
    ) -> tuple[Float64s, Float64s]:
        """Log prior with Jacobian of the correlations, and the gradient by their parameters.

        Both are sums of log(1 - r_ij²) over partial correlations r_ij, j < i, with the factor
        lkj + (d - 2 - j) / 2 (Lewandowski, Kurowicka and Joe 2009).
        """
        d = self.latent_dim
        row, column = self._below
        factor = self.lkj + (d - 2 - column) / 2
        partial = r[..., row, column]
        value = (factor * np.log1p(-(partial**2))).sum((-2, -1))
        # Of row i, the entry j scales with all sqrt(1 - r_ik²) of k < j.
        weighted = (to_l * roots)[..., ::-1].cumsum(-1)[..., ::-1]
        after = weighted[..., row, column + 1]
        own = to_l[..., row, column] * tails[..., row, column] * (1 - partial**2)
        return value, own - partial * after - 2 * factor * partial


def _inverse_of_root(roots: Float64s) -> Float64s:
    """Inverse of (..., d, d) lower triangular matrices, by forward substitution."""
    d = roots.shape[-1]
    found = np.zeros_like(roots)
    for i in range(d):
        pivot = roots[..., i, i]
        found[..., i, i] = 1 / pivot
        if i:
            known = roots[..., None, i, :i] @ found[..., :i, :i]
            found[..., i, :i] = -known[..., 0, :] / pivot[..., None]
    return found


def _inverse(matrices: Float64s) -> tuple[Float64s, Float64s]:
    """Inverse and log-determinant of (..., d, d) positive definite matrices; nan if they are not.

    By Gauss and Jordan over the leading axes: d steps for all matrices together.
    """
    a = matrices.copy()
    log_det = np.zeros(a.shape[:-2])
    for j in range(a.shape[-1]):
        pivot = a[..., j, j].copy()
        log_det += np.log(pivot)
        column, row = a[..., :, j].copy(), a[..., j, :] / pivot[..., None]
        a -= column[..., None] * row[..., None, :]
        a[..., :, j] = -column / pivot[..., None]
        a[..., j, :] = row
        a[..., j, j] = 1 / pivot
    return a, log_det
