"""Square windows cut from an image."""

from vaeopt.kernels.crop.reference import crop, first_pixel, fits

__all__ = ["crop", "first_pixel", "fits"]
