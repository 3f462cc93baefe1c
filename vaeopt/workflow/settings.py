"""Settings of the whole flow; the order of the fields is the order of the stages."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from vaeopt.core.errors import Mistake, SettingsError
from vaeopt.core.settings import Settings, Tuple
from vaeopt.stages.density_filter import DensityFilter
from vaeopt.stages.density_filter.quantile import Quantile
from vaeopt.stages.keypoints import KeypointDetector
from vaeopt.stages.keypoints.canny import Canny
from vaeopt.stages.latent_filter import LatentFilter
from vaeopt.stages.latent_filter.units import Units
from vaeopt.stages.mixture import MixtureModel
from vaeopt.stages.mixture.bgmm import Bgmm
from vaeopt.stages.mixture.gmm import Gmm
from vaeopt.stages.patches import PatchSettings
from vaeopt.stages.rewards import Reward
from vaeopt.stages.rewards.base import trainings_compared, with_parts
from vaeopt.stages.rewards.gain import Gain
from vaeopt.stages.rewards.rate import Rate
from vaeopt.stages.rewards.reconstruction import Reconstruction
from vaeopt.stages.vae import VaeSettings
from vaeopt.workflow.presets import with_preset

__all__ = ["STAGES", "Workflow"]


class Workflow(Settings):
    """One fixed choice for every stage. What is searched stands apart from it.

    ``preset="paper"`` starts from the settings of the paper instead of the defaults.
    """

    keypoints: KeypointDetector = Canny()
    patches: PatchSettings = PatchSettings()
    vae: VaeSettings = VaeSettings()
    replicates: Annotated[int, Field(ge=1, le=50)] = 1
    """R: trainings of every trial with other seeds; values are their means (semantics 10.1)"""
    stop_collapsed: bool = False
    """end a training early whose latents have collapsed for good (docs/latent_filter.md)"""
    latents: Literal["mean", "sample"] = "mean"
    """what is scored: posterior means, or one fixed draw per patch (semantics 2.2)"""
    latent_filter: LatentFilter = Units()
    density_filter: DensityFilter = Quantile()
    mixture: MixtureModel = Gmm()
    bayesian: MixtureModel = Bgmm()
    """mixture of the rewards that need an evidence; fitted only if there is one"""
    rewards: Annotated[tuple[Reward, ...], Tuple, Field(min_length=1)] = (
        Reconstruction(),
        Gain(),
        Rate(),
    )
    """what is optimised, one objective each (semantics 9.3)"""
    scores: Annotated[tuple[Reward, ...], Tuple] = ()
    """rewards that are computed and stored with every trial, but steer nothing"""

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, table: Any) -> Any:
        return with_preset(table) if isinstance(table, dict) else table

    @model_validator(mode="after")
    def _bayesian_has_an_evidence(self) -> Self:
        if not self.bayesian.estimates_elbo:
            text = f"kind {self.bayesian.kind!r} estimates no evidence; use kind = 'bgmm'"
            raise SettingsError([Mistake(("bayesian", "kind"), text)])
        mistakes = [
            Mistake(("bayesian", name), f"has no effect here; set mixture.{name}")
            for name in ("max_points", "subsets")  # it is fitted to the points of the mixture
            if getattr(self.bayesian, name) != MixtureModel.model_fields[name].default
        ]
        if mistakes:
            raise SettingsError(mistakes)
        return self

    @model_validator(mode="after")
    def _rewards_hold(self) -> Self:
        mistakes: list[Mistake] = []
        labels: list[str] = []
        for family in ("rewards", "scores"):
            for i, reward in enumerate(getattr(self, family)):
                if reward.label in labels:
                    mistakes.append(Mistake((family, i), f"{reward.label!r} is asked for twice"))
                labels.append(reward.label)
                mistakes += [Mistake((family, i), text) for text in self._unfit(reward)]
                mistakes += self._grid_mistakes(reward)
        # Inside a sum a gain guards nothing: the other terms may outweigh it.
        guarded = any(isinstance(reward, Gain) for reward in self.rewards)
        for i, reward in enumerate(self.rewards):
            if not guarded and any(part.guard_needed for part in with_parts(reward)):
                text = (
                    f"{reward.kind!r} is best for latents without any structure: optimise it "
                    "beside { kind = 'gain' }, or move it to scores"
                )
                mistakes.append(Mistake(("rewards", i), text))
        if mistakes:
            raise SettingsError(mistakes)
        return self

    def _unfit(self, reward: Reward) -> list[str]:
        """Why this reward cannot be computed with the other settings, apart from the grid."""
        found = [reward.mistake] if reward.mistake else []
        least = trainings_compared(reward)
        if self.replicates < least:
            found.append(f"{reward.kind!r} compares trainings: set replicates to {least} or more")
        return found

    def _grid_mistakes(self, reward: Reward) -> list[Mistake]:
        """Numbers of components that the reward looks at and the mixture is not fitted with."""
        needed = {k for part in with_parts(reward) for k in part.components_needed}
        grid: tuple[int, int] = getattr(self.mixture, "components", (0, 0))
        missing = sorted(k for k in needed if not grid[0] <= k <= grid[1])
        if not missing:
            return []
        if grid == (0, 0):
            text = f"reward {reward.kind!r} needs a grid of components: use kind = 'gmm'"
            return [Mistake(("mixture", "kind"), text)]
        if missing == [1]:
            text = f"reward {reward.kind!r} needs K = 1 in the grid: start components at 1"
        else:
            numbers = ", ".join(map(str, missing))
            text = f"reward {reward.kind!r} needs K = {numbers} in the grid, got {list(grid)}"
        return [Mistake(("mixture", "components"), text)]

    @property
    def values(self) -> tuple[Reward, ...]:
        """Everything that is computed for a trial: rewards, then scores."""
        return (*self.rewards, *self.scores)

    def with_values(self, values: dict[str, Any]) -> "Workflow":
        """The same workflow with the settings at these dotted paths changed.

        Raises:
            SettingsError: every path that does not exist or value that is not allowed.
        """
        table = self.to_table()
        mistakes: list[Mistake] = []
        for path, value in values.items():
            *parents, leaf = path.split(".")
            place: Any = table
            for part in parents:
                place = place.get(part) if isinstance(place, dict) else None
            if not isinstance(place, dict):
                mistakes.append(Mistake((path,), "no such setting"))
            else:
                place[leaf] = value
        if mistakes:
            raise SettingsError(mistakes)
        return Workflow(**table)


_SWITCHES = ("replicates", "stop_collapsed", "latents", "scores")
STAGES: tuple[str, ...] = tuple(f for f in Workflow.model_fields if f not in _SWITCHES)
"""names of the stages in the order of the data; whatever shows an order derives from this"""
