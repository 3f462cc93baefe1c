"""An invariance declared beside the study file is trained like the built-in ones."""

from pathlib import Path

import numpy as np
import pytest

import vaeopt as vo

_SHEAR = '''
from typing import ClassVar

import torch
from torch import Tensor

from vaeopt import Invariance


class Shear(Invariance, kind="shear-of-a-test"):
    """Columns move in proportion to their row."""

    n_codes: ClassVar[int] = 1
    code_rank: ClassVar[int] = 3
    apply_rank: ClassVar[int] = 3
    default_prior_sd: ClassVar[float] = 0.2
    unit: ClassVar[str] = "relative"

    @classmethod
    def affine(cls, amount: Tensor) -> tuple[Tensor, Tensor]:
        one, zero = torch.ones_like(amount[:, 0]), torch.zeros_like(amount[:, 0])
        rows = [torch.stack([one, zero], -1), torch.stack([amount[:, 0], one], -1)]
        return torch.stack(rows, -2), amount.new_zeros(len(amount), 2)
'''

_STUDY = """
name = "sheared"
plugins = ["shear.py"]
[image]
path = "image.npy"
[workflow]
keypoints = { kind = "grid", spacing_px = 6 }
patches = { size_px = 5 }
vae = { invariances = ["rotation", "shear-of-a-test"], width = 8, depth = 1, epochs = 2 }
mixture = { kind = "gmm", components = [1, 2], n_init = 1 }
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).random((48, 48))
    np.save(tmp_path / "image.npy", pixels)
    (tmp_path / "shear.py").write_text(_SHEAR)
    (tmp_path / "study.toml").write_text(_STUDY)
    return tmp_path


def test_an_own_invariance_is_trained_and_gives_its_pose(study: Path) -> None:
    run = vo.run(study)
    assert run.latents.code_mean.shape == (len(run.patches), 2)
    assert {"angle_rad", "shift_row_px"} <= set(run.latents.codes)


def test_its_prior_is_its_own_or_that_of_the_study(study: Path) -> None:
    settings = vo.open_study(study).settings.workflow.vae
    assert settings.prior_sd.by_kind()["shear-of-a-test"] == 0.2
    text = (study / "study.toml").read_text()
    prior = 'epochs = 2, prior_sd = { "shear-of-a-test" = 0.4 }'
    (study / "study.toml").write_text(text.replace("epochs = 2", prior))
    changed = vo.open_study(study).settings.workflow.vae
    assert changed.prior_sd.by_kind()["shear-of-a-test"] == 0.4
    assert type(changed)(**changed.to_table()) == changed


@pytest.mark.parametrize("value", ["0", "-1.0", "true", '"wide"'])
def test_an_impossible_prior_is_refused(study: Path, value: str) -> None:
    text = (study / "study.toml").read_text()
    prior = f'epochs = 2, prior_sd = {{ "shear-of-a-test" = {value} }}'
    (study / "study.toml").write_text(text.replace("epochs = 2", prior))
    with pytest.raises(vo.SettingsError, match=r"prior_sd\.shear-of-a-test: must be a number"):
        vo.open_study(study)


def test_a_plugin_file_that_has_not_changed_runs_once(study: Path) -> None:
    vo.open_study(study)
    member = vo.Invariance.of_kind("shear-of-a-test")
    vo.open_study(study)
    assert vo.Invariance.of_kind("shear-of-a-test") is member
    (study / "shear.py").write_text(_SHEAR.replace("= 0.2", "= 0.3"))
    vo.open_study(study)
    assert vo.Invariance.of_kind("shear-of-a-test").default_prior_sd == 0.3
