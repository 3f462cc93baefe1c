"""Draw the pictures of docs/rewards and write the numbers that they show.

    python docs/make_reward_pictures.py [NAME ...]

Every picture is a row of runs with given latents, from reward_examples.py. Below each run stand the
values of the rewards of one page, as ``Reward.value`` returns them. The numbers go to
docs/images/rewards.json. Needs the tools of developers and takes about two minutes.
"""

import json
import math
import re
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, PathPatch
from matplotlib.path import Path as Outline
from reward_examples import PICTURES, Picture, Row

from vaeopt.core.types import Floats, Ints, WorkflowRun
from vaeopt.report.palette import component_colour

IMAGES = Path(__file__).parent / "images"
NUMBERS = IMAGES / "rewards.json"

# All lengths in inches; a picture is 900 px wide.
WIDTH, LEFT, GAP = 9.375, 2.25, 0.14
TITLE, TICKS, LINE = 0.5, 0.26, 0.205
BARS, SPACING = 1.0, 0.135
SHOWN = 280  # points drawn per cloud: all of them would make large files
TEXT, MUTED, BAND = "#222222", "#8A8A8A", "#F3F3F3"
ARROWS = {"minimize": "↓", "maximize": "↑", "": ""}
STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana"],  # equally wide
    "font.size": 8.0,
    "text.color": TEXT,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 2.0,
    "ytick.major.size": 2.0,
    "path.simplify": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "vaeopt",
}

BOLD = "Bold: the best of the feasible runs. Arrows: which way is better."
NOTES: dict[str, tuple[str, ...]] = {
    "mixture-criteria": (
        "Colours and 2-sigma ellipses: the mixture of K = 1 to 8 with the least J(1).",
        "Right: gain is 0 for one Gaussian and the same at half the scale. Wrong: a ring beats "
        "four clusters; in raw space, shrinking wins,",
        "and a dead unit would win if it were feasible. components and entropy are best where "
        "there is nothing to see.",
    ),
    "bayesian": (
        "Colours and 2-sigma ellipses: components at the median of the guide. Latents have unit "
        "variances, so both recipes see the same points.",
        "Converged fits agree on four components. 500 steps of the paper's recipe cost more and "
        "leave another number with each seed.",
        "Wrong: a ring is tiled with many components and has the least elbo. The entropy in "
        "elbo_h puts the clusters first, barely.",
    ),
    "information": (
        "Dots: posterior means. Red ellipses: one standard deviation of some posteriors, too small "
        "to be seen in the fourth panel (0.01).",
        "Halving means and widths leaves information and SNR alone, and divides the product of "
        "variances by 16. Blurring leaves variances alone.",
        "Wrong: noise with narrow posteriors says most, and blurred latents have the least rate. "
        "The sum hides the dead unit; the least shows it.",
        "Not shown: reconstruction, which is made of patches.",
    ),
    "validity": (
        "Colours and 2-sigma ellipses: the fit with K = 4. Second cuts and further trainings are "
        "made up: the same latents with noise of 0.1;",
        "turned patches of the fourth panel have another orientation. Same clusters in the first "
        "two panels: only the neighbours differ.",
        "Wrong: a drift of the background has the highest kappa; a ring and a Gaussian with "
        "little noise repeat well; a total of gaps favours noise.",
    ),
    "composite": (
        "A sum follows its loudest term: with gain, information and rate the ring wins. A term for "
        "what the others do not see (here: does a",
        "turned patch keep its component) puts the clusters first. Latents of turned patches are "
        "made up: new orientation, same type.",
        "Weights 1, 0.5, 0.25 and 1, centres 0.5, 2, 4 and 0.5, scales 0.5, 1, 1 and 0.5. "
        "References of the ranks: the feasible runs shown here.",
    ),
}

Found = dict[str, dict[str, Any]]


class Sheet:
    """A figure that is filled from the top; positions in inches."""

    def __init__(self, columns: int, height: float) -> None:
        self.figure = Figure(figsize=(WIDTH, height), facecolor="white")
        self.height = height
        self.pitch = (WIDTH - LEFT - 0.05) / columns
        self.side = self.pitch - GAP
        self.back: Axes = self.figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(height, 0))
        self.back.set_axis_off()

    def centre(self, column: int) -> float:
        """Middle of a column."""
        return LEFT + column * self.pitch + self.side / 2

    def axes(self, column: int, top: float, height: float) -> Axes:
        """Axes as wide as a column."""
        left, bottom = LEFT + column * self.pitch, self.height - top - height
        place = (left / WIDTH, bottom / self.height, self.side / WIDTH, height / self.height)
        return self.figure.add_axes(place)

    def text(self, x: float, top: float, words: str, **style: Any) -> None:
        """Words whose middle is ``top`` below the upper edge.

        Each line is a text of its own: only then does a viewer with another font centre it.
        """
        lines = words.split("\n")
        for i, line in enumerate(lines):
            shift = (i - (len(lines) - 1) / 2) * SPACING
            self.back.text(x, top + shift, line, va="center", **style)


# ---- one panel ---------------------------------------------------------------------------------


def dots(axes: Axes, xy: Floats, colour: str, size: float = 2.4) -> None:
    """Points (n, 2) as one path of round dots: a mark each would make large files."""
    corners = np.repeat(xy, 2, axis=0)
    corners[1::2, 0] += 1e-3
    codes = np.tile([Outline.MOVETO, Outline.LINETO], len(xy))
    outline = Outline(corners, codes.tolist())
    axes.add_patch(PathPatch(outline, fill=False, ec=colour, lw=size, capstyle="round", alpha=0.75))


def ellipse(axes: Axes, mean: Floats, covariance: Floats, radius: float, colour: str) -> None:
    """Where the Mahalanobis distance from the mean is ``radius``."""
    values, vectors = np.linalg.eigh(covariance)
    width, height = 2 * radius * np.sqrt(values)
    turn = math.degrees(math.atan2(vectors[1, 0], vectors[0, 0]))
    axes.add_patch(
        Ellipse((mean[0], mean[1]), width, height, angle=turn, fill=False, ec=colour, lw=1.0)
    )


def components(run: WorkflowRun) -> tuple[Ints, Floats, Floats]:
    """Component of every point, and means and covariances in the units of the latents.

    Components are numbered by the direction of their mean, so that equal clouds look alike.
    """
    best, found = run.mixture.best, run.mixture
    assert best is not None
    back = np.linalg.inv(found.transform)
    means = best.means @ back.T + found.shift
    covariances = back @ best.covariances @ back.T
    used = np.unique(found.component)
    off = means[used] - run.latents.z.mean(axis=0)
    order = used[np.argsort(np.arctan2(off[:, 1], off[:, 0]))]
    rank = np.full(len(means), -1)
    rank[order] = np.arange(len(order))
    return rank[found.component], means[order], covariances[order]


def draw_latents(axes: Axes, run: WorkflowRun, shown: Ints) -> None:
    """Latents by component, with 2-sigma ellipses."""
    label, means, covariances = components(run)
    for k in range(len(means)):
        dots(axes, run.latents.z[shown[label[shown] == k]], component_colour(k))
    for mean, covariance in zip(means, covariances, strict=True):
        ellipse(axes, mean, covariance, 2.0, TEXT)


def draw_posteriors(axes: Axes, run: WorkflowRun, shown: Ints) -> None:
    """Posterior means, and for some the width of the posterior (one standard deviation)."""
    latents = run.latents
    dots(axes, latents.z_mean[shown], component_colour(0))
    for i in shown[:14]:
        ellipse(axes, latents.z_mean[i], np.diag(latents.z_std[i] ** 2), 1.0, component_colour(4))


def draw_map(axes: Axes, run: WorkflowRun, shown: Ints, *, first: bool) -> None:
    """Key points by component, in the image."""
    label, means, _ = components(run)
    yx = run.keypoints.yx_px
    for k in range(len(means)):
        dots(axes, yx[shown[label[shown] == k], ::-1], component_colour(k), size=3.0)
    axes.set(xlim=(0, 64), ylim=(64, 0), xticks=[0, 32, 64], yticks=[0, 32, 64], aspect="equal")
    label_ticks(axes, first=first)


def label_ticks(axes: Axes, *, first: bool) -> None:
    """Small numbers at the axes; those of the rows at the first panel only."""
    axes.tick_params(labelsize=6.5, labelleft=first, pad=1.5)


def draw_bars(axes: Axes, terms: list[float], total: float, limits: tuple[float, float]) -> None:
    """Weighted terms of a sum and, as a line across, the sum."""
    colours = [component_colour(k) for k in range(len(terms))]
    axes.bar(range(len(terms)), terms, width=0.8, color=colours)
    axes.axhline(0, color=MUTED, lw=0.6)
    axes.axhline(total, color=TEXT, lw=1.4)
    axes.set(xlim=(-0.7, len(terms) - 0.3), ylim=limits, xticks=[])


# ---- the table ---------------------------------------------------------------------------------


def shown_as(value: float, digits: int) -> str:
    """The value with so many decimals, and no sign before a zero."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def winner(row: Row, found: Found) -> set[str]:
    """Panels that this reward likes best, among the feasible ones."""
    if not row.direction:
        return set()
    sign = 1 if row.direction == "maximize" else -1
    score = {
        name: sign * round(panel["values"][row.label], row.digits)
        for name, panel in found.items()
        if panel["feasible"]
    }
    return {name for name, value in score.items() if value == max(score.values())}


def write_row(sheet: Sheet, top: float, row: Row, found: Found) -> None:
    """One line of numbers; the best is bold, infeasible runs are grey."""
    middle = top + LINE / 2
    sheet.text(0.1, middle, row.label)
    sheet.text(LEFT - 0.12, middle, ARROWS[row.direction], ha="right")
    best = winner(row, found)
    for column, (name, panel) in enumerate(found.items()):
        number = shown_as(panel["values"][row.label], row.digits)
        weight = "bold" if name in best else "normal"
        shade = TEXT if panel["feasible"] else MUTED
        sheet.text(sheet.centre(column), middle, number, ha="center", weight=weight, color=shade)


def write_table(sheet: Sheet, top: float, picture: Picture, found: Found) -> float:
    """All lines; returns where they end."""
    for i, row in enumerate(picture.lines):
        if i % 2 == 0:
            sheet.back.axhspan(top, top + LINE, color=BAND, lw=0)
        term = i - len(picture.rows)
        if term >= 0:
            sheet.back.plot(
                [0.03, 0.03],
                [top, top + LINE],
                color=component_colour(term),
                lw=4,
                solid_capstyle="butt",
            )
        write_row(sheet, top, row, found)
        top += LINE
    return top


# ---- the picture -------------------------------------------------------------------------------


def draw(picture: Picture, found: Found, notes: tuple[str, ...]) -> Figure:
    """The whole picture."""
    columns = len(found)
    side = (WIDTH - LEFT - 0.05) / columns - GAP
    lines = len(picture.lines) + len(notes)
    blocks = (side + TICKS) * (1 + picture.maps) + (BARS + 0.14) * bool(picture.terms)
    sheet = Sheet(columns, TITLE + blocks + lines * LINE + 0.22)
    shown = np.random.default_rng(0).permutation(len(picture.panels[next(iter(found))]().latents))
    shown = shown[:SHOWN]
    top = TITLE
    for column, (name, panel) in enumerate(found.items()):
        run = picture.panels[name]()
        title(sheet, column, name, feasible=panel["feasible"])
        axes = sheet.axes(column, top, side)
        (draw_posteriors if picture.posteriors else draw_latents)(axes, run, shown)
        axes.set(xlim=(-2.9, 2.9), ylim=(-2.9, 2.9), xticks=[-2, 0, 2], yticks=[-2, 0, 2])
        label_ticks(axes, first=column == 0)
        if picture.maps:
            below = sheet.axes(column, top + side + TICKS, side)
            draw_map(below, run, shown, first=column == 0)
    name_axes(sheet, top + side / 2, "latents z1, z2")
    top += side + TICKS
    if picture.maps:
        name_axes(sheet, top + side / 2, "key points in\nthe image [px]")
        top += side + TICKS
    if picture.terms:
        bars(sheet, top, picture, found)
        name_axes(sheet, top + BARS / 2, "weighted terms;\nblack line: their sum")
        top += BARS + 0.14
    top = write_table(sheet, top, picture, found)
    for i, note in enumerate(notes):
        sheet.text(0.1, top + 0.1 + (i + 0.5) * LINE, note)
    return sheet.figure


def title(sheet: Sheet, column: int, name: str, *, feasible: bool) -> None:
    """Name of a panel, and whether the latent filter has let it through."""
    words = name if feasible else f"{name}\n(infeasible)"
    colour = TEXT if feasible else MUTED
    sheet.text(sheet.centre(column), TITLE / 2, words, ha="center", weight="bold", color=colour)


def name_axes(sheet: Sheet, middle: float, words: str) -> None:
    """What a row of panels shows."""
    sheet.text(0.1, middle, words)


def bars(sheet: Sheet, top: float, picture: Picture, found: Found) -> None:
    """One bar per weighted term and panel, all on one scale."""
    values = [[panel["values"][row.label] for row in picture.terms] for panel in found.values()]
    totals = [sum(terms) for terms in values]
    every = [0.0, *totals, *(value for terms in values for value in terms)]
    margin = 0.08 * (max(every) - min(every))
    limits = min(every) - margin, max(every) + margin
    for column, (terms, total) in enumerate(zip(values, totals, strict=True)):
        axes = sheet.axes(column, top, BARS)
        draw_bars(axes, terms, total, limits)
        label_ticks(axes, first=column == 0)


def svg(figure: Figure) -> str:
    """The figure as text, with hundredths of a point: the same on every call."""
    buffer = StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = re.sub(r"(\d\.\d\d)\d{2,}", r"\1", buffer.getvalue())
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def drawn(name: str, found: Found) -> str:
    """The picture of this name with these numbers."""
    with rc_context(STYLE):
        return svg(draw(PICTURES[name], found, (BOLD, *NOTES[name])))


def main(names: list[str]) -> None:
    """Draw these pictures, or all."""
    IMAGES.mkdir(exist_ok=True)
    numbers = json.loads(NUMBERS.read_text(encoding="utf-8")) if NUMBERS.exists() else {}
    for name in names or PICTURES:
        picture = PICTURES[name]
        numbers[name] = {panel: picture.numbers(panel) for panel in picture.panels}
        text = drawn(name, numbers[name])
        (IMAGES / f"rewards-{name}.svg").write_text(text, encoding="utf-8")
    ordered = {name: numbers[name] for name in PICTURES if name in numbers}
    NUMBERS.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
