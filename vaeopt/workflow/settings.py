"""Settings of the whole flow; the order of the fields is the order of the stages."""

from typing import Annotated, Any, Self

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
from vaeopt.stages.mixture.gmm import Gmm
from vaeopt.stages.patches import PatchSettings
from vaeopt.stages.rewards import Reward
from vaeopt.stages.rewards.gain import Gain
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
    latent_filter: LatentFilter = Units()
    density_filter: DensityFilter = Quantile()
    mixture: MixtureModel = Gmm()
    rewards: Annotated[tuple[Reward, ...], Tuple, Field(min_length=1)] = (Reconstruction(), Gain())

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, table: Any) -> Any:
        return with_preset(table) if isinstance(table, dict) else table

    @model_validator(mode="after")
    def _rewards_hold(self) -> Self:
        mistakes: list[Mistake] = []
        labels = [reward.label for reward in self.rewards]
        for i, reward in enumerate(self.rewards):
            if labels[i] in labels[:i]:
                mistakes.append(Mistake(("rewards", i), f"{labels[i]!r} is asked for twice"))
            first = getattr(self.mixture, "components", (1,))[0]
            if reward.needs_null_model and first != 1:
                text = f"reward {reward.kind!r} needs K = 1 in the grid: start components at 1"
                mistakes.append(Mistake(("mixture", "components"), text))
        if mistakes:
            raise SettingsError(mistakes)
        return self

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


STAGES: tuple[str, ...] = tuple(Workflow.model_fields)
"""names of the stages in the order of the data; whatever shows an order derives from this"""
