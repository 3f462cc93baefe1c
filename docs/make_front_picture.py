"""The picture of the front page: one walk from the image to the map of components.

    python docs/make_front_picture.py

walks once through the settings of studies/quick-start (no search) and writes docs/images/front.png.
"""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Ellipse, Rectangle
from PIL import Image

import vaeopt as vo
from vaeopt.report.palette import component_colour

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs" / "images" / "front.png"
SHOWN = 3  # patches of each component


def _scale_bar(axes: Axes, length_nm: float, nm_per_px: float, size_px: int) -> None:
    length_px = length_nm / nm_per_px
    end, row = size_px - 12, size_px - 14
    box = Rectangle((end - length_px - 6, row - 20), length_px + 12, 28, color="black", alpha=0.7)
    axes.add_patch(box)
    axes.plot([end - length_px, end], [row, row], color="white", lw=3, solid_capstyle="butt")
    axes.text(
        end - length_px / 2, row - 5, f"{length_nm:g} nm", color="white", ha="center", fontsize=8
    )


def _image(axes: Axes, run: vo.WorkflowRun) -> None:
    """The image, every key point, and some windows."""
    pixels = run.micrograph.pixels
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1)
    yx = run.keypoints.yx_px
    axes.plot(yx[:, 1], yx[:, 0], ".", color="#56B4E9", ms=4)
    edge = run.patches.size_px
    for row, col in yx[:: len(yx) // 12]:
        corner = (np.rint(col) - edge / 2, np.rint(row) - edge / 2)
        axes.add_patch(Rectangle(corner, edge, edge, fill=False, ec="#F0E442", lw=1.2))
    _scale_bar(axes, 500, run.micrograph.pixel_size_nm or 1.0, pixels.shape[1])
    axes.set_title(f"1  Cut {len(yx)} patches round domain walls")
    axes.axis("off")


def _latents(axes: Axes, run: vo.WorkflowRun) -> None:
    """Latents with the components at 2 sigma."""
    mixture, z = run.mixture, run.latents.z
    assert mixture.best is not None
    for k in range(mixture.best.n_components):
        mine = mixture.component == k
        axes.plot(*z[mine & mixture.kept].T, ".", color=component_colour(k), ms=4)
        axes.plot(*z[mine & ~mixture.kept].T, ".", color=component_colour(k), ms=4, alpha=0.3)
        back = np.linalg.inv(mixture.transform)
        mean = back @ mixture.best.means[k] + mixture.shift
        values, vectors = np.linalg.eigh(back @ mixture.best.covariances[k] @ back.T)
        angle = np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1]))
        axes.add_patch(
            Ellipse(
                tuple(mean),
                4 * np.sqrt(values[1]),
                4 * np.sqrt(values[0]),
                angle=angle,
                fill=False,
                ec=component_colour(k),
                lw=2,
            )
        )
    axes.set(xlabel="latent 1", ylabel="latent 2")
    axes.set_box_aspect(1)
    axes.set_title("2  Find clusters of latents")


def _map(axes: Axes, run: vo.WorkflowRun) -> None:
    """Components on the image."""
    axes.imshow(run.micrograph.pixels, cmap="gray", vmin=0, vmax=1, alpha=0.6)
    yx = run.keypoints.yx_px
    for k in np.unique(run.mixture.component):
        mine = run.mixture.component == k
        axes.plot(yx[mine, 1], yx[mine, 0], ".", color=component_colour(int(k)), ms=6)
    axes.set_title("4  Look at them on the image")
    axes.axis("off")


def _components(figure: SubFigure, run: vo.WorkflowRun) -> None:
    """What the decoder draws for each component, upright, and patches near its centre."""
    mixture = run.mixture
    assert mixture.best is not None
    n = mixture.best.n_components
    grid = figure.subplots(
        n, SHOWN + 1, squeeze=False, gridspec_kw={"wspace": 0.02, "hspace": 0.02}
    )
    back = np.linalg.inv(mixture.transform)
    decoded = vo.decode(run.vae, mixture.best.means @ back.T + mixture.shift)
    for k in range(n):
        mine = np.flatnonzero(mixture.core & (mixture.component == k))[:SHOWN]
        pictures = [decoded[k], *run.patches.pixels[mine]]
        for place, picture in zip(grid[k], pictures, strict=False):
            place.imshow(picture, cmap="gray", vmin=0, vmax=1)
        for column, place in enumerate(grid[k]):
            place.set(xticks=[], yticks=[])
            for side in place.spines.values():
                side.set(color=component_colour(k), linewidth=3 if column == 0 else 1)
    grid[0, 0].set_title("decoded", fontsize=9)
    grid[0, 1].set_title("patches near its centre", fontsize=9, loc="left").set_in_layout(False)
    figure.suptitle("3  See what each cluster is", fontsize=12)


def draw(run: vo.WorkflowRun) -> Figure:
    """All four steps."""
    mpl.rcParams.update({"font.size": 9, "axes.titlesize": 12})
    figure = plt.figure(figsize=(9, 9), layout="constrained")
    (image, latents), (components, real) = figure.subfigures(2, 2)
    _image(image.subplots(), run)
    _latents(latents.subplots(), run)
    _components(components, run)
    _map(real.subplots(), run)
    return figure


if __name__ == "__main__":
    draw(vo.run(ROOT / "studies" / "quick-start")).savefig(FILE, dpi=110)
    with Image.open(FILE) as picture:  # a third of the bytes, and the same to the eye
        picture.convert("RGB").quantize(256, kmeans=1).save(FILE, optimize=True)
    print(FILE)
