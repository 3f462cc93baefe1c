"""The summary on rows whose correlations are known."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vaeopt.truth import Reference, Row, Scene, Summary
from vaeopt.truth.columns import Direction
from vaeopt.truth.cube import Cube, cube_of
from vaeopt.truth.judged import judge, means
from vaeopt.truth.ranks import rank_sum, spearman
from vaeopt.truth.summary import summarise

COLUMNS: dict[str, Direction] = {"right": "maximize", "wrong": "minimize", "blind": "maximize"}
Values = Callable[[float, int], float | None]


def cube(
    family: str,
    ari: list[float],
    *,
    columns: dict[str, Values] | None = None,
    n_classes: int = 3,
    seeds: int = 2,
    noise: float = 0.0,
    collapsed: tuple[int, ...] = (),
    claims: bool = True,
    seed: int = 1,
) -> Cube:
    """One configuration per ARI: windows in turn, then invariances."""
    rng = np.random.default_rng(seed)
    values = columns or {
        "right": lambda a, i: a,
        "wrong": lambda a, i: a,
        "blind": lambda a, i: 0.5,
    }
    rows = []
    for s in range(seeds):
        for i, a in enumerate(ari):
            measured = a + noise * rng.standard_normal()
            truth: dict[str, Any] = {
                "ari_true_k": measured if n_classes > 1 else None,
                "says_structure": claims,
                "k_error": 0 if i % 2 else 1,
                "knn15": 0.9,
                "angle_resultant": None,
            }
            rows.append(
                Row(
                    params={
                        "patches.size_px": 9 + 4 * (i % 2),
                        "vae.invariances": f"i{i // 4}",
                        "vae.latent_dim": i,
                    },
                    seed=s,
                    margin=1.0 if i in collapsed else -1.0,
                    truth=truth,
                    scores={name: value(a, i) for name, value in values.items()},
                    epochs=1,
                    seconds=1.0,
                )
            )
    return cube_of(Scene(family, "medium", seed), n_classes, rows, COLUMNS)


ARI = [0.1, 0.5, 0.3, 0.9, 0.7, 0.2, 0.8, 0.4]


def of(summary: Summary, name: str) -> Any:
    return next(one for one in summary.rewards if one.name == name)


def reference(summary: Summary, name: str) -> Reference:
    return next(one for one in summary.references if one.name == name)


def test_rewards_are_ordered_by_what_they_know() -> None:
    summary = summarise([cube("a", ARI), cube("b", ARI)], name="x")
    assert [one.name for one in summary.rewards] == ["right", "blind", "wrong"]
    right, wrong, blind = (of(summary, name) for name in ("right", "wrong", "blind"))
    assert (right.rho.mean, right.regret.mean) == (pytest.approx(1), 0)
    assert (wrong.rho.mean, wrong.regret.mean) == (pytest.approx(-1), pytest.approx(0.8))
    assert (blind.rho.mean, blind.regret.mean) == (0, pytest.approx(0.9 - np.mean(ARI)))


def test_families_count_alike_however_many_scenes_they_have() -> None:
    backwards: dict[str, Values] = {name: lambda a, i: -a for name in COLUMNS}
    many = [cube("a", ARI, seed=s) for s in (1, 2, 3)]
    right = of(summarise([*many, cube("b", ARI, columns=backwards)], name="x"), "right")
    assert right.rho_by_family == {"a": pytest.approx(1), "b": pytest.approx(-1)}
    assert right.rho.mean == pytest.approx(0)


def test_collapsed_configurations_are_not_picked_but_may_be_the_best() -> None:
    summary = summarise([cube("a", ARI, collapsed=(3,))], name="x")
    right = of(summary, "right")
    assert right.regret.mean == pytest.approx(0.1)
    assert right.regret_all == 0
    assert right.rho_all == pytest.approx(1)
    (scene,) = summary.scenes
    assert scene.best == pytest.approx(0.9)
    assert scene.collapsed == pytest.approx(1 / 8)


def test_a_reward_without_values_knows_as_much_as_chance() -> None:
    none: dict[str, Values] = {"right": lambda a, i: None}
    summary = summarise([cube("a", ARI, columns=none), cube("b", ARI)], name="x")
    right = of(summary, "right")
    assert right.rho_by_family == {"a": None, "b": pytest.approx(1)}
    assert right.rho.mean == pytest.approx(0.5)
    usual = reference(summary, "random pick").regret
    assert right.regret_by_family["a"] == pytest.approx(usual)


def test_a_reward_with_gaps_is_judged_where_it_has_values() -> None:
    some: dict[str, Values] = {"right": lambda a, i: None if a > 0.6 else a}
    right = of(summarise([cube("a", ARI, columns=some)], name="x"), "right")
    assert right.rho.mean == pytest.approx(1)
    assert right.regret.mean == pytest.approx(0.4)


def test_within_groups_only_their_own_configurations_count() -> None:
    by_group: dict[str, Values] = {"right": lambda a, i: a + 10 * (i // 4), "wrong": lambda a, i: i}
    right = of(summarise([cube("a", ARI, columns=by_group)], name="x"), "right")
    assert right.rho.mean < 0.7
    assert right.within["vae.invariances"] == {"i0": pytest.approx(1), "i1": pytest.approx(1)}
    assert right.within["vae.latent_dim"]["0"] is None


def test_intervals_hold_the_mean_and_are_wide_where_scenes_differ() -> None:
    rng = np.random.default_rng(0)
    noisy: dict[str, Values] = {"right": lambda a, i: a + rng.normal() * 0.3}
    scenes = [cube("a", ARI, columns=noisy, noise=0.1, seed=s) for s in range(6)]
    right = of(summarise(scenes, name="x"), "right")
    assert right.rho.low < right.rho.mean < right.rho.high <= 1
    assert right.rho.high - right.rho.low > 0.05
    sure = of(summarise([cube("a", ARI, seeds=1)], name="x"), "right")
    assert (sure.rho.low, sure.rho.high) == (pytest.approx(1), pytest.approx(1))


def test_few_scenes_are_drawn_from_with_all_their_variance() -> None:
    half: dict[str, Values] = {"right": lambda a, i: a if i % 2 else 0.5}
    most: dict[str, Values] = {"right": lambda a, i: a if i % 4 else 0.5}
    scenes = [cube("a", ARI, columns=c, seeds=1, seed=s) for s, c in enumerate((half, most))]
    right = of(summarise(scenes, name="x"), "right")
    one, two = right.rho_by_scene.values()
    assert one != two
    # A quarter of the draws is twice the lower one: 1 / sqrt 2 of the difference below the mean.
    assert right.rho.low == pytest.approx((one + two) / 2 - abs(one - two) / np.sqrt(2))


def test_a_scene_without_values_counts_as_none_known_in_its_family() -> None:
    none: dict[str, Values] = {"right": lambda a, i: None}
    right = of(summarise([cube("a", ARI, columns=none), cube("a", ARI, seed=2)], name="x"), "right")
    assert right.rho_by_family == {"a": pytest.approx(0.5)}
    assert right.rho.mean == pytest.approx(0.5)


def test_the_oracle_is_as_good_as_the_noise_of_the_trainings_allows() -> None:
    calm = summarise([cube("a", ARI, seeds=4)], name="x")
    assert reference(calm, "oracle").rho == pytest.approx(1)
    assert reference(calm, "oracle").regret == pytest.approx(0)
    loud = summarise([cube("a", ARI, seeds=4, noise=0.4)], name="x")
    assert (reference(loud, "oracle").rho or 0) < 0.9
    one = summarise([cube("a", ARI, seeds=1)], name="x")
    assert reference(one, "oracle").rho is None


def test_the_fixed_configuration_is_one_for_all_scenes() -> None:
    rising, falling = sorted(ARI), sorted(ARI, reverse=True)
    summary = summarise([cube("a", rising), cube("b", falling)], name="x")
    fixed = reference(summary, "always the same")
    best = min(0.9 - (up + down) / 2 for up, down in zip(rising, falling, strict=True))
    assert fixed.regret == pytest.approx(best)
    same = reference(summarise([cube("a", ARI), cube("b", ARI)], name="x"), "always the same")
    assert same.regret == pytest.approx(0)
    assert "window 2 of 2" in same.what


def test_negative_controls_are_judged_by_what_is_claimed() -> None:
    calm = cube("noise", ARI, n_classes=1, claims=False)
    loud = cube("texture", ARI, n_classes=1, claims=True)
    summary = summarise([cube("a", [a + 1 for a in ARI]), calm, loud], name="x")
    assert summary.families == ["a"]
    assert summary.controls == ["noise", "texture"]
    right = of(summary, "right")
    assert right.structure_at_pick == pytest.approx(0.5)
    assert right.auc_structure == 1
    assert of(summary, "blind").auc_structure == 0.5
    claims = {scene.name: scene.claims_structure for scene in summary.scenes}
    assert claims == {"a-medium-1": 1, "noise-medium-1": 0, "texture-medium-1": 1}


def test_nothing_finished_and_controls_alone_say_little() -> None:
    assert summarise([], name="x").rewards == []
    empty = cube_of(Scene("a", "medium", 1), 3, [], COLUMNS)
    assert summarise([empty], name="x", missing=4).missing == 4
    alone = summarise([cube("noise", ARI, n_classes=1)], name="x")
    assert (alone.rewards, alone.references) == ([], [])
    assert [scene.best for scene in alone.scenes] == [None]


def test_all_collapsed_leaves_nothing_to_pick() -> None:
    summary = summarise([cube("a", ARI, collapsed=tuple(range(8))), cube("b", ARI)], name="x")
    right = of(summary, "right")
    assert right.rho_by_family == {"a": None, "b": pytest.approx(1)}
    assert np.isfinite([right.rho.mean, right.regret.mean, right.regret.high]).all()


def test_rank_sums_add_ranks_of_each_training() -> None:
    made = cube("a", ARI)
    rows = cube_of(
        made.scene,
        3,
        [
            Row(
                params={"patches.size_px": i},
                seed=0,
                margin=-1,
                truth={"ari_true_k": a},
                scores={"right": a, "wrong": 100 * a, "blind": None},
                epochs=1,
                seconds=0,
            )
            for i, a in enumerate(ARI)
        ],
        COLUMNS,
        rank_sums={"both": ["right", "wrong"], "gap": ["right", "blind"]},
    )
    assert rows.columns[-2:] == ["both", "gap"]
    assert np.ptp(rows.goodness[:, 0, -2]) == 0  # one is turned: their ranks cancel
    assert np.isnan(rows.goodness[:, 0, -1]).all()


# ---- the parts


def test_spearman_is_that_of_scipy_with_ties() -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    columns, target = rng.integers(0, 5, (30, 4)).astype(float), rng.random(30)
    expected = [spearmanr(column, target).statistic for column in columns.T]
    assert spearman(columns, target) == pytest.approx(expected)
    columns[3, 1] = np.nan
    keep = np.arange(30) != 3
    found = spearman(columns, target)
    assert found[1] == pytest.approx(spearmanr(columns[keep, 1], target[keep]).statistic)
    assert found[0] == pytest.approx(expected[0])


def test_spearman_of_few_or_equal_values() -> None:
    assert np.isnan(spearman(np.zeros((3, 1)), np.arange(3.0)))[0]
    assert spearman(np.ones((5, 1)), np.arange(5.0))[0] == 0
    assert rank_sum(np.array([[1.0, 5], [2, np.nan], [3, 4]])).tolist() == [
        pytest.approx((1 / 3 + 1) / 2),
        pytest.approx(np.nan, nan_ok=True),
        pytest.approx((1 + 1 / 2) / 2),
    ]


def test_means_leave_out_what_is_not_known() -> None:
    values = np.array([[1.0, 3.0], [np.nan, 5.0], [np.nan, np.nan]])
    assert means(values).tolist() == [2, 5, pytest.approx(np.nan, nan_ok=True)]
    assert means(values, np.array([[2, 1], [1, 1], [1, 1]]))[0] == pytest.approx(5 / 3)


def test_ties_at_the_top_cost_their_mean() -> None:
    values, ari = np.array([[1.0], [1.0], [0.0]]), np.array([0.2, 0.6, 0.9])
    assert judge(values, ari, np.ones(3, bool)).regret[0] == pytest.approx(0.9 - 0.4)
