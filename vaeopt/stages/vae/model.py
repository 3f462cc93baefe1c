"""Encoder and decoder together, and the loss that trains them."""

from threading import Lock

import torch
from torch import Tensor, nn

from vaeopt.core.types import TrainedVae
from vaeopt.kernels.elbo import fast as elbo
from vaeopt.stages.vae.decoder import SpatialDecoder, VanillaDecoder
from vaeopt.stages.vae.encoder import Encoder
from vaeopt.stages.vae.settings import VaeSettings

__all__ = ["InvariantVae", "build", "restore"]

_BUILDING = Lock()  # torch draws first weights from one generator that all threads share


class InvariantVae(nn.Module):
    """An invariant VAE on square windows.

    Latents stand in the order codes (rotation, translation, scale), content.
    """

    def __init__(self, settings: VaeSettings, size_px: int) -> None:
        super().__init__()
        self.settings = settings
        self.size_px = size_px
        shape = {"width": settings.width, "depth": settings.depth}
        n_pixels = size_px**2
        self.encoder = Encoder(n_pixels, settings.n_codes + settings.latent_dim, **shape)
        self.decoder: VanillaDecoder | SpatialDecoder
        if settings.invariances:
            self.decoder = SpatialDecoder(
                size_px,
                settings.latent_dim,
                invariances=settings.invariances,
                n_codes=settings.n_codes,
                prior_sd=settings.prior_sd.by_kind(),
                **shape,
            )
        else:
            self.decoder = VanillaDecoder(n_pixels, settings.latent_dim, **shape)

    def loss(self, patches: Tensor, noise: Tensor) -> Tensor:
        """-ELBO of each patch with the KL scaled by kl_scale * n_pixels (semantics 1.4).

        Args:
            patches: (n, n_pixels) in [0, 1].
            noise: (n, n_codes + latent_dim) standard normal draws.

        Returns:
            (n,) [nats]
        """
        mean, std = self.encoder(patches)
        sample = mean + std * noise
        return self._nll(patches, sample).sum(-1) + self._penalty(mean, std, noise).sum(-1)

    def loss_sum(
        self,
        patches: Tensor,
        noise: Tensor,
        *,
        pixels: Tensor | None = None,
        threads: int | None = None,
    ) -> Tensor:
        """The sum of :meth:`loss` over a batch, by the engine and precision of the settings.

        Args:
            patches: (n, n_pixels) in [0, 1].
            noise: (n, n_codes + latent_dim) standard normal draws.
            pixels: (k,) numbers of the pixels that the likelihood is estimated from, with the
                weight n_pixels / k; the encoder sees all. All pixels if left out.
            threads: of the compiled kernel; as many as torch has if left out.

        Returns:
            () [nats]; gradients of any order but the first are not defined.
        """
        settings, decoder = self.settings, self.decoder
        mean, std = self.encoder(patches)
        sample = mean + std * noise
        seen = patches if pixels is None else patches[:, pixels]
        if isinstance(decoder, VanillaDecoder):
            nll = self._nll(seen, sample, pixels).sum()
        else:
            nll = decoder.nll_sum(
                sample,
                seen,
                pixels=pixels,
                likelihood=settings.likelihood,
                gaussian_sd=settings.gaussian_sd,
                engine=settings.engine,
                precision=settings.precision,
                threads=threads,
            )
        if pixels is not None:
            nll = nll * (patches.shape[1] / len(pixels))
        return nll + self._penalty(mean, std, noise).sum()

    def _nll(self, patches: Tensor, sample: Tensor, pixels: Tensor | None = None) -> Tensor:
        """Of each pixel of ``patches``: all, or those that ``pixels`` numbers."""
        logits = self.decoder(sample)
        return elbo.nll(
            patches,
            logits if pixels is None else logits[:, pixels],
            self.settings.likelihood,
            gaussian_sd=self.settings.gaussian_sd,
        )

    def _penalty(self, mean: Tensor, std: Tensor, noise: Tensor) -> Tensor:
        """The KL with its weight, (n, n_codes + latent_dim)."""
        if self.settings.kl_estimator == "analytic":
            kl = elbo.kl_gaussian(mean, std)
        else:
            kl = elbo.kl_sampled(mean + std * noise, noise, std)
        return self.settings.kl_scale * self.size_px**2 * kl


def build(settings: VaeSettings, size_px: int, *, seed: int) -> InvariantVae:
    """A new model with torch's default weights drawn from ``seed``; global state is untouched."""
    with _BUILDING, torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: it would reseed the GPUs too, which fork_rng leaves alone here.
        torch.default_generator.manual_seed(seed)
        return InvariantVae(settings, size_px)


def restore(vae: TrainedVae) -> InvariantVae:
    """The model that a :class:`TrainedVae` describes, on the CPU, ready to be used."""
    model = build(VaeSettings(**vae.config), vae.window_px, seed=0)
    # A copy: arrays may be read-only, and a model must not share memory with a frozen record.
    state = {name: torch.tensor(array) for name, array in vae.weights.items()}
    model.load_state_dict(state)
    return model.eval()
