"""Settings of the VAE: how invariances may be written, and what is refused."""

from typing import Any

import pytest

from vaeopt.core.errors import SettingsError, VaeoptError
from vaeopt.stages.vae import VaeSettings
from vaeopt.stages.vae.device import resolve_device


def _make(**table: Any) -> VaeSettings:
    return VaeSettings(**table)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ([], ()),
        ("none", ()),
        ("rotation", ("rotation",)),
        ("rotation+translation", ("rotation", "translation")),
        ("translation + rotation", ("rotation", "translation")),
        (["scale", "translation", "rotation"], ("rotation", "translation", "scale")),
    ],
)
def test_invariances_stand_in_one_order_however_written(
    written: object, meant: tuple[str, ...]
) -> None:
    assert _make(invariances=written).invariances == meant


def test_an_unknown_invariance_hints_at_the_nearest() -> None:
    expected = r"^invariances: unknown invariance 'rotaton'; did you mean 'rotation'\?"
    with pytest.raises(SettingsError, match=expected):
        _make(invariances=["rotaton"])


def test_every_unknown_invariance_is_named() -> None:
    with pytest.raises(SettingsError) as caught:
        _make(invariances=["x", "scale", "y"])
    assert len(caught.value.mistakes) == 2


def test_an_invariance_cannot_be_named_twice() -> None:
    with pytest.raises(SettingsError, match="an invariance is named twice"):
        _make(invariances=["scale", "scale"])


@pytest.mark.parametrize(
    ("invariances", "codes"),
    [("none", 0), ("rotation", 1), ("translation", 2), ("rotation+translation+scale", 4)],
)
def test_codes_are_counted_over_the_invariances(invariances: str, codes: int) -> None:
    assert _make(invariances=invariances).n_codes == codes


def test_a_prior_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"^prior_sd\.rotatoin: unknown setting; did you mean"):
        _make(prior_sd={"rotatoin": 1.0})


@pytest.mark.parametrize(
    "table",
    [
        {"latent_dim": 0},
        {"kl_scale": -1e-3},
        {"learning_rate": 0.0},
        {"likelihood": "poisson"},
        {"device": "gpu"},
        {"min_improvement": 1.0},
    ],
    ids=lambda table: next(iter(table)),
)
def test_values_without_meaning_are_refused(table: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=f"^{next(iter(table))}: "):
        _make(**table)


def test_a_table_makes_the_same_settings_again() -> None:
    settings = _make(invariances="rotation+scale", prior_sd={"scale": 0.3}, epochs=7)
    assert _make(**settings.to_table()) == settings


def test_a_gpu_that_is_not_there_is_one_line() -> None:
    expected = r"^workflow\.vae\.device: device 'cuda:99' is not there .*; use 'auto' or 'cpu'$"
    with pytest.raises(VaeoptError, match=expected):
        resolve_device("cuda:99")


def test_the_cpu_is_always_there() -> None:
    assert resolve_device("cpu").type == "cpu"
    assert resolve_device("auto").type in ("cpu", "cuda")
