"""Settings in the words of the kernels that train whole epochs."""

from vaeopt.kernels.grid import pixel_grid
from vaeopt.kernels.training import Recipe
from vaeopt.stages.vae.settings import VaeSettings

__all__ = ["COMPILED", "recipe_of"]

COMPILED = frozenset({"rotation", "translation", "scale"})
"""invariances that kernels know; those of the user's own are trained by torch operations"""


def recipe_of(settings: VaeSettings, size_px: int, *, bf16: bool) -> Recipe:
    """Model and step as kernels know them; invariances must be :data:`COMPILED`."""
    by_kind = settings.prior_sd.by_kind()
    sd = {kind: by_kind[kind] if kind in settings.invariances else 0.0 for kind in COMPILED}
    return Recipe(
        n_pixels=size_px**2,
        width=settings.width,
        depth=settings.depth,
        latent_dim=settings.latent_dim,
        likelihood=settings.likelihood,
        gaussian_sd=settings.gaussian_sd,
        kl_weight=settings.kl_scale * size_px**2,
        kl_sampled=settings.kl_estimator == "sampled",
        batch_size=settings.batch_size,
        bf16=bf16,
        rotation_sd=sd["rotation"],
        translation_sd=sd["translation"],
        scale_sd=sd["scale"],
        grid=pixel_grid(size_px),
    )
