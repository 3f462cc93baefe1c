"""Randomness derives from (study seed, trial number, stage, member) and from nothing else."""

import zlib

import numpy as np
import pytest

from vaeopt.core.seeds import Seeds, derive


def _draws(rng: np.random.Generator) -> list[int]:
    return [int(v) for v in rng.integers(0, 2**62, 4)]


def test_the_same_seeds_give_the_same_numbers() -> None:
    assert _draws(Seeds(3, 5).rng("vae", 1)) == _draws(Seeds(3, 5).rng("vae", 1))


@pytest.mark.parametrize(
    ("seeds", "stage", "member"),
    [
        (Seeds(4, 5), "vae", 1),
        (Seeds(3, 6), "vae", 1),
        (Seeds(3, 5), "mixture", 1),
        (Seeds(3, 5), "vae", 2),
        (Seeds(5, 3), "vae", 1),
    ],
)
def test_every_part_of_the_key_matters(seeds: Seeds, stage: str, member: int) -> None:
    base = Seeds(3, 5)
    assert _draws(seeds.rng(stage, member)) != _draws(base.rng("vae", 1))
    assert seeds.integer(stage, member) != base.integer("vae", 1)


def test_what_was_drawn_before_does_not_matter() -> None:
    fresh, used = Seeds(0, 1), Seeds(0, 1)
    for stage in ("mixture", "vae", "patches"):
        used.rng(stage).random(100)
        used.integer(stage)
    assert _draws(used.rng("vae")) == _draws(fresh.rng("vae"))


def test_a_word_never_meets_a_number() -> None:
    word = derive(0, "vae").generate_state(4)
    number = derive(0, zlib.crc32(b"vae")).generate_state(4)
    assert not np.array_equal(word, number)
    assert not np.array_equal(derive(0, "1").generate_state(4), derive(0, 1).generate_state(4))


def test_the_order_of_the_key_matters() -> None:
    assert not np.array_equal(derive(0, 1, 2).generate_state(4), derive(0, 2, 1).generate_state(4))


def test_trials_share_no_stream_with_their_members() -> None:
    keys = {tuple(_draws(Seeds(0, n).rng("vae", m))) for n in range(12) for m in range(12)}
    assert len(keys) == 144


def test_an_integer_seed_fits_32_bits() -> None:
    values = [Seeds(0, n).integer("vae") for n in range(50)]
    assert all(0 <= v < 2**32 for v in values)
    assert max(values) > 2**31  # not only a few low bits of it


def test_stored_studies_keep_their_numbers() -> None:
    """Changed numbers would make trials of a study that is continued incomparable."""
    assert Seeds(0, 0).integer("vae-weights") == 4082012506
    assert Seeds(7, 12).integer("mixture", member=3) == 3582286680
