"""Settings of the whole flow: order of stages, presets, and changes by dotted path."""

from typing import Any

import pytest

from vaeopt.core.errors import SettingsError
from vaeopt.stages.keypoints.grid import Grid
from vaeopt.stages.mixture.gmm import Gmm
from vaeopt.workflow import STAGES, Workflow


def _make(**table: Any) -> Workflow:
    return Workflow(**table)


def test_stages_are_named_in_the_order_of_the_data() -> None:
    assert STAGES == (
        "keypoints",
        "patches",
        "vae",
        "latent_filter",
        "density_filter",
        "mixture",
        "bayesian",
        "rewards",
    )


def test_a_table_makes_the_same_workflow_again(workflow: Workflow) -> None:
    assert _make(**workflow.to_table()) == workflow
    switches = {"replicates", "stop_collapsed", "latents", "scores"}
    assert [name for name in workflow.to_table() if name not in switches] == list(STAGES)


def test_mistakes_of_several_stages_are_found_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        _make(
            keypoints={"kind": "cany"},
            patches={"size_px": 2},
            vae={"invariances": ["turning"]},
            rewards=[{"kind": "icl", "weight": -1.0}],
        )
    paths = {".".join(map(str, m.path)) for m in caught.value.mistakes}
    assert paths == {"keypoints.kind", "patches.size_px", "vae.invariances", "rewards.0.weight"}
    assert "\n" not in str(caught.value)


def test_an_unknown_stage_hints_at_the_nearest() -> None:
    with pytest.raises(SettingsError, match="mixtures: unknown setting; did you mean 'mixture'"):
        _make(mixtures={"kind": "gmm"})


def test_a_reward_cannot_be_asked_for_twice() -> None:
    twice = [{"kind": "icl"}, {"kind": "bic"}, {"kind": "icl", "weight": 1.0}]
    with pytest.raises(SettingsError, match=r"^rewards\.2: 'icl' is asked for twice$"):
        _make(rewards=twice)


def test_rewards_that_differ_in_their_weight_stand_beside_each_other() -> None:
    rewards = _make(rewards=[{"kind": "icl"}, {"kind": "icl", "weight": 0.5}]).rewards
    assert [reward.label for reward in rewards] == ["icl", "icl(w=0.5)"]


def test_there_must_be_a_reward() -> None:
    with pytest.raises(SettingsError, match="rewards"):
        _make(rewards=[])


def test_the_gain_needs_one_component_in_the_grid() -> None:
    gmm = {"kind": "gmm", "components": [2, 5]}
    with pytest.raises(SettingsError, match=r"^mixture\.components: reward 'gain' needs K = 1"):
        _make(mixture=gmm, rewards=[{"kind": "gain"}])
    assert _make(mixture=gmm, rewards=[{"kind": "icl"}]).mixture == Gmm(components=(2, 5))


# ---- changes by path


def test_values_are_set_by_dotted_path(workflow: Workflow) -> None:
    changed = workflow.with_values({"patches.size_px": 9, "vae.prior_sd.scale": 0.3})
    assert (changed.patches.size_px, changed.vae.prior_sd.scale) == (9, 0.3)
    back = changed.with_values({"patches.size_px": 7, "vae.prior_sd.scale": 0.1})
    assert back == workflow
    assert workflow.patches.size_px == 7


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"patch.size_px": 9}, "patch.size_px: no such setting"),
        ({"patches.size_px.x": 9}, "patches.size_px.x: no such setting"),
        ({"patches.size": 9}, "patches.size: unknown setting; did you mean 'size_px'?"),
        ({"patches.size_px": 1}, "patches.size_px: "),
    ],
)
def test_a_path_that_does_not_hold_says_so(
    workflow: Workflow, values: dict[str, Any], expected: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        workflow.with_values(values)
    assert str(caught.value).startswith(expected)


def test_every_path_that_does_not_exist_is_named(workflow: Workflow) -> None:
    with pytest.raises(SettingsError) as caught:
        workflow.with_values({"a.b": 1, "patches.size_px": 9, "c.d": 2})
    assert [m.path for m in caught.value.mistakes] == [("a.b",), ("c.d",)]


# ---- presets


def test_the_preset_of_the_paper_has_its_settings() -> None:
    paper = _make(preset="paper")
    assert paper.mixture == Gmm(
        components=(2, 10),
        space="raw",
        n_init=10,
        max_iter=500,
        tol=1e-3,
        engine="scikit-learn",
    )
    assert (paper.vae.epochs, paper.vae.batch_size, paper.vae.learning_rate) == (1000, 128, 1e-3)
    assert (paper.vae.schedule, paper.vae.pixels) == ("constant", 1.0)
    assert (paper.vae.latent_dim, paper.vae.width, paper.vae.depth) == (2, 128, 2)
    assert paper.vae.kl_estimator == "sampled"
    assert paper.latent_filter.to_table() == {"kind": "variance-product", "minimum": 0.05}
    assert paper.density_filter.to_table()["kind"] == "relative"
    assert [reward.label for reward in paper.rewards] == ["icl_paper"]


def test_the_quick_preset_changes_the_training_only() -> None:
    quick, default = _make(preset="quick"), _make()
    assert quick.vae.schedule == "one-cycle"
    assert quick.vae.pixels < default.vae.pixels
    assert quick.vae.epochs < default.vae.epochs
    same = quick.model_copy(update={"vae": default.vae})
    assert same == default


def test_the_thorough_preset_trains_longer_in_smaller_batches_with_less_kl() -> None:
    thorough, quick, default = _make(preset="thorough"), _make(preset="quick"), _make()
    vae = thorough.vae
    assert (vae.epochs, vae.batch_size, vae.learning_rate) == (200, 32, 4e-3)
    assert (vae.pixels, vae.schedule, vae.precision) == (0.25, "one-cycle", "auto")
    assert vae.kl_scale < quick.vae.kl_scale
    assert thorough.model_copy(update={"vae": default.vae}) == default


def test_what_the_table_says_wins_over_the_preset() -> None:
    changed = _make(preset="paper", vae={"epochs": 10}, keypoints={"kind": "grid"})
    assert (changed.vae.epochs, changed.vae.kl_estimator) == (10, "sampled")
    assert changed.keypoints == Grid()  # of another kind: nothing of the preset's Canny is left


def test_a_stage_of_the_same_kind_keeps_the_rest_of_the_preset() -> None:
    changed = _make(preset="paper", mixture={"components": [2, 5]})
    assert changed.mixture == Gmm(components=(2, 5), space="raw", tol=1e-3, engine="scikit-learn")


def test_a_stage_that_is_only_named_keeps_the_preset() -> None:
    paper = _make(preset="paper")
    assert _make(preset="paper", mixture="gmm", bayesian="bgmm") == paper
    assert _make(preset="paper", mixture={"kind": "GMM"}) == paper
    assert _make(preset="paper", keypoints="grid").keypoints == Grid()


def test_an_unknown_preset_hints_at_the_nearest() -> None:
    with pytest.raises(SettingsError, match="preset: unknown preset 'papr'; did you mean 'paper'"):
        _make(preset="papr")
    with pytest.raises(SettingsError, match=r"preset: unknown preset \['paper'\]; .*known: paper"):
        _make(preset=["paper"])
