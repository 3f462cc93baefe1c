"""Which device trains and encodes."""

import torch

from vaeopt.core.errors import VaeoptError
from vaeopt.kernels import device

__all__ = ["encoding_device", "resolve_device"]

_SETTING = "workflow.vae.device"


def resolve_device(wish: str) -> torch.device:
    """``auto`` becomes the GPU of this process or the CPU; a GPU that is not there is an error."""
    return device.resolve_device(wish, setting=_SETTING)


def encoding_device(wish: str, n_numbers: int) -> torch.device:
    """Where a trained model is used.

    Args:
        wish: device of the settings that it was trained with.
        n_numbers: of the largest layer, over all patches that it is used on.

    Returns:
        The CPU if the GPU that trained it is not there: a model may have come from elsewhere.
    """
    try:
        return device.resolve_device(wish, setting=_SETTING, numbers=n_numbers)
    except VaeoptError:
        return torch.device("cpu")
