"""What windows look like, however they are turned: descriptors without any training."""

from vaeopt.kernels.descriptor.invariant import describe, most_alike

__all__ = ["describe", "most_alike"]
