"""The density of ``mixture.guide`` for many sets of points at once, in torch, on a GPU.

Gradients are torch's own. Everything is elementwise or a product of matrices: factorisations of
libraries may make the host wait, and cannot be recorded in a graph.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from vaeopt.kernels.mixture.batch import features
from vaeopt.kernels.mixture.guide import BayesianDensity

__all__ = ["StackedDensity"]

_LOG_2PI = math.log(2 * math.pi)


class StackedDensity:
    """Log joint density of the unconstrained parameters (S, P) and the points of every set.

    Args:
        densities: of the sets, one member each; they differ by points and least spread only.
        device: that computes.
    """

    def __init__(self, densities: Sequence[BayesianDensity], device: torch.device) -> None:
        self.model = model = densities[0]
        points = np.concatenate([density.points for density in densities])
        centre = points.mean(axis=1)
        phi = [features(torch.from_numpy(own)) for own in points - centre[:, None]]
        least = np.array([density.least_sd for density in densities])
        self._prepare(torch.stack(phi), torch.from_numpy(centre), torch.from_numpy(least), device)
        self._constant = model.log_constant

    def _prepare(self, phi: Tensor, centre: Tensor, least_sd: Tensor, device: torch.device) -> None:
        k, d = self.model.n_components, self.model.latent_dim
        self.phi, self._centre = phi.to(device), centre[:, None].to(device)
        self._least_sd = least_sd[:, None, None].to(device)
        left = torch.arange(k - 1, 0, -1, dtype=torch.float64)
        self._left = left.log().to(device)
        upper = torch.triu_indices(d, d)
        self._upper = (upper[0] * d + upper[1]).to(device)
        self._halves = torch.where(upper[0] == upper[1], -0.5, -1.0).double().to(device)
        row, column = torch.tril_indices(d, d, -1)
        below = torch.zeros(len(row), d * d, dtype=torch.float64)
        below[torch.arange(len(row)), row * d + column] = 1.0
        self._below = below.to(device)
        self._factor = (self.model.lkj + (d - 2 - column.double()) / 2).to(device)
        self._tri = torch.ones(d, d, dtype=torch.float64).tril().to(device)
        self._eye = torch.eye(d, dtype=torch.float64).to(device)
        self._pairs = torch.ones(k, k, dtype=torch.float64).triu(1).to(device)

    @property
    def n_points(self) -> int:
        """M."""
        return self.phi.shape[2]

    def of(self, sets: Tensor) -> "StackedDensity":
        """The same for some of the sets."""
        found = object.__new__(StackedDensity)
        found.__dict__.update(self.__dict__)
        found.phi, found._centre = self.phi[sets], self._centre[sets]
        found._least_sd = self._least_sd[sets]
        return found

    def __call__(self, u: Tensor, *, penalised: bool = True) -> Tensor:
        """Log joint density with the Jacobian of u, (S,).

        Args:
            u: (S, P) parameters.
            penalised: subtract lambda M O.
        """
        model, (s, _) = self.model, u.shape
        k, d = model.n_components, model.latent_dim
        x_w, x_m, x_s, x_c = torch.split(u, list(model.sizes), 1)
        x_m, x_s, x_c = x_m.view(s, k, d), x_s.view(s, k, d), x_c.view(s, k, d * (d - 1) // 2)

        # Stick breaking, in logarithms: z is the share of what is left that is broken off.
        log_z, log_rest = logsigmoid(x_w - self._left), logsigmoid(self._left - x_w)
        none = torch.zeros_like(u[:, :1])
        log_w = torch.cat([log_z, none], 1) + torch.cat([none, log_rest.cumsum(1)], 1)
        floored = log_w.clamp(min=math.log(model.least_weight))
        value: Tensor = self._constant + (model.dirichlet - 1) * floored.sum(1)
        value = value + (log_w[:, :-1] + log_rest).sum(1)

        if model.means_limit is None:
            means = x_m
            value = value - x_m.square().sum((1, 2)) / (2 * model.means_sd**2)
        else:
            means = model.means_limit * torch.tanh(x_m / 2)
            value = value + (logsigmoid(x_m) + logsigmoid(-x_m)).sum((1, 2))

        spread = x_s.exp()
        value = value + (x_s - spread.square() / (2 * model.prior_sd**2)).sum((1, 2))
        sd = torch.maximum(spread.sqrt() if model.on_variance else spread, self._least_sd)
        partial = torch.tanh(x_c).clamp(-1 + 2**-52, 1 - 2**-52)
        value = value + (self._factor * torch.log1p(-partial.square())).sum((1, 2))
        roots = sd[..., None] * self._correlation_roots(partial)
        half_log_det = roots.diagonal(0, -2, -1).log().sum(-1)

        value = value + self._likelihood(floored, means, roots, half_log_det)
        if penalised and model.overlap_weight > 0:
            scale = model.overlap_weight * self.n_points
            value = value - scale * self._overlap(log_w, means, roots, half_log_det)
        return value

    def _correlation_roots(self, partial: Tensor) -> Tensor:
        """(S, K, d, d) lower Cholesky factors, from partial correlations."""
        d = self.model.latent_dim
        r = (partial @ self._below).view(*partial.shape[:2], d, d)
        tails = torch.log1p(-r.square()) / 2
        found: Tensor = (r + self._eye) * (tails.cumsum(3) - tails).exp() * self._tri
        return found

    def _likelihood(
        self, log_w: Tensor, means: Tensor, roots: Tensor, half_log_det: Tensor
    ) -> Tensor:
        """(S,) of all points."""
        d = self.model.latent_dim
        inverse = self._inverse(roots)
        precision = inverse.mT @ inverse
        shifted = means - self._centre
        linear = (precision @ shifted[..., None])[..., 0]
        constant = log_w - half_log_det - d / 2 * _LOG_2PI - (linear * shifted).sum(-1) / 2
        quadratic = precision.flatten(2).index_select(2, self._upper) * self._halves
        coefficients = torch.cat([constant[..., None], linear, quadratic], -1)
        log: Tensor = torch.bmm(coefficients, self.phi)
        return log.logsumexp(1).sum(1)

    def _inverse(self, roots: Tensor) -> Tensor:
        """Of (S, K, d, d) lower triangular matrices, by forward substitution."""
        rows: list[Tensor] = []
        for i in range(roots.shape[-1]):
            row = self._eye[i].expand(roots.shape[:-1])
            if rows:
                row = row - (roots[..., i, None, :i] @ torch.stack(rows, -2))[..., 0, :]
            rows.append(row / roots[..., i, i, None])
        return torch.stack(rows, -2)

    def _overlap(self, log_w: Tensor, means: Tensor, roots: Tensor, half_log_det: Tensor) -> Tensor:
        """O of semantics 6.4, (S,)."""
        covariances = roots @ roots.mT
        # Gauss's elimination of every pair, a row and a column at a time.
        a = (covariances[:, :, None] + covariances[:, None]) / 2
        b = means[:, :, None] - means[:, None]
        exponent = (half_log_det[:, :, None] + half_log_det[:, None]) / 2
        for _ in range(means.shape[-1]):
            pivot, first = a[..., 0, 0], b[..., 0]
            exponent = exponent - pivot.log() / 2 - first.square() / pivot / 8
            column = a[..., 1:, 0] / pivot[..., None]
            b = b[..., 1:] - column * first[..., None]
            a = a[..., 1:, 1:] - column[..., None] * a[..., :1, 1:]
        if self.model.overlap_weighted:
            exponent = exponent + log_w[:, :, None] + log_w[:, None]
        total: Tensor = (self._pairs * exponent.exp()).sum((1, 2))
        return total
