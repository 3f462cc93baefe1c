"""What all samplers of a study find out again: it is kept, as it can only be one thing."""

from weakref import WeakKeyDictionary

import optuna
from optuna.samplers import BaseSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.storages import BaseStorage

__all__ = ["remembering"]

_kept: "WeakKeyDictionary[BaseStorage, dict[tuple[int, bool], IntersectionSearchSpace]]"
_kept = WeakKeyDictionary()


def remembering(sampler: BaseSampler, study: optuna.Study) -> BaseSampler:
    """A new sampler that knows which parameters all finished trials have in common.

    Finished trials do not change, so Optuna's search spaces only look at those that have come to
    it; but a sampler that is made anew would compare all of them. Semi-private: a test pins it.
    """
    spaces = _kept.setdefault(study._storage, {})
    for name, held in vars(sampler).items():
        if isinstance(held, IntersectionSearchSpace):
            kept = spaces.setdefault((study._study_id, held._include_pruned), held)
            setattr(sampler, name, kept)
    return sampler
