"""Named sets of settings to start from."""

import pytest

from vaeopt.core.errors import SettingsError
from vaeopt.workflow import Workflow
from vaeopt.workflow.presets import with_preset


def test_the_paper_preset_can_be_built_and_round_trips() -> None:
    workflow = Workflow(**with_preset({"preset": "paper"}))
    assert workflow.vae.epochs == 1000
    assert workflow.mixture.raw_space
    assert workflow.vae.patience_epochs == 0
    assert Workflow(**workflow.to_table()) == workflow


def test_settings_win_over_the_preset_one_by_one() -> None:
    table = with_preset({"preset": "paper", "vae": {"epochs": 5}})
    assert table["vae"]["epochs"] == 5
    assert table["vae"]["kl_estimator"] == "sampled"


def test_a_stage_of_another_kind_replaces_that_of_the_preset() -> None:
    table = with_preset({"preset": "paper", "density_filter": {"kind": "none"}})
    assert table["density_filter"] == {"kind": "none"}


@pytest.mark.parametrize("name", ["papers", ["paper"], 3])
def test_an_unknown_preset_is_one_mistake_with_the_known_ones(name: object) -> None:
    with pytest.raises(SettingsError, match=r"^preset: unknown preset .*known: paper"):
        with_preset({"preset": name})
