"""All randomness of a run, derived from (study seed, trial number, stage, member).

Nothing else in the package draws random numbers: a trial that is run again with the same pair of
study seed and trial number meets the same generators, whatever ran before it in the process.
"""

import zlib
from dataclasses import dataclass

import numpy as np

__all__ = ["Seeds", "derive"]


def derive(study_seed: int, *key: int | str) -> np.random.SeedSequence:
    """A seed sequence that depends on every part of ``key`` and on nothing else.

    >>> first, again = derive(0, 3, "vae"), derive(0, 3, "vae")
    >>> bool((first.generate_state(4) == again.generate_state(4)).all())
    True
    """
    spawn_key: list[int] = []
    for part in key:  # words and numbers must never meet: each carries a tag
        spawn_key += [1, zlib.crc32(part.encode())] if isinstance(part, str) else [0, part]
    return np.random.SeedSequence(study_seed, spawn_key=tuple(spawn_key))


@dataclass(frozen=True)
class Seeds:
    """Random generators of one trial, handed out by stage and member."""

    study_seed: int
    number: int

    def replicate(self, member: int) -> "Seeds":
        """Seeds of another training of the same trial; member 0 is this one.

        >>> Seeds(0, 3).replicate(0), Seeds(0, 3).replicate(1).number
        (Seeds(study_seed=0, number=3), 3)
        """
        if member == 0:
            return self
        words = derive(self.study_seed, "replicate", member).generate_state(1, np.uint64)
        return Seeds(int(words[0]), self.number)

    def rng(self, stage: str, member: int = 0) -> np.random.Generator:
        """NumPy generator of one stage."""
        return np.random.default_rng(derive(self.study_seed, self.number, stage, member))

    def integer(self, stage: str, member: int = 0) -> int:
        """One seed in [0, 2**32) for libraries that want an integer."""
        return int(derive(self.study_seed, self.number, stage, member).generate_state(1)[0])
