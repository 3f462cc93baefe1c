"""What every collapse filter is, and how thresholds become one continuous margin."""

import math
from abc import abstractmethod

from vaeopt.core.settings import Plugin
from vaeopt.core.types import Collapse, LatentDiagnostics

__all__ = ["LARGEST_MARGIN", "LatentFilter", "log_margin"]

LARGEST_MARGIN = 6.0
"""margins are clipped to this; also the margin of a run that could not be scored at all"""


class LatentFilter(Plugin, family="latent_filter"):
    """Decides whether the latents of a run are healthy enough to be scored."""

    @abstractmethod
    def __call__(self, diagnostics: LatentDiagnostics, *, raw_space: bool) -> Collapse:
        """Judge the latents.

        Args:
            diagnostics: per-unit health.
            raw_space: whether the mixture is fitted in raw latent space, where a narrow but
                informative unit distorts the scores; in whitened space it does no harm.
        """


def log_margin(threshold: float, score: float) -> float:
    """log10(threshold) - log10(score), clipped to [-6, 6]; positive if the score is too small.

    >>> round(log_margin(0.01, 0.001), 6), log_margin(0.01, 0.0)
    (1.0, 6.0)
    """
    if not score > 0 or not math.isfinite(score):
        return LARGEST_MARGIN if not score > 0 else -LARGEST_MARGIN
    margin = math.log10(threshold) - math.log10(score)
    return max(-LARGEST_MARGIN, min(LARGEST_MARGIN, margin))
