"""Search the representation that shows a material's building blocks.

A micrograph is cut into patches round key points, an invariant VAE maps the patches to a few
latents, clusters in the latent space are the building blocks, and Optuna searches the choices that
decide what comes out::

    import vaeopt as vo

    study = vo.optimize("studies/quick-start", n_trials=20)  # a plain optuna.Study
    run = vo.load_trial("studies/quick-start", "best")  # its arrays, without training
    print(vo.trials_frame(study), run.latents.z_mean.shape)

Names are imported when they are first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vaeopt.core.version import __version__

_HOME = {
    "DataError": "vaeopt.core.errors",
    "DensityFilter": "vaeopt.stages.density_filter",
    "ImageSettings": "vaeopt.stages.micrograph",
    "Invariance": "vaeopt.stages.vae",
    "KeypointDetector": "vaeopt.stages.keypoints",
    "LatentFilter": "vaeopt.stages.latent_filter",
    "MixtureModel": "vaeopt.stages.mixture",
    "OptunaSettings": "vaeopt.study.file",
    "Patches": "vaeopt.core.types",
    "Reward": "vaeopt.stages.rewards",
    "SettingsError": "vaeopt.core.errors",
    "StudyError": "vaeopt.core.errors",
    "StudySettings": "vaeopt.study.file",
    "VaeoptError": "vaeopt.core.errors",
    "Workflow": "vaeopt.workflow",
    "WorkflowRun": "vaeopt.core.types",
    "best": "vaeopt.study.fronts.pareto",
    "confirm": "vaeopt.report.illustrated",
    "decode": "vaeopt.stages.vae",
    "encode": "vaeopt.stages.vae",
    "front": "vaeopt.study.fronts.pareto",
    "hypervolume": "vaeopt.study.fronts.hypervolume",
    "hypervolume_history": "vaeopt.study.fronts.hypervolume",
    "keypoint_table": "vaeopt.workflow.artefacts",
    "latents_frame": "vaeopt.study.results.frames",
    "load_study": "vaeopt.study.results.access",
    "load_trial": "vaeopt.study.results.access",
    "load_vae": "vaeopt.stages.vae",
    "open_study": "vaeopt.study.file",
    "optimize": "vaeopt.report.illustrated",
    "preferred": "vaeopt.study.fronts.preferences",
    "rescore": "vaeopt.study.results.rescore",
    "run": "vaeopt.study.results.access",
    "save_vae": "vaeopt.stages.vae",
    "trials_frame": "vaeopt.study.results.access",
    "win_share": "vaeopt.study.fronts.preferences",
    "write_report": "vaeopt.report.page",
}

__all__ = ["__version__", *_HOME]  # the table is the list

if TYPE_CHECKING:
    from vaeopt.core.errors import DataError as DataError
    from vaeopt.core.errors import SettingsError as SettingsError
    from vaeopt.core.errors import StudyError as StudyError
    from vaeopt.core.errors import VaeoptError as VaeoptError
    from vaeopt.core.types import Patches as Patches
    from vaeopt.core.types import WorkflowRun as WorkflowRun
    from vaeopt.report.illustrated import confirm as confirm
    from vaeopt.report.illustrated import optimize as optimize
    from vaeopt.report.page import write_report as write_report
    from vaeopt.stages.density_filter import DensityFilter as DensityFilter
    from vaeopt.stages.keypoints import KeypointDetector as KeypointDetector
    from vaeopt.stages.latent_filter import LatentFilter as LatentFilter
    from vaeopt.stages.micrograph import ImageSettings as ImageSettings
    from vaeopt.stages.mixture import MixtureModel as MixtureModel
    from vaeopt.stages.rewards import Reward as Reward
    from vaeopt.stages.vae import Invariance as Invariance
    from vaeopt.stages.vae import decode as decode
    from vaeopt.stages.vae import encode as encode
    from vaeopt.stages.vae import load_vae as load_vae
    from vaeopt.stages.vae import save_vae as save_vae
    from vaeopt.study.file import OptunaSettings as OptunaSettings
    from vaeopt.study.file import StudySettings as StudySettings
    from vaeopt.study.file import open_study as open_study
    from vaeopt.study.fronts.hypervolume import hypervolume as hypervolume
    from vaeopt.study.fronts.hypervolume import hypervolume_history as hypervolume_history
    from vaeopt.study.fronts.pareto import best as best
    from vaeopt.study.fronts.pareto import front as front
    from vaeopt.study.fronts.preferences import preferred as preferred
    from vaeopt.study.fronts.preferences import win_share as win_share
    from vaeopt.study.results.access import load_study as load_study
    from vaeopt.study.results.access import load_trial as load_trial
    from vaeopt.study.results.access import run as run
    from vaeopt.study.results.access import trials_frame as trials_frame
    from vaeopt.study.results.frames import latents_frame as latents_frame
    from vaeopt.study.results.rescore import rescore as rescore
    from vaeopt.workflow import Workflow as Workflow
    from vaeopt.workflow.artefacts import keypoint_table as keypoint_table


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'vaeopt' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """All public names, imported or not."""
    return sorted([*globals(), *_HOME])
