"""Every built-in plug-in against the laws of its family."""

from pathlib import Path

import pytest

from vaeopt import testing
from vaeopt.core.settings import Plugin
from vaeopt.stages.density_filter import DensityFilter
from vaeopt.stages.keypoints import KeypointDetector
from vaeopt.stages.latent_filter import LatentFilter
from vaeopt.stages.mixture import MixtureModel
from vaeopt.stages.rewards import Reward
from vaeopt.stages.vae import Invariance
from vaeopt.study.asking.samplers import Sampler

_GIVEN: dict[str, dict[str, object]] = {
    "bgmm": {"steps": 100},
    "composite": {"terms": [{"reward": "gain"}, {"reward": "rate", "weight": 0.1}]},
    "csv": {"path": "points.csv"},
    "gmm": {"components": [1, 4], "n_init": 2},
}


def _members(family: type[Plugin]) -> list[Plugin]:
    return [family.from_table({"kind": kind, **_GIVEN.get(kind, {})}) for kind in family.kinds()]


def _names(member: Plugin | type[Plugin]) -> str:
    return member.kind


@pytest.mark.parametrize(
    "member",
    [
        member
        for family in (
            KeypointDetector,
            LatentFilter,
            DensityFilter,
            MixtureModel,
            Reward,
            Sampler,
        )
        for member in _members(family)
    ],
    ids=lambda member: f"{member.family}-{member.kind}",
)
def test_settings_round_trip_and_are_documented(member: Plugin) -> None:
    testing.check_settings(member)


@pytest.mark.parametrize("detector", _members(KeypointDetector), ids=_names)
def test_detectors_keep_their_laws(detector: KeypointDetector, tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("row_px,col_px\n10,12\n30.5,40\n")
    testing.check_detector(detector, folder=tmp_path)


@pytest.mark.parametrize("kind", Invariance.kinds())
def test_invariances_keep_their_laws(kind: str) -> None:
    testing.check_invariance(Invariance.of_kind(kind))


@pytest.mark.parametrize("latent_filter", _members(LatentFilter), ids=_names)
def test_latent_filters_keep_their_laws(latent_filter: LatentFilter) -> None:
    testing.check_latent_filter(latent_filter)


@pytest.mark.parametrize("density_filter", _members(DensityFilter), ids=_names)
def test_density_filters_keep_their_laws(density_filter: DensityFilter) -> None:
    testing.check_density_filter(density_filter)


@pytest.mark.parametrize("model", _members(MixtureModel), ids=_names)
def test_mixtures_keep_their_laws(model: MixtureModel) -> None:
    testing.check_mixture(model)


@pytest.mark.parametrize("reward", _members(Reward), ids=_names)
def test_rewards_keep_their_laws(reward: Reward) -> None:
    testing.check_reward(reward)


def test_a_broken_reward_is_caught() -> None:
    """The checks themselves can fail."""

    class Drunk(Reward):
        """Never the same twice."""

        direction = "minimize"

        @property
        def label(self) -> str:
            return "drunk"

        def __call__(self, run: object) -> float:
            return float("nan")

        def structureless(self, run: object) -> float:
            return float("nan")

    with pytest.raises(Exception, match=r"healthy|finite"):
        testing.check_reward(Drunk())
