"""Which device trains."""

import torch

from vaeopt.core.errors import VaeoptError

__all__ = ["resolve_device"]


def resolve_device(wish: str) -> torch.device:
    """``auto`` becomes the first GPU or the CPU; a GPU that is not there is an error."""
    if wish == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    device = torch.device(wish)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise VaeoptError(
                f"device {wish!r} is not there ({count} CUDA devices)",
                setting="workflow.vae.device",
                remedy="use 'auto' or 'cpu'",
            )
    return device
