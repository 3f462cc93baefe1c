"""What each reward measures, in plain words, for people who look at its values."""

import inspect
from typing import NamedTuple

from vaeopt.stages.rewards import Reward

__all__ = ["Meaning", "meaning_of"]


class Meaning(NamedTuple):
    """One reward in words."""

    measures: str
    values: str
    """range and landmarks; empty where nothing is known"""
    page: str
    """below ``docs/``, with its anchor; empty for a reward of the user's own"""


_CRITERIA, _EVIDENCE = "rewards/mixture-criteria.md", "rewards/bayesian.md"
_INFORMATION, _VALIDITY = "rewards/information.md", "rewards/validity.md"
_COST = "any number, nats per patch; compare within one number of latents only"
_AGREEMENT = "1: always, 0: as often as by chance"

_OF_KIND = {
    "gain": Meaning(
        "structure: how much better several clusters describe the latents than one Gaussian does",
        "0 or more, nats per patch; 0: no clusters",
        _CRITERIA,
    ),
    "icl": Meaning(
        "cost of the clusters: how well they fit, how many they are, how clearly they separate",
        _COST,
        _CRITERIA,
    ),
    "bic": Meaning(
        "cost of the clusters: how well they fit and how many they are", _COST, _CRITERIA
    ),
    "aic": Meaning("as `bic`, with a smaller price for each cluster", _COST, _CRITERIA),
    "log-likelihood": Meaning(
        "how well the clusters fit, however many there are", _COST, _CRITERIA
    ),
    "components": Meaning("number of clusters", "1 or more", _CRITERIA),
    "entropy": Meaning(
        "how undecided the patches are between clusters", "0 or more; 0: no overlap", _CRITERIA
    ),
    "elbo": Meaning("cost of the clusters by a Bayesian mixture", _COST, _EVIDENCE),
    "elbo-h": Meaning(
        "cost of the clusters by a Bayesian mixture, overlap included", _COST, _EVIDENCE
    ),
    "reconstruction": Meaning(
        "what is lost of a patch when it is drawn again from its latents",
        "0: nothing, for the shares `fvu` and `fvu_core` 1: no better than the mean patch",
        _INFORMATION,
    ),
    "rate": Meaning(
        "what the latents spend on a patch: the less, the simpler the representation",
        "0 or more, nats per patch; 0: collapsed",
        _INFORMATION,
    ),
    "information": Meaning("how much the latents tell of a patch", "0 or more, nats", _INFORMATION),
    "active-units": Meaning(
        "number of latents that vary from patch to patch",
        "0 to the number of latents",
        _INFORMATION,
    ),
    "snr": Meaning(
        "how clearly the latents stand above their own uncertainty, in decades",
        "-6 to 6; 0: as much signal as noise",
        _INFORMATION,
    ),
    "variance-product": Meaning(
        "how far the latents spread", "0 or more; 0: collapsed", _INFORMATION
    ),
    "descriptor-ami": Meaning(
        "whether the components are those that a descriptor finds for which nothing was trained",
        "1: the same, 0: unrelated; below 0.28 there may be no building blocks",
        _VALIDITY,
    ),
    "descriptor-kappa": Meaning(
        "whether patches that look alike, however they are turned, belong to the same component",
        _AGREEMENT,
        _VALIDITY,
    ),
    "spatial-kappa": Meaning(
        "whether neighbours in the image belong to the same component", _AGREEMENT, _VALIDITY
    ),
    "rotation-ami": Meaning(
        "whether a patch keeps its component when it is turned", _AGREEMENT, _VALIDITY
    ),
    "jitter-ami": Meaning(
        "whether a patch keeps its component when it is shifted by up to 1 px",
        _AGREEMENT,
        _VALIDITY,
    ),
    "seed-ari": Meaning(
        "whether another training with the same settings finds the same components",
        _AGREEMENT,
        _VALIDITY,
    ),
    "bootstrap-stability": Meaning(
        "whether other draws of the patches find the same components", _AGREEMENT, _VALIDITY
    ),
    "silhouette": Meaning(
        "whether patches are nearer to their own component than to the next one",
        "-1 to 1; 0: between two components",
        _VALIDITY,
    ),
    "persistence": Meaning(
        "gaps or loops in the cloud of latents, without any clusters", "0 or more", _VALIDITY
    ),
    "composite": Meaning(
        "several rewards as one, weighted or ranked", "any number", "rewards/composite.md"
    ),
}


def meaning_of(reward: Reward) -> Meaning:
    """In words; of a reward of the user's own the first line of its docstring."""
    kind = str(reward.kind)
    known = _OF_KIND.get(kind)
    if known is None:
        lines = (inspect.getdoc(type(reward)) or kind).splitlines()
        return Meaning(lines[0].replace("``", "`").rstrip("."), "", "")
    own_page = known.page.endswith("/composite.md")
    return known if own_page else known._replace(page=f"{known.page}#{kind}")
