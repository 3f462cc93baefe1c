"""Write ``pyroved_reference.npz``: losses and gradients of small pyroVED 0.3.0 models.

The tests compare our VAE with these stored numbers, so that they need no pyroVED. To make them
again (the folder is the script's own), in a fresh environment::

    pip install torch==2.13.0 pyro-ppl==1.9.2 numpy matplotlib pillow requests
    pip install --no-deps torchvision==0.16.2 pyroved==0.3.0  # torchvision: only for its plots
    python make_pyroved_reference.py

A plain ``pip install pyroved`` brings the torchvision, and with it the torch, of the day.

Every array is stored under ``<case>/<name>``, n = 5 patches of w x w pixels, d latents (angle,
row shift, column shift, scale where present, then the content latents):

- ``config``: JSON, see `Case.config`;
- ``patches`` (n, w, w) in [0, 1] and ``noise`` (n, d), N(0, 1): the inputs, float32;
- ``weight/<parameter>`` and ``grad/<parameter>``, named as in ``model.named_parameters()``;
- ``loss`` [nats]: minus the one-sample ELBO, summed over pixels and patches;
- ``z_mean``, ``z_sd``, ``z = z_mean + noise * z_sd`` (n, d);
- ``decoded`` (n, w, w): the decoder's output for ``z``, in its pose, after the sigmoid.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyroved  # type: ignore[import-not-found]  # only where the numbers are made
import torch
from numpy.typing import NDArray
from torch import nn

N_PATCHES = 5
HIDDEN = [16, 16]
GAUSSIAN_SD = 0.5
LEAST_ANGLE_SUM_RAD = 1e-3
LATENTS_OF = {"r": 1, "t": 2, "s": 1}
OUTPUT = Path(__file__).with_name("pyroved_reference.npz")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One small model: what pyroVED is asked for, in the words of the stored ``config``."""

    name: str
    invariances: str = ""
    window_px: int = 8
    latent_dim: int = 2
    likelihood: str = "bernoulli"
    scale_factor: float
    shift_prior: float = 0.1
    scale_prior: float = 0.1

    @property
    def n_latents(self) -> int:
        """Number of latents: those of the pose, then those of the content."""
        return sum(LATENTS_OF[letter] for letter in self.invariances) + self.latent_dim

    def config(self) -> str:
        """The settings as JSON; ``invariances`` is a list of letters, both axes share a prior."""
        return json.dumps(
            {
                "window_px": self.window_px,
                "latent_dim": self.latent_dim,
                "invariances": list(self.invariances),
                "hidden": HIDDEN,
                "likelihood": self.likelihood,
                "gaussian_sd": GAUSSIAN_SD,
                "scale_factor": self.scale_factor,
                "shift_prior": self.shift_prior,
                "scale_prior": self.scale_prior,
            }
        )


CASES = (
    Case(name="none", scale_factor=0.7),
    Case(name="r", invariances="r", scale_factor=1.3),
    Case(name="t", invariances="t", scale_factor=0.4, shift_prior=0.25),
    Case(name="rt", invariances="rt", scale_factor=2.0),
    Case(name="s", invariances="s", scale_factor=1.0),
    Case(name="rs", invariances="rs", scale_factor=0.7, scale_prior=0.2),
    Case(name="ts", invariances="ts", scale_factor=3.0),
    Case(name="rts", invariances="rts", scale_factor=1.7, shift_prior=0.2, scale_prior=0.15),
    Case(name="rt_window7", invariances="rt", window_px=7, scale_factor=0.9),
    Case(name="rt_gaussian", invariances="rt", likelihood="gaussian", scale_factor=0.6),
    Case(
        name="rt_continuous_bernoulli",
        invariances="rt",
        likelihood="continuous_bernoulli",
        scale_factor=1.4,
    ),
    Case(name="none_gaussian", likelihood="gaussian", scale_factor=2.5),
    Case(name="none_continuous_bernoulli", likelihood="continuous_bernoulli", scale_factor=0.8),
    Case(name="rt_latent3", invariances="rt", window_px=9, latent_dim=3, scale_factor=7.5),
)


def smooth_patches(window_px: int, rng: np.random.Generator) -> torch.Tensor:
    """Random smooth pictures, float32 (n, w, w): three Gaussian bumps each, stretched to [0, 1]."""
    axis = np.linspace(-1.0, 1.0, window_px)
    centre = rng.uniform(-1.0, 1.0, (N_PATCHES, 3, 2, 1))
    height = rng.uniform(0.3, 1.0, (N_PATCHES, 3, 1, 1))
    bump = np.exp(-((axis - centre) ** 2) / (2 * 0.4**2))
    pixels = (height * bump[:, :, 0, :, None] * bump[:, :, 1, None, :]).sum(axis=1)
    low, high = pixels.min(axis=(1, 2), keepdims=True), pixels.max(axis=(1, 2), keepdims=True)
    return torch.from_numpy(((pixels - low) / (high - low)).astype(np.float32))


def build_model(case: Case, seed: int) -> pyroved.models.iVAE:
    """The model with torch's default weights, made larger so that no gradient is tiny."""
    model = pyroved.models.iVAE(
        (case.window_px, case.window_px),
        latent_dim=case.latent_dim,
        invariances=list(case.invariances) or None,
        hidden_dim_e=HIDDEN,
        hidden_dim_d=HIDDEN,
        sampler_d=case.likelihood,
        seed=seed,
        device="cpu",
        dx_prior=case.shift_prior,
        dy_prior=case.shift_prior,
        sc_prior=case.scale_prior,
        decoder_sig=GAUSSIAN_SD,
    )
    with torch.no_grad():
        if case.likelihood == "continuous_bernoulli":
            # torch's log normaliser loses its digits in float32 where the output is near 0.5
            # (but not within 0.001 of it), so keep away from there, on both sides.
            model.decoder.out.bias.copy_(1.5 * model.decoder.out.bias.sign())
        else:
            for parameter in model.parameters():
                parameter.mul_(2.0)
    return model


def run_case(case: Case, seed: int) -> dict[str, NDArray[np.generic]]:
    """One loss-and-gradient evaluation of pyroVED's own SVI, without the optimizer's step."""
    rng = np.random.default_rng(seed)
    patches = smooth_patches(case.window_px, rng)
    noise = torch.from_numpy(rng.standard_normal((N_PATCHES, case.n_latents), dtype=np.float32))
    model = build_model(case, seed)
    svi = pyroved.trainers.SVItrainer(model, device="cpu").svi

    seen: dict[str, torch.Tensor] = {}

    def keep_encoded(_: nn.Module, __: object, output: tuple[torch.Tensor, torch.Tensor]) -> None:
        seen["z_mean"], seen["z_sd"] = output

    def keep_decoded(_: nn.Module, __: object, output: torch.Tensor) -> None:
        seen["decoded"] = output

    def stored_noise(shape: torch.Size, **_: object) -> torch.Tensor:
        if shape != noise.shape:
            raise ValueError(f"expected one draw of {tuple(noise.shape)}, got {tuple(shape)}")
        return noise

    model.encoder_z.register_forward_hook(keep_encoded)
    model.decoder.register_forward_hook(keep_decoded)
    # `Normal.rsample` draws its noise with this function and with nothing else.
    with patch("torch.distributions.normal._standard_normal", side_effect=stored_noise) as draw:
        loss = svi.loss_and_grads(model.model, model.guide, patches, scale_factor=case.scale_factor)
    draw.assert_called_once()

    seen["z"] = seen["z_mean"] + noise * seen["z_sd"]
    if "r" in case.invariances and abs(float(seen["z"][:, 0].sum())) < LEAST_ANGLE_SUM_RAD:
        raise ValueError(f"{case.name}: pyroVED does not rotate a batch whose angles sum to 0")
    arrays = {
        "config": np.array(case.config()),
        "patches": patches.numpy(),
        "noise": noise.numpy(),
        "loss": np.array(loss),
        **{name: tensor.detach().numpy() for name, tensor in seen.items()},
    }
    for name, parameter in model.named_parameters():
        arrays[f"weight/{name}"] = parameter.detach().numpy()
        arrays[f"grad/{name}"] = parameter.grad.numpy()
    return {f"{case.name}/{name}": array for name, array in arrays.items()}


def main() -> None:
    """Run every case and write `OUTPUT`."""
    torch.set_num_threads(1)
    arrays: dict[str, NDArray[np.generic]] = {}
    for seed, case in enumerate(CASES):
        arrays |= run_case(case, seed)
    np.savez_compressed(OUTPUT, **arrays)  # type: ignore[arg-type]  # NumPy's stub


if __name__ == "__main__":
    main()
