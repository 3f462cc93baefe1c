"""What every mixture model is, and which points are fitted."""

from abc import abstractmethod
from typing import Annotated

import numpy as np
from pydantic import Field

from vaeopt.core.seeds import Seeds, derive
from vaeopt.core.settings import Plugin
from vaeopt.core.types import Bools, Floats, Ints, Mixture

__all__ = ["MixtureModel", "choose_points"]


class MixtureModel(Plugin, family="mixture"):
    """Fits clusters to latents."""

    max_points: Annotated[int, Field(ge=10)] = 2000
    """most points in one fit; every trial of a study fits the same number (semantics 4.4)"""

    @property
    @abstractmethod
    def raw_space(self) -> bool:
        """Whether latents are fitted as they are, so that their scale enters the scores."""

    @abstractmethod
    def fit(self, z: Floats, *, kept: Bools, fit_index: Ints, seeds: Seeds) -> Mixture:
        """Fit to ``z[fit_index]`` and say what the result makes of every row of ``z``.

        Args:
            z: (n, d) latents of all patches.
            kept: (n,) those that passed the density filter.
            fit_index: (M,) rows to fit.
            seeds: randomness of the run.

        Never raises for degenerate latents: returns a mixture with ``failure`` set.
        """


def choose_points(kept: Bools, n_fit: int, study_seed: int) -> Ints:
    """The M points to fit: among the kept ones, those that come first in a fixed shuffle.

    The shuffle depends on the study only, so all trials prefer the same key points and their
    scores share as much sampling noise as possible.

    Returns:
        (min(M, kept),) ascending row indices.
    """
    order = np.random.default_rng(derive(study_seed, "fit-subset")).permutation(len(kept))
    return np.sort(order[kept[order]][:n_fit])
