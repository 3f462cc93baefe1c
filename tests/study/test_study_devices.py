"""Which devices a study asks for, which GPU it claims, and what it says of them."""

import os
from pathlib import Path

import optuna
import pytest
import torch

import vaeopt as vo
from tests.study.tiny import write_study
from vaeopt.kernels import device
from vaeopt.kernels.device import Claim, resolve_device
from vaeopt.stages.density_filter.quantile import Quantile
from vaeopt.study.check import check
from vaeopt.study.file import open_study
from vaeopt.study.results.confirm import confirm
from vaeopt.study.results.records import environment, settings_of
from vaeopt.workflow import Workflow, device_settings, resolve_devices

pytestmark = pytest.mark.skipif(os.name == "nt", reason="this system has no advisory locks")

STAGES = ("vae", "density_filter", "mixture", "bayesian")
ON_CPU = {f"{stage}.device": "cpu" for stage in STAGES}


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the locks of a machine with three GPUs, the first of which is taken."""
    folder = tmp_path / "locks"
    folder.mkdir()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU {index}")
    gpus = ["a", "b", "c"]
    monkeypatch.setattr(device, "_claim", Claim(lambda: gpus, folder))
    assert Claim(lambda: gpus, folder).index() == 0
    return folder


def _claimed(locks: Path) -> list[str]:
    return sorted(path.name for path in locks.iterdir())


def _device_line(folder: Path) -> str:
    lines = check(open_study(folder))
    return next(line for line in lines if line.startswith("device")).split(maxsplit=1)[1]


def test_a_check_holds_no_gpu(tmp_path: Path, locks: Path) -> None:
    folder = write_study(tmp_path / "s")
    path = folder / "study.toml"
    text = path.read_text()
    assert _device_line(folder) == "cpu"
    path.write_text(text.replace('"cpu"', '"auto"'))
    assert _device_line(folder) == "cuda"
    path.write_text(text.replace("n_init = 1", 'device = "cuda:2"'))
    assert _device_line(folder) == "cpu, mixture on cuda:2"
    assert _claimed(locks) == ["vaeopt-a.0.lock"]


def test_what_trains_is_claimed_and_what_is_missing_is_not(locks: Path) -> None:
    wrong = Workflow().with_values({"mixture.device": "cuda:3"})
    with pytest.raises(vo.VaeoptError, match=r"^workflow\.mixture\.device: device 'cuda:3' is not"):
        resolve_devices(wrong)
    resolve_devices(Workflow().with_values(ON_CPU))
    assert _claimed(locks) == ["vaeopt-a.0.lock"]
    resolve_devices(Workflow())
    assert _claimed(locks) == ["vaeopt-a.0.lock", "vaeopt-b.0.lock"]


@pytest.mark.usefixtures("locks")
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"vae.device": "auto"}, "GPU 1"),
        ({"vae.device": "cuda:2"}, "GPU 2"),
        ({"vae.device": "cuda:2", "mixture.device": "cuda:0"}, "GPU 0, GPU 2"),
        ({"mixture.device": "cuda:2"}, "GPU 2"),
        ({"mixture.device": "auto"}, None),  # its work was too small for a GPU
        ({"bayesian.device": "cuda:2"}, None),  # no reward needs it
        ({"bayesian.device": "cuda:2", "scores": ["elbo"]}, "GPU 2"),
        ({}, None),
    ],
)
def test_the_record_names_the_gpu_that_is_used(
    values: dict[str, object], expected: str | None
) -> None:
    assert environment(Workflow().with_values({**ON_CPU, **values}))["gpu"] == expected


@pytest.mark.usefixtures("locks")
def test_the_record_names_a_gpu_that_only_mixtures_have_taken() -> None:
    workflow = Workflow().with_values({**ON_CPU, "mixture.device": "auto"})
    resolve_device("auto", setting="mixture.device", numbers=10**9)
    assert environment(workflow)["gpu"] == "GPU 1"


def test_a_plug_in_may_mean_something_else_by_device() -> None:
    class Sender(Quantile):
        device: str = "tpu"

    workflow = Workflow().model_copy(update={"density_filter": Sender()})
    assert device_settings(workflow).keys() == ON_CPU.keys() - {"density_filter.device"}


def test_leaders_are_trained_again_on_the_devices_of_the_study_file(tmp_path: Path) -> None:
    folder = write_study(tmp_path, n_trials=2)
    vo.optimize(folder)
    path = folder / "study.toml"
    text = path.read_text().replace('device = "cpu"', 'device = "auto"')
    text = text.replace("n_init = 1", 'n_init = 1, device = "cpu"')
    others = [f'{{ kind = "{kind}", device = "cpu" }}' for kind in ("bgmm", "quantile")]
    bayesian, density_filter = others
    path.write_text(
        text.replace(
            "rewards", f"bayesian = {bayesian}\ndensity_filter = {density_filter}\nrewards"
        )
    )
    confirm(folder, top=1, seeds=1)
    again = optuna.load_study(study_name="tiny-confirm", storage=f"sqlite:///{folder}/tiny.db")
    (trial,) = again.trials
    assert device_settings(settings_of(trial)) == {**ON_CPU, "vae.device": "auto"}
