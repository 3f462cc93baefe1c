"""Devices of all stages: what is wished for, whether it is there, and which GPU is used."""

import re

import torch

from vaeopt.kernels.device import DEVICE_PATTERN, expect_device
from vaeopt.stages.vae.device import resolve_device
from vaeopt.workflow.scores import needs_of
from vaeopt.workflow.settings import Workflow

__all__ = ["COMPUTING", "device_settings", "expect_devices", "gpus_of", "resolve_devices"]

COMPUTING = ("vae", "density_filter", "mixture", "bayesian")
"""stages that may compute on a GPU"""


def device_settings(workflow: Workflow) -> dict[str, str]:
    """What is wished for, by dotted path, of the stages that have such a setting."""
    wishes = {
        f"{stage}.device": getattr(getattr(workflow, stage), "device", None) for stage in COMPUTING
    }
    return {
        path: wish
        for path, wish in wishes.items()
        # A plug-in may have none, or mean something else by the word.
        if isinstance(wish, str) and re.search(DEVICE_PATTERN, wish)
    }


def expect_devices(workflow: Workflow) -> dict[str, torch.device]:
    """What these wishes will become, by dotted path; claims no GPU.

    Raises:
        VaeoptError: a GPU is not there.
    """
    return {
        path: expect_device(wish, setting=f"workflow.{path}")
        for path, wish in device_settings(workflow).items()
    }


def resolve_devices(workflow: Workflow) -> None:
    """Claim the GPU that trains, if one does, and see that those of the other stages are there.

    The others claim the same one once they need it.

    Raises:
        VaeoptError: a GPU is not there; nothing has been claimed.
    """
    expect_devices(workflow)
    resolve_device(workflow.vae.device)


def gpus_of(workflow: Workflow) -> str | None:
    """Names of the GPUs that a trial of this process has been given, as many as there are.

    A stage that is not needed has none, nor has one that may take a GPU and has found its work too
    small for any.
    """
    found = expect_devices(workflow)
    if "bayesian" not in needs_of(workflow.values):
        found.pop("bayesian.device", None)
    used = {device.index for device in found.values() if _is_given(device)}
    return ", ".join(torch.cuda.get_device_name(i) for i in sorted(used)) or None


def _is_given(device: torch.device) -> bool:
    return device.type == "cuda" and device.index is not None
