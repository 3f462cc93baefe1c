"""Weights of different members in rows of one shape, and tiles in equal shares."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from vaeopt.kernels.training import Recipe
from vaeopt.kernels.training.gpu.layout import Layout, slots
from vaeopt.kernels.training.gpu.shares import share_out, split
from vaeopt.stages.vae.model import build
from vaeopt.stages.vae.settings import VaeSettings
from vaeopt.stages.vae.trainers.recipes import recipe_of


def _settings(invariances: str, latent_dim: int, depth: int) -> VaeSettings:
    table: dict[str, Any] = {
        "invariances": invariances,
        "latent_dim": latent_dim,
        "depth": depth,
        "width": 6,
    }
    return VaeSettings(**table)


def test_latents_stand_where_the_widest_member_has_them() -> None:
    recipe = Recipe(9, 8, 1, 3, "bernoulli", 0.5, 0.1, False, 4)
    assert slots(recipe) == [4, 5, 6]
    assert slots(replace(recipe, rotation_sd=1.0)) == [0, 4, 5, 6]
    moved = replace(recipe, translation_sd=0.1, scale_sd=0.1, latent_dim=1)
    assert slots(moved) == [1, 2, 3, 4]


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("kinds", [("rotation", "translation+scale"), ("none", "none")])
def test_weights_come_back_as_they_were(kinds: tuple[str, str], depth: int) -> None:
    settings = [_settings(kinds[0], 2, depth), _settings(kinds[1], 3, depth)]
    sizes = (5, 3)
    pairs = list(zip(settings, sizes, strict=True))
    recipes = [recipe_of(one, size, bf16=False) for one, size in pairs]
    layout = Layout.of(recipes)
    for number, (recipe, (one, size)) in enumerate(zip(recipes, pairs, strict=True)):
        weights = build(one, size, seed=number).state_dict()
        row = torch.full((layout.stride,), torch.nan)
        layout.pack(recipe, weights, row)
        assert not row.isnan().any()
        # All weights are there once, and nothing else.
        assert int((row != 0).sum()) == sum(value.numel() for value in weights.values())
        assert row.sum().item() == pytest.approx(
            sum(value.sum().item() for value in weights.values()), rel=1e-4
        )
        found = layout.unpack(recipe, row)
        assert found.keys() == weights.keys()
        for name, value in weights.items():
            assert torch.equal(found[name], value), name


@pytest.mark.parametrize("programs", [1, 3, 7, 132])
@pytest.mark.parametrize(
    ("items", "costs"),
    [([128], [3]), ([64, 0, 256, 32], [8, 1, 2, 7]), ([1, 1, 1], [5, 1, 9]), ([0, 0], [1, 1])],
)
def test_every_item_is_done_once_and_shares_are_equal(
    items: list[int], costs: list[int], programs: int
) -> None:
    shares = share_out(items, costs, programs)
    assert len(shares.first_segment) == programs + 1
    assert shares.first_segment[0] == 0
    assert shares.first_segment[-1] == len(shares.segments) <= programs + len(items) - 1
    done = [[0] * n for n in items]
    for slot, segment in enumerate(shares.segments):
        assert segment.slot == slot
        assert segment.items > 0
        for item in range(segment.first, segment.first + segment.items):
            done[segment.member][item] += 1
    assert all(count == 1 for member in done for count in member)
    members = [segment.member for segment in shares.segments]
    assert members == sorted(members)  # so that slots of a member follow each other
    work = [
        sum(costs[s.member] * s.items for s in shares.segments[first:last])
        for first, last in zip(shares.first_segment, shares.first_segment[1:], strict=False)
    ]
    fair = sum(n * cost for n, cost in zip(items, costs, strict=True)) / programs
    assert max(work) <= fair + max(costs)


@pytest.mark.parametrize("programs", [1, 16, 132])
@pytest.mark.parametrize("tiles", [[1], [11], [25], [1, 2, 4, 6, 8, 11, 15, 19, 25], [400]])
def test_items_are_as_large_as_keeps_all_programs_busy(tiles: list[int], programs: int) -> None:
    groups = 64
    splits = split(tiles, groups, programs)
    for n, parts in zip(tiles, splits, strict=True):
        share = -(-n // parts)  # as the kernel cuts them
        assert share <= 8
        assert (parts - 1) * share < n <= parts * share  # none is empty
    busy = groups * sum(splits) >= 2 * programs
    assert busy or splits == tiles
