"""Everything that decides how the VAE is built and trained."""

import re
from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from vaeopt.core.errors import Mistake, SettingsError
from vaeopt.core.settings import Settings, Tuple, nearest
from vaeopt.kernels.decoder import EngineName, Precision
from vaeopt.stages.vae.invariances import known, ordered
from vaeopt.stages.vae.schedule import Schedule

__all__ = ["Likelihood", "PriorSd", "VaeSettings"]

Likelihood = Literal["bernoulli", "continuous-bernoulli", "gaussian"]


class PriorSd(Settings):
    """Standard deviation of the geometry under its prior; acts only where the invariance is on.

    An invariance of the user's own stands here by its name; its default is in its class.
    """

    model_config = ConfigDict(extra="allow")

    rotation: PositiveFloat = 1.0
    """[rad]"""
    translation: PositiveFloat = 0.1
    """[half windows]"""
    scale: PositiveFloat = 0.1
    """[relative]"""

    @model_validator(mode="after")
    def _own_invariances(self) -> Self:
        mistakes: list[Mistake] = []
        for name, value in (self.model_extra or {}).items():
            if name not in known():
                hint = nearest(name, known())
                mistakes.append(Mistake((name,), f"unknown setting; {hint}"))
            elif isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
                mistakes.append(Mistake((name,), f"must be a number above 0, got {value!r}"))
        if mistakes:
            raise SettingsError(mistakes)
        return self

    def by_kind(self) -> dict[str, float]:
        """Prior of every known invariance, by name."""
        given = self.model_dump()
        return {name: given.get(name, member.default_prior_sd) for name, member in known().items()}


def _names(value: object) -> object:
    # A study file may write a set as in a plot legend: "rotation+translation", "none".
    if isinstance(value, str):
        return tuple(word for word in re.split(r"\s*\+\s*", value.strip()) if word != "none")
    return value


class VaeSettings(Settings):
    """An invariant VAE with fully connected encoder and, for invariances, spatial decoder."""

    latent_dim: Annotated[int, Field(ge=1, le=64)] = 2
    """content latents, the geometry not counted"""
    invariances: Annotated[tuple[str, ...], Tuple, BeforeValidator(_names)] = ("rotation",)
    """any of rotation, translation, scale; none of them: a vanilla VAE"""
    prior_sd: PriorSd = PriorSd()
    """how far patches are expected to turn, shift and scale"""
    width: Annotated[int, Field(ge=1, le=4096)] = 128
    """units of each hidden layer"""
    depth: Annotated[int, Field(ge=1, le=16)] = 2
    """hidden layers of the encoder and of the decoder (a spatial decoder has one more)"""
    likelihood: Likelihood = "bernoulli"
    """of grey pixels in [0, 1]"""
    gaussian_sd: PositiveFloat = 0.5
    """noise of the gaussian likelihood [image range]"""
    kl_scale: Annotated[float, Field(ge=0)] = 0.001
    """kappa: the KL is weighted with kappa times the number of pixels (semantics 1.4)"""
    kl_estimator: Literal["analytic", "sampled"] = "analytic"
    """sampled: the one-sample estimate of Pyro's Trace_ELBO, noisier, same expectation"""
    epochs: PositiveInt = 200
    """passes over all patches"""
    batch_size: PositiveInt = 128
    """patches per step"""
    pixels: Annotated[float, Field(gt=0, le=1)] = 1.0
    """share of the pixels of a window that a step looks at, drawn anew for every step"""
    learning_rate: PositiveFloat = 1e-3
    """of Adam; the largest one where it changes"""
    schedule: Schedule = "constant"
    """of the learning rate: constant, or one-cycle (rises, then falls to 0 with the last epoch)"""
    patience_epochs: Annotated[int, Field(ge=0)] = 0
    """stop when the mean loss of this many epochs no longer improves on as many before; 0: never"""
    min_improvement: Annotated[float, Field(ge=0, lt=1)] = 1e-3
    """what counts as improvement, as a fraction of the loss range seen so far"""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    """auto (a GPU where there is one), cpu, or cuda:N"""
    engine: EngineName = "auto"
    """what trains: auto (the fastest that runs), native, triton, fast or reference"""
    precision: Precision = "float32"
    """of products while it trains: float32, bf16, or auto (bf16 on a GPU, and where the compiled
    kernels are then faster)"""

    @field_validator("invariances")
    @classmethod
    def _known_invariances(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        mistakes = [
            Mistake((), f"unknown invariance {name!r}; {nearest(name, known())}")
            for name in value
            if name not in known()
        ]
        if len(set(value)) < len(value):
            mistakes.append(Mistake((), "an invariance is named twice"))
        if mistakes:
            raise SettingsError(mistakes)
        return ordered(value)

    @model_validator(mode="after")
    def _patience_has_no_schedule(self) -> Self:
        if self.patience_epochs and self.schedule != "constant":
            text = (
                f"schedule = {self.schedule!r} improves until its last epoch: set 0, "
                "and stop earlier by fewer epochs"
            )
            raise SettingsError([Mistake(("patience_epochs",), text)])
        return self

    @property
    def n_codes(self) -> int:
        """Pose latents of all invariances."""
        members = known()
        return sum(members[name].n_codes for name in self.invariances)
