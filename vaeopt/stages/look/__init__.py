"""What windows look like without any training: a second witness beside the VAE."""

from vaeopt.stages.look.describe import COMPONENTS, look_at

__all__ = ["COMPONENTS", "look_at"]
