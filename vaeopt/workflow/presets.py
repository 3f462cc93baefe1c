"""Named sets of settings to start from: ``preset = "paper"`` in the ``[workflow]`` table."""

from collections.abc import Mapping
from typing import Any

from vaeopt.core.errors import Mistake, SettingsError
from vaeopt.core.settings import nearest

__all__ = ["PRESETS", "with_preset"]

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # Slautin et al. 2025, arXiv:2510.00243. The paper scales the KL with the number of pixels but
    # does not give the factor: kl_scale stays at its default.
    "paper": {
        "keypoints": {"kind": "canny", "spacing_px": 5.0},
        "vae": {
            "latent_dim": 2,
            "width": 128,
            "depth": 2,
            "likelihood": "bernoulli",
            "kl_estimator": "sampled",
            "epochs": 1000,
            "batch_size": 128,
            "pixels": 1.0,
            "learning_rate": 1e-3,
            "schedule": "constant",
            "patience_epochs": 0,
        },
        "latent_filter": {"kind": "variance-product", "minimum": 0.05},
        "density_filter": {"kind": "relative", "threshold": 0.05, "bandwidth": 0.05},
        "mixture": {
            "kind": "gmm",
            "components": [2, 10],
            "space": "raw",
            "n_init": 10,
            "max_iter": 500,
            "tol": 1e-3,
            "engine": "scikit-learn",
        },
        # Of the paper's two readings of c and of the means, those of its methods section.
        "bayesian": {
            "kind": "bgmm",
            "max_components": 20,
            "concentration": "alpha-over-k",
            "alpha": 0.1,
            "means_prior": "uniform",
            "prior_sd": 0.05,
            "prior_on": "sd",
            "lkj": 20.0,
            "space": "raw",
            "init": "median",
            "init_scale": 0.1,
            "engine": "pyro",
            "steps": 500,
            "learning_rate": 5e-3,
            "stop_gain_nats": 0.0,
            "overlap_weight": 0.1,
        },
        "rewards": [{"kind": "icl", "form": "paper"}],
    },
    # Short trainings (docs/benchmarks.md, "Shorter trainings"): a cycle of the learning rate, and
    # steps that look at a quarter of the pixels.
    "quick": {
        "vae": {
            "epochs": 120,
            "batch_size": 64,
            "pixels": 0.25,
            "learning_rate": 8e-3,
            "schedule": "one-cycle",
            "precision": "auto",
        },
    },
    # What a new study starts from (docs/truth.md). Large windows and several invariances at once
    # are often not learnt in a quick training, and with more KL their latents collapse.
    "thorough": {
        "vae": {
            "epochs": 200,
            "batch_size": 32,
            "pixels": 0.25,
            "learning_rate": 4e-3,
            "schedule": "one-cycle",
            "precision": "auto",
            "kl_scale": 3e-4,
        },
    },
    # For domains and grains: types that lie together in space (semantics 9.3).
    "spatial": {
        "rewards": [{"kind": "reconstruction"}, {"kind": "gain"}, {"kind": "spatial-kappa"}],
    },
}


def with_preset(table: Mapping[str, Any]) -> dict[str, Any]:
    """The table with what its preset says wherever it says nothing itself.

    Settings of the table win one by one; a stage of another kind replaces that of the preset.

    Raises:
        SettingsError: no such preset.
    """
    given = dict(table)
    name = given.pop("preset", None)
    if name is None:
        return given
    if not isinstance(name, str) or name not in PRESETS:
        text = f"unknown preset {name!r}; {nearest(str(name), PRESETS)}"
        raise SettingsError([Mistake(("preset",), text)])
    merged = dict(PRESETS[name])
    for stage, written in given.items():
        base = merged.get(stage)
        settings = {"kind": written} if isinstance(written, str) else written  # only its kind
        if isinstance(base, Mapping) and isinstance(settings, Mapping):
            same_kind = _spelt(settings.get("kind", base.get("kind"))) == base.get("kind")
            merged[stage] = {**base, **settings} if same_kind else written
        else:
            merged[stage] = written
    return merged


def _spelt(kind: object) -> object:
    """A kind as it is declared: ``GMM`` means ``gmm``."""
    return kind.replace("_", "-").lower() if isinstance(kind, str) else kind
