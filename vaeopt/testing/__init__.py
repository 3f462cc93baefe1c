"""Checks that authors of plug-ins can run on their own classes.

Each function takes a member of a family and raises ``AssertionError`` naming the law that is
broken. The same checks run on every built-in member::

    from vaeopt.testing import check_reward

    def test_my_reward() -> None:
        check_reward(NeighbourAgreement())
"""

from vaeopt.testing.contracts import (
    check_density_filter,
    check_detector,
    check_invariance,
    check_latent_filter,
    check_mixture,
    check_reward,
    check_settings,
)
from vaeopt.testing.examples import example_micrograph, example_run

__all__ = [
    "check_density_filter",
    "check_detector",
    "check_invariance",
    "check_latent_filter",
    "check_mixture",
    "check_reward",
    "check_settings",
    "example_micrograph",
    "example_run",
]
