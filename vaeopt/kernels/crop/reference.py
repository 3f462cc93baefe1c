"""Square windows cut from an image at whole pixels.

A window of 13 is 13 x 13, centred on the pixel nearest to the key point; an even window of 8
covers the pixels -4..3 round it, so its centre lies half a pixel up and left of the key point.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["crop", "first_pixel", "fits"]


def first_pixel(yx_px: NDArray[np.floating], size_px: int) -> NDArray[np.int64]:
    """(n, 2) row and column of the upper left pixel of each window.

    >>> first_pixel(np.array([[10.0, 10.4]]), 13).tolist()
    [[4, 4]]
    >>> first_pixel(np.array([[10.0, 9.6]]), 8).tolist()
    [[6, 6]]
    """
    nearest = np.ceil(np.asarray(yx_px) - 0.5)
    return np.asarray(nearest - size_px // 2, dtype=np.int64)


def fits(yx_px: NDArray[np.floating], size_px: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(n,) whether the window round each position lies inside an image of this shape."""
    first = first_pixel(yx_px, size_px)
    return np.asarray(((first >= 0) & (first + size_px <= np.asarray(shape))).all(axis=1))


def crop(
    pixels: NDArray[np.floating], yx_px: NDArray[np.floating], size_px: int
) -> NDArray[np.float32]:
    """(n, size, size) windows; every window must lie inside the image (see :func:`fits`)."""
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (size_px, size_px))
    first = first_pixel(yx_px, size_px)
    return np.asarray(windows[first[:, 0], first[:, 1]], dtype=np.float32)
