"""What a study optimises: one reward per file."""

from vaeopt.stages.rewards import aic, bic, gain, icl, rate, reconstruction, variance_product
from vaeopt.stages.rewards.base import Reward

__all__ = [
    "Reward",
    "aic",
    "bic",
    "gain",
    "icl",
    "rate",
    "reconstruction",
    "variance_product",
]
