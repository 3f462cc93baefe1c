"""The truth benchmark: does a reward pick the representation that is right (docs/truth.md).

A grid of configurations is trained on rendered scans whose building blocks are known; every reward
of every training is kept beside what the truth says of it.
"""

from vaeopt.truth.metrics import Truth, regret, truth_of

__all__ = ["Truth", "regret", "truth_of"]
