"""The same weights and noise give what pyroVED 0.3.0 gives: loss, gradients, codes, pictures."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vaeopt.stages.vae.model import InvariantVae, build
from vaeopt.stages.vae.settings import PriorSd, VaeSettings

_FILE = Path(__file__).parent / "reference" / "pyroved_reference.npz"
_INVARIANCE = {"r": "rotation", "t": "translation", "s": "scale"}
_OUR_NAME = {
    "encoder_z.fc_layers.0": "encoder.hidden.0",
    "encoder_z.fc_layers.2": "encoder.hidden.1",
    "encoder_z.fc11": "encoder.mean",
    "encoder_z.fc12": "encoder.std",
    "decoder.coord_latent.fc_coord": "decoder.coordinates",
    "decoder.coord_latent.fc_latent": "decoder.content",
    "decoder.fc_layers.0": "decoder.hidden.0",
    "decoder.fc_layers.2": "decoder.hidden.1",
    "decoder.out": "decoder.out",
}


def _ours(parameter: str) -> str:
    module, _, kind = parameter.rpartition(".")
    return f"{_OUR_NAME[module]}.{kind}"


@functools.cache
def _stored() -> dict[str, NDArray[Any]]:
    with np.load(_FILE) as held:
        return {name: held[name] for name in held.files}


CASES = sorted({name.split("/")[0] for name in _stored()})


@dataclass(frozen=True)
class _Evaluated:
    arrays: dict[str, NDArray[Any]]
    model: InvariantVae
    patches: torch.Tensor
    noise: torch.Tensor


def _close(ours: torch.Tensor, theirs: NDArray[Any]) -> None:
    """Equal to 1e-5 of the largest number of the array."""
    ours_ = ours.detach().numpy().reshape(theirs.shape)
    np.testing.assert_allclose(ours_, theirs, rtol=0, atol=1e-5 * float(np.abs(theirs).max()))


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> _Evaluated:
    prefix = f"{request.param}/"
    arrays = {n.removeprefix(prefix): a for n, a in _stored().items() if n.startswith(prefix)}
    config = json.loads(str(arrays["config"]))
    settings = VaeSettings(
        latent_dim=config["latent_dim"],
        invariances=tuple(_INVARIANCE[letter] for letter in config["invariances"]),
        prior_sd=PriorSd(translation=config["shift_prior"], scale=config["scale_prior"]),
        width=config["hidden"][0],
        depth=len(config["hidden"]),
        likelihood=config["likelihood"].replace("_", "-"),
        gaussian_sd=config["gaussian_sd"],
        kl_estimator="sampled",
        kl_scale=config["scale_factor"] / config["window_px"] ** 2,
    )
    model = build(settings, config["window_px"], seed=0)
    weights = {_ours(n[7:]): torch.tensor(a) for n, a in arrays.items() if n.startswith("weight/")}
    model.load_state_dict(weights)
    patches = torch.tensor(arrays["patches"]).flatten(1)
    return _Evaluated(arrays, model, patches, torch.tensor(arrays["noise"]))


def test_there_are_cases_for_every_invariance_and_likelihood() -> None:
    configs = [json.loads(str(_stored()[f"{name}/config"])) for name in CASES]
    assert {"".join(c["invariances"]) for c in configs} >= {"", "r", "t", "s", "rt", "rts"}
    assert len({c["likelihood"] for c in configs}) == 3


def test_the_encoder_gives_the_same_posterior(case: _Evaluated) -> None:
    mean, std = case.model.encoder(case.patches)
    _close(mean, case.arrays["z_mean"])
    _close(std, case.arrays["z_sd"])


def test_the_decoder_draws_the_same_pictures(case: _Evaluated) -> None:
    _close(case.model.decoder(torch.tensor(case.arrays["z"])).sigmoid(), case.arrays["decoded"])


def test_the_loss_is_the_same(case: _Evaluated) -> None:
    loss = case.model.loss(case.patches, case.noise)
    assert loss.sum().item() == pytest.approx(float(case.arrays["loss"]), rel=1e-5)


def test_every_gradient_is_the_same(case: _Evaluated) -> None:
    case.model.loss(case.patches, case.noise).sum().backward()  # type: ignore[no-untyped-call]  # torch's stub
    theirs = {_ours(n[5:]): a for n, a in case.arrays.items() if n.startswith("grad/")}
    ours = {name: p.grad for name, p in case.model.named_parameters()}
    assert set(ours) == set(theirs)
    for name, gradient in ours.items():
        assert gradient is not None
        _close(gradient, theirs[name])


@pytest.mark.parametrize("engine", ["reference", "fast", "native"])
def test_the_training_loss_and_its_gradients_are_the_same(case: _Evaluated, engine: str) -> None:
    case.model.settings = case.model.settings.model_copy(update={"engine": engine})
    loss = case.model.loss_sum(case.patches, case.noise)
    assert loss.item() == pytest.approx(float(case.arrays["loss"]), rel=1e-5)
    loss.backward()  # type: ignore[no-untyped-call]  # torch's stub
    theirs = {_ours(n[5:]): a for n, a in case.arrays.items() if n.startswith("grad/")}
    for name, p in case.model.named_parameters():
        assert p.grad is not None
        _close(p.grad, theirs[name])
