"""The paper's filter: keep what is dense compared with the densest place."""

import math
from typing import Annotated

import numpy as np
from pydantic import Field, PositiveFloat

from vaeopt.core.types import Bools, Floats
from vaeopt.kernels.density import log_density
from vaeopt.kernels.device import DEVICE_PATTERN
from vaeopt.stages.density_filter.base import DensityFilter, device_of_pairs

__all__ = ["PaperLiteral", "Relative"]


class Relative(DensityFilter, kind="relative"):
    """semantics 4.2: keep f_i / max f >= threshold, raw latents, each point counted."""

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.05
    """least density relative to the densest point"""
    bandwidth: PositiveFloat = 0.05
    """standard deviation of the kernel [latent units]"""
    least_kept: Annotated[float, Field(gt=0, le=1)] = 0.5
    """share of the points that every trial must keep; fixes the size of the mixture fit"""
    device: Annotated[str, Field(pattern=DEVICE_PATTERN)] = "auto"
    """auto (a GPU where there is one and the points are many), cpu, or cuda:N"""

    def __call__(self, z: Floats) -> Bools:
        """Keep the dense points; their number depends on the latents."""
        density = log_density(z, self.bandwidth, device=device_of_pairs(self.device, len(z)))
        if self.threshold == 0:
            return np.ones(len(z), dtype=bool)
        return np.asarray(density - density.max() >= np.log(self.threshold))

    def count(self, n_points: int) -> int:
        """ceil(least_kept n); a trial that keeps fewer is infeasible."""
        return math.ceil(self.least_kept * n_points - 1e-9)


class PaperLiteral(Relative, kind="paper-literal", aliases=("paper_literal",)):
    """The paper's sentence taken at its word: only points within 5 % of the densest stay."""

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.95
    """least density relative to the densest point"""
    least_kept: Annotated[float, Field(gt=0, le=1)] = 0.02
    """share of the points that every trial must keep; fixes the size of the mixture fit"""
