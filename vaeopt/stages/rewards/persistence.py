"""Gaps and loops of the latent cloud at all scales at once (persistent homology)."""

import importlib.util
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from vaeopt.core.seeds import derive
from vaeopt.core.types import Floats, WorkflowRun
from vaeopt.stages.rewards.base import Reward
from vaeopt.stages.rewards.partition import fit_space

__all__ = ["Persistence", "lifetimes", "summarise"]

_LEAST_DISTINCT = 10  # a few repeated points are far apart and say nothing

Summary = Literal["longest", "total", "entropy"]


def lifetimes(points: Floats, homology: int) -> Floats:
    """Lengths (death - birth) of the bars of a Vietoris-Rips filtration, descending.

    Bars without end (the cloud as a whole) and of length 0 (repeated points) are left out.

    Args:
        points: (n, d).
        homology: 0, connected parts, or 1, loops.

    Returns:
        In units of the root mean square distance of the points from their mean, so that the scale
        of the cloud does not matter; empty if all points are equal.
    """
    from gudhi.sklearn.rips_persistence import RipsPersistence

    centred = np.asarray(points, np.float64) - points[0]  # exactly 0 for repeated points
    centred = centred - centred.mean(axis=0)
    radius = float(np.sqrt(np.mean(np.sum(centred**2, axis=1))))
    if radius == 0:
        return np.empty(0)
    (diagram,) = RipsPersistence(homology_dimensions=homology).fit_transform([centred / radius])
    length = np.asarray(diagram[:, 1] - diagram[:, 0], np.float64)
    return np.sort(length[np.isfinite(length) & (length > 0)])[::-1]


def summarise(lengths: Floats, summary: Summary) -> float:
    """One number from the lengths of the bars (n,), all above 0.

    ``longest`` is max l; ``total`` is sum l; ``entropy`` is 1 - E / log n with the persistent
    entropy E = -sum p log p, p = l / sum l: 0 if all bars are equal, near 1 if one holds nearly
    all the length.

    Returns:
        At least 0; 0 without bars, and for ``entropy`` with a single one.

    >>> round(summarise(np.array([2.0, 1.0]), "entropy"), 6)
    0.081704
    """
    if len(lengths) == 0:
        return 0.0
    if summary == "longest":
        return float(lengths.max())
    if summary == "total":
        return float(lengths.sum())
    if len(lengths) == 1:
        return 0.0
    share = lengths / lengths.sum()
    return max(0.0, 1 + float(np.sum(share * np.log(share))) / float(np.log(len(share))))


class Persistence(Reward, kind="persistence"):
    """Bars of persistent homology of the fitted latents, in fit space; higher is more structure.

    Needs the optional extra ``topology``. Looks at a part of the fitted points that depends on the
    study only.
    """

    direction: ClassVar[Literal["minimize", "maximize"]] = "maximize"
    compares_across_latent_dim: ClassVar[bool] = False
    # A few far points make the longest gap, and a cloud that fills its space the longest total.
    guard_needed: ClassVar[bool] = True

    homology: Annotated[int, Field(ge=0, le=1)] = 0
    """0: connected parts, whose bars are the gaps between them; 1: loops"""
    summary: Summary = "longest"
    """longest bar, total length, or how unequal the lengths are (1 - normalised entropy)"""
    max_points: Annotated[int, Field(ge=10, le=2000)] = 300
    """most points that are looked at; time grows with more than their square"""

    @model_validator(mode="after")
    def _library(self) -> Self:
        if importlib.util.find_spec("gudhi") is None:
            raise ValueError(
                "persistent homology needs the library gudhi; pip install 'vaeopt[topology]'"
            )
        return self

    @property
    def label(self) -> str:
        """``persistence_h``, the homology and the summary."""
        return f"persistence_h{self.homology}_{self.summary}"

    def __call__(self, run: WorkflowRun) -> float:
        """The summary; 0 for fewer than 10 distinct points."""
        points = fit_space(run.mixture, self._some(run))
        if len(np.unique(points, axis=0)) < _LEAST_DISTINCT:
            return self.structureless(run)
        return summarise(lifetimes(points, self.homology), self.summary)

    def _some(self, run: WorkflowRun) -> Floats:
        """Latents of those fitted points that come first in a fixed shuffle of all key points."""
        z = run.latents.z
        shuffle = np.random.default_rng(derive(run.comparison.seed, "persistence"))
        order = shuffle.permutation(len(z))
        fitted = np.isin(order, run.mixture.fit_index)
        return np.asarray(z[np.sort(order[fitted][: self.max_points])])

    def structureless(self, run: WorkflowRun) -> float:
        """No gap and no loop."""
        return 0.0
