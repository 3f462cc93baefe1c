"""The search space: order, distributions, labels, and the way back to settings."""

from collections.abc import Mapping
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from vaeopt.core.errors import SettingsError
from vaeopt.study.space import SearchEntry, SearchSpace, flatten
from vaeopt.workflow import Workflow

INVARIANCES: list[list[str]] = [[], ["rotation"], ["rotation", "translation"]]


def space_of(
    entries: Mapping[str, Mapping[str, Any]], workflow: Workflow | None = None
) -> SearchSpace:
    tables = {path: SearchEntry(**entry) for path, entry in entries.items()}
    return SearchSpace.build(workflow or Workflow(), tables)


def test_parameters_are_sampled_in_the_order_of_the_flow() -> None:
    wanted = [
        "patches.size_px",
        "vae.invariances",
        "vae.latent_dim",
        "vae.kl_scale",
        "vae.width",
        "vae.depth",
        "vae.epochs",
        "keypoints.sigma_px",
        "latent_filter.min_snr",
        "density_filter.drop",
        "mixture.n_init",
    ]
    ranges: dict[str, dict[str, Any]] = {path: {"low": 1, "high": 3} for path in wanted}
    ranges["patches.size_px"] = {"low": 5, "high": 7}
    ranges["vae.invariances"] = {"choices": INVARIANCES}
    ranges["density_filter.drop"] = {"low": 0.1, "high": 0.2}
    assert list(space_of(dict(reversed(ranges.items()))).distributions) == wanted


def test_the_setting_decides_whether_a_range_is_whole() -> None:
    found = space_of(
        {
            "patches.size_px": {"low": 5, "high": 9, "step": 2},
            "vae.kl_scale": {"low": 0, "high": 1},
            "vae.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
            "vae.width": {"low": 4, "high": 64, "log": True},
            "vae.gaussian_sd": {"low": 1, "high": 2, "step": 0.5},
        }
    ).distributions
    assert found["patches.size_px"] == IntDistribution(5, 9, step=2)
    assert found["vae.kl_scale"] == FloatDistribution(0.0, 1.0)
    assert found["vae.learning_rate"] == FloatDistribution(1e-4, 1e-2, log=True)
    assert found["vae.width"] == IntDistribution(4, 64, log=True)
    assert found["vae.gaussian_sd"] == FloatDistribution(1.0, 2.0, step=0.5)


def test_sets_of_invariances_are_called_as_in_a_legend() -> None:
    space = space_of({"vae.invariances": {"choices": INVARIANCES}})
    labels = ["none", "rotation", "rotation+translation"]
    assert space.distributions["vae.invariances"] == CategoricalDistribution(labels)
    for label, meant in zip(labels, INVARIANCES, strict=True):
        workflow = space.settings_for({"vae.invariances": label})
        assert workflow.vae.invariances == tuple(meant)


def test_lists_and_words_come_back_as_they_were_written() -> None:
    space = space_of(
        {
            "mixture.components": {"choices": [[1, 3], [1, 5]]},
            "vae.likelihood": {"choices": ["bernoulli", "gaussian"]},
            "vae.kl_scale": {"choices": [0, 0.5]},
        }
    )
    assert space.distributions["mixture.components"] == CategoricalDistribution(
        ["[1, 3]", "[1, 5]"]
    )
    workflow = space.settings_for(
        {"mixture.components": "[1, 5]", "vae.likelihood": "gaussian", "vae.kl_scale": 0}
    )
    assert workflow.mixture.to_table()["components"] == [1, 5]
    assert workflow.vae.likelihood == "gaussian"
    assert workflow.vae.kl_scale == 0.0


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_drawn_makes_settings_that_differ_in_nothing_else(seed: int) -> None:
    base = Workflow()
    space = space_of(
        {
            "patches.size_px": {"low": 5, "high": 21, "step": 2},
            "vae.invariances": {"choices": INVARIANCES},
            "vae.kl_scale": {"low": 1e-4, "high": 1.0, "log": True},
            "vae.prior_sd.rotation": {"low": 0.5, "high": 1.5, "step": 0.25},
            "mixture.selection_weight": {"low": 0, "high": 2},
            "keypoints.spacing_px": {"low": 3, "high": 8},
        },
        base,
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for _ in range(5):
        params = study.ask(fixed_distributions=dict(space.distributions)).params
        workflow = space.settings_for(params)
        table = workflow.to_table()
        for path, value in params.items():
            stage, *rest = path.split(".")
            place = table[stage]
            for part in rest[:-1]:
                place = place[part]
            shown = "+".join(place[rest[-1]]) or "none" if "inv" in path else place[rest[-1]]
            assert shown == value
            place[rest[-1]] = base.to_table()[stage]
        untouched = {"latent_filter", "density_filter", "rewards"}
        assert {k: table[k] for k in untouched} == {k: base.to_table()[k] for k in untouched}
        assert space.settings_for(params) == workflow


def test_a_grid_lists_every_value_as_it_is_stored() -> None:
    space = space_of(
        {
            "patches.size_px": {"low": 5, "high": 9, "step": 2},
            "vae.invariances": {"choices": INVARIANCES},
            "vae.depth": {"low": 2, "high": 2},
            "vae.gaussian_sd": {"low": 0.1, "high": 0.3, "step": 0.1},
            "vae.min_improvement": {"low": 0.5, "high": 0.5},
        }
    )
    assert space.grid() == {
        "patches.size_px": [5, 7, 9],
        "vae.invariances": ["none", "rotation", "rotation+translation"],
        "vae.depth": [2],
        "vae.gaussian_sd": [0.1, 0.2, 0.3],
        "vae.min_improvement": [0.5],
    }
    assert space.n_points == 27


@settings(deadline=None, max_examples=50)
@given(low=st.integers(-1000, 1000), steps=st.integers(0, 40), step=st.integers(1, 300))
def test_values_of_a_decimal_range_are_those_that_optuna_allows(
    low: int, steps: int, step: int
) -> None:
    first, distance = abs(low) / 100, step / 100
    last = (abs(low) + steps * step) / 100
    entry = {"low": first, "high": last, "step": distance}
    space = space_of({"vae.kl_scale": entry})
    distribution = space.distributions["vae.kl_scale"]
    values = space.values_of("vae.kl_scale")
    assert values is not None
    assert len(values) == steps + 1
    assert all(distribution._contains(value) for value in values)
    assert (values[0], values[-1]) == (first, last)


def test_an_endless_space_has_no_grid() -> None:
    space = space_of({"vae.kl_scale": {"low": 0.1, "high": 1.0}, "vae.depth": {"choices": [1, 2]}})
    assert space.grid() is None
    assert space.n_points is None
    assert space.values_of("vae.kl_scale") is None
    assert space.values_of("vae.depth") == [1, 2]


def test_nothing_searched_is_one_point() -> None:
    space = space_of({})
    assert space.grid() == {}
    assert space.n_points == 1
    assert space.settings_for({}) == Workflow()


def test_windows_are_the_ends_of_the_search_or_the_one_that_is_set() -> None:
    assert space_of({}).windows_px() == (13, 13)
    assert space_of({"patches.size_px": {"low": 5, "high": 9}}).windows_px() == (5, 9)
    assert space_of({"patches.size_px": {"choices": [11, 3, 7]}}).windows_px() == (3, 11)


def test_corners_are_all_combinations_of_ends_of_a_stage() -> None:
    space = space_of(
        {
            "patches.size_px": {"low": 5, "high": 9},
            "vae.latent_dim": {"low": 1, "high": 3},
            "vae.invariances": {"choices": INVARIANCES},
        }
    )
    seen = [(w.vae.latent_dim, w.vae.invariances) for w in space.corners("vae.")]
    assert len(seen) == len(set(seen)) == 6
    assert [w.patches.size_px for w in space.corners("patches.")] == [5, 9]
    assert list(space.corners("mixture.")) == [space.workflow]
    assert len(list(space.corners("vae.", most=4))) == 4


def test_what_makes_scores_hard_to_compare_is_said() -> None:
    space = space_of(
        {
            "keypoints.sigma_px": {"low": 1.0, "high": 2.0},
            "density_filter.drop": {"low": 0.1, "high": 0.2},
            "mixture.space": {"choices": ["raw", "whiten"]},
            "bayesian.space": {"choices": ["raw", "standard"]},
            "vae.latent_dim": {"low": 1, "high": 2},
        },
        Workflow(rewards=("icl", "gain")),  # type: ignore[arg-type]
    )
    found = " | ".join(space.warnings())
    assert "keypoints.sigma_px: trials see different key points" in found
    assert "density_filter.drop: scores with different values of it do not compare" in found
    assert "mixture.space: scores with different values of it do not compare" in found
    assert "bayesian.space: scores with different values of it do not compare" in found
    assert "vae.latent_dim: values of 'icl' do not compare across it" in found
    assert "'gain'" not in found
    assert space_of({"patches.size_px": {"low": 5, "high": 7}}).warnings() == []


def test_a_searched_latent_filter_is_warned_of() -> None:
    space = space_of({"latent_filter.min_kl_nats": {"low": 0.01, "high": 0.1}})
    assert len(space.warnings()) == 1
    assert space.warnings()[0].startswith("latent_filter.min_kl_nats: the search may prefer")


def test_all_wrong_paths_are_named_in_one_error() -> None:
    with pytest.raises(SettingsError) as caught:
        space_of({"vae.widht": {"low": 1, "high": 2}, "patches.size_px": {"low": 1, "high": 7}})
    assert len(caught.value.mistakes) == 2


def test_tables_are_flattened_to_the_first_search_entry() -> None:
    entry = {"low": 1, "high": 2}
    assert flatten({"vae": {"prior_sd": {"rotation": entry}, "width": entry}}) == {
        "vae.prior_sd.rotation": entry,
        "vae.width": entry,
    }
    assert flatten({"vae.width": {}}) == {"vae.width": {}}, "an empty entry is kept, to be refused"
    assert flatten({"a": {"lo": 1}}) == {"a": {"lo": 1}}
