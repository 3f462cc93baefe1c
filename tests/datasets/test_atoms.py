"""Laws of what rendered STEM frames share: lattices, smooth fields, counted electrons."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vaeopt.datasets.atoms import (
    FLOOR,
    Columns,
    Frame,
    Strain,
    Waves,
    as_found,
    expose,
    lattice_sites,
    rotation,
    wrapped,
)

Array = NDArray[Any]

NOTHING = Columns(yx_px=np.empty((0, 2)), height=np.empty(0))


def clean(**change: float) -> Frame:
    return Frame(
        **{"dose": np.inf, "probe_px": 2.0, "line_shift_px": 0.0, "background": 0.05} | change
    )


def taken(columns: Columns, frame: Frame, size_px: int = 64, seed: int = 0) -> Array:
    return np.asarray(expose(columns, size_px, frame, np.random.default_rng(seed)))


def test_a_lattice_has_all_sites_within_reach() -> None:
    cell = np.array([[3.0, 0.5], [-1.0, 4.0]])
    centre = np.array([5.0, -2.0])
    sites = lattice_sites(cell, centre_px=centre, reach_px=21.0)
    index = np.stack(np.meshgrid(np.arange(-40, 41), np.arange(-40, 41)), axis=-1).reshape(-1, 2)
    every = centre + index @ cell
    near = every[np.hypot(*(every - centre).T) <= 21.0]
    assert sorted(map(tuple, sites.round(9))) == sorted(map(tuple, near.round(9)))


def test_lattices_of_narrow_cells_have_all_sites_too() -> None:
    cell = np.array([[1.0, 0.0], [0.9, 0.3]])
    sites = lattice_sites(cell, centre_px=np.zeros(2), reach_px=30.0)
    assert len(sites) == pytest.approx(np.pi * 30**2 / 0.3, rel=0.01)


def test_a_rotation_turns_from_columns_to_rows() -> None:
    along = np.array([0.0, 1.0]) @ rotation(0.3)
    assert along == pytest.approx([np.sin(0.3), np.cos(0.3)])


@pytest.mark.parametrize("order", [1, 2, 3, 4, 6])
def test_wrapped_angles_lie_in_one_period(order: int) -> None:
    period = 2 * np.pi / order
    angle = np.array([0.0, period, -1e-12, period - 1e-12, -3 * period, 1.0])
    turned = wrapped(angle, order)
    assert turned.dtype == np.float32
    assert (turned >= 0).all()
    assert (turned < np.float32(period)).all()
    assert np.exp(1j * order * turned) == pytest.approx(np.exp(1j * order * angle), abs=1e-5)


def test_a_field_of_waves_has_unit_deviation_and_its_exact_gradient() -> None:
    waves = Waves(np.random.default_rng(0), 20.0)
    yx = np.random.default_rng(1).uniform(0, 4000, (20000, 2))
    assert waves(yx).std() == pytest.approx(1, rel=0.05)
    slope = waves.gradient(yx)
    assert np.sqrt((slope**2).mean()) == pytest.approx(waves.slope_rms, rel=0.05)
    step = 1e-4
    for axis in (0, 1):
        move = step * np.eye(2)[axis]
        assert slope[:50, axis] == pytest.approx(
            (waves(yx[:50] + move) - waves(yx[:50] - move)) / (2 * step), abs=1e-6
        )


def test_strain_is_what_was_asked_for() -> None:
    strain = Strain(np.random.default_rng(3), 0.02)
    yx = np.random.default_rng(4).uniform(0, 5000, (20000, 2))
    gradient = [(strain.displaced(yx + step) - strain.displaced(yx)) for step in 1e-3 * np.eye(2)]
    components = np.stack(gradient) / 1e-3 - np.eye(2)[:, None, :]
    assert np.sqrt((components**2).mean()) == pytest.approx(0.02, rel=0.1)


def test_strain_turns_a_pair_of_columns_by_what_it_says() -> None:
    strain = Strain(np.random.default_rng(5), 0.02)
    yx = np.random.default_rng(6).uniform(0, 500, (200, 2))
    # Turns of two directions at right angles: shear cancels in their mean, rotation does not.
    turns = []
    for angle in (0.7, 0.7 + np.pi / 2):
        ahead = 0.01 * np.array([np.sin(angle), np.cos(angle)])
        down, right = (strain.displaced(yx + ahead) - strain.displaced(yx)).T
        turns.append(np.angle(np.exp(1j * (np.arctan2(down, right) - angle))))
    assert np.mean(turns, axis=0) == pytest.approx(strain.turn(yx), abs=2e-3)
    assert np.abs(strain.turn(yx)).max() > 0.01


def test_a_column_is_a_gaussian_of_its_height_at_its_place() -> None:
    place = np.array([[30.3, 27.8]])
    drawn = taken(Columns(yx_px=place, height=np.array([0.7])), clean()) - taken(NOTHING, clean())
    y, x = np.mgrid[:64, :64]
    assert (drawn * y).sum() / drawn.sum() == pytest.approx(30.3, abs=0.03)
    assert (drawn * x).sum() / drawn.sum() == pytest.approx(27.8, abs=0.03)
    gain = drawn.sum() / (0.7 * 2 * np.pi * 2.0**2)
    assert 0.6 < gain < 1.4  # of the background that is slow
    width = np.sqrt((drawn * (y - 30.3) ** 2).sum() / drawn.sum())
    assert width == pytest.approx(2.0, rel=0.02)


def test_a_column_outside_of_the_frame_reaches_into_it() -> None:
    outside = Columns(yx_px=np.array([[-2.0, 20.0], [200.0, 20.0]]), height=np.ones(2))
    drawn = taken(outside, clean()) - taken(NOTHING, clean())
    assert drawn[0, 20] > 0.4
    assert np.abs(drawn[20:]).max() < 1e-12


def test_a_shift_of_lines_moves_columns_along_the_line_only() -> None:
    column = Columns(yx_px=np.array([[32.0, 32.0]]), height=np.ones(1))
    drawn = taken(column, clean(line_shift_px=0.5)) - taken(NOTHING, clean())
    x = np.arange(64)
    centre = (drawn * x).sum(axis=1)[28:37] / drawn.sum(axis=1)[28:37]
    assert 0.1 < centre.std() < 1.0
    down = drawn.sum(axis=1)
    assert (down * x).sum() / down.sum() == pytest.approx(32.0, abs=0.03)


def test_electrons_are_counted() -> None:
    rows = np.stack(
        [taken(NOTHING, clean(dose=50.0), 128, seed=7), taken(NOTHING, clean(), 128, 7)]
    )
    counts = 50 * rows[0]
    assert counts[counts > 0.1] == pytest.approx(np.rint(counts[counts > 0.1]), abs=1e-9)
    assert counts.mean() == pytest.approx(50 * rows[1].mean(), rel=0.02)
    assert (counts - 50 * rows[1]).var() == pytest.approx(50 * rows[1].mean(), rel=0.05)
    assert (rows > 0).all()
    assert rows[1].mean() == pytest.approx(FLOOR, rel=0.5)


def test_a_detector_is_off_by_less_than_half_a_pixel() -> None:
    yx = np.random.default_rng(0).uniform(0, 100, (2000, 2))
    off = np.hypot(*(as_found(yx, np.random.default_rng(1)) - yx).T)
    assert off.max() <= 0.4
    assert off.mean() == pytest.approx(0.2, abs=0.02)
