"""One small walk through all stages, shared by the tests of the workflow."""

from typing import Any

import pytest

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Micrograph, WorkflowRun
from vaeopt.testing import example_micrograph
from vaeopt.workflow import Workflow, comparison_for, walk

N_KEYPOINTS = 49


@pytest.fixture(scope="session")
def micrograph() -> Micrograph:
    return example_micrograph(48)


@pytest.fixture(scope="session")
def workflow() -> Workflow:
    """Every stage in its smallest form; all built-in rewards."""
    table: dict[str, Any] = {
        "keypoints": {"kind": "grid", "spacing_px": 6},
        "patches": {"size_px": 7},
        "vae": {
            "width": 12,
            "depth": 1,
            "epochs": 3,
            "batch_size": 16,
            "learning_rate": 1e-2,
            "device": "cpu",
        },
        "latent_filter": {"kind": "variance-product", "minimum": 1e-9},
        "mixture": {"kind": "gmm", "components": [1, 3], "n_init": 1},
        "rewards": [
            {"kind": "reconstruction"},
            {"kind": "gain"},
            {"kind": "icl", "weight": 0.5},
            {"kind": "bic"},
            {"kind": "aic"},
            {"kind": "rate"},
            {"kind": "variance-product"},
        ],
    }
    return Workflow(**table)


@pytest.fixture(scope="session")
def run(workflow: Workflow, micrograph: Micrograph) -> WorkflowRun:
    comparison = comparison_for(workflow, N_KEYPOINTS)
    return walk(workflow, micrograph, comparison=comparison, seeds=Seeds(0, 0))
