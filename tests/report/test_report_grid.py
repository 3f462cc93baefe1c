"""Latents of the best trial for every window and invariance."""

from pathlib import Path

import numpy as np
import optuna
import pytest

import vaeopt as vo
from vaeopt.report.page.cards import Pictures, cards, pictures_of
from vaeopt.report.page.grid import draw_grid, grid_frame, grid_html, grid_info
from vaeopt.study.artefacts.store import artefacts_of
from vaeopt.study.fronts.pareto import by_compromise, margin
from vaeopt.study.results.access import trials_frame
from vaeopt.study.results.records import FILES, settings_of


@pytest.fixture(scope="module")
def held(finished_folder: Path) -> tuple[optuna.Study, Pictures]:
    study = vo.load_study(finished_folder)
    return study, pictures_of(study, artefacts_of(vo.open_study(finished_folder)))


def test_each_cell_shows_its_best_healthy_trial(held: tuple[optuna.Study, Pictures]) -> None:
    study, _ = held
    info = grid_info(study, 2.0)
    assert sum(cell.trials for cell in info.cells.values()) == len(study.trials)
    order = [trial.number for trial in by_compromise(study)]
    for (row, window), cell in info.cells.items():
        here = []
        for trial in study.trials:
            settings = settings_of(trial)
            invariances = " + ".join(settings.vae.invariances) or "none"
            if (invariances, settings.patches.size_px) == (row, window):
                here.append(trial)
        assert cell.trials == len(here)
        good = [trial.number for trial in here if margin(trial) <= 0]
        assert cell.best == min(good, key=order.index, default=None)
        if cell.best is not None:
            assert cell.values == tuple(study.trials[cell.best].values)
    assert any(cell.best is None for cell in info.cells.values())
    assert any(cell.best is not None for cell in info.cells.values())


def test_its_table_has_a_row_per_cell(held: tuple[optuna.Study, Pictures]) -> None:
    info = grid_info(held[0], 2.0)
    frame = grid_frame(info)
    assert len(frame) == len(info.windows_px) * len(info.invariances)
    assert list(frame.columns) == [
        "invariances",
        "window_px",
        "window_nm",
        "trials",
        "trial",
        "fvu_core",
        "gain",
        "components",
    ]
    assert (frame["window_nm"] == 2 * frame["window_px"]).all()
    assert grid_frame(grid_info(held[0], None))["window_nm"].isna().all()


def test_it_is_a_table_with_words_for_what_is_not_there(
    held: tuple[optuna.Study, Pictures],
) -> None:
    study, pictures = held
    info = grid_info(study, None)
    page = grid_html(info, pictures.by_trial)
    best = [cell.best for cell in info.cells.values() if cell.best is not None]
    for number in best:
        assert f"<img data-picture='{number}' alt='Latents of trial {number} (" in page
    assert page.count("<img") == len(best)
    assert "collapsed</td>" in page
    without = grid_html(info, {})
    assert "<img" not in without
    assert without.count("no picture: files missing") == len(best)


def test_it_is_one_picture_too(held: tuple[optuna.Study, Pictures]) -> None:
    study, pictures = held
    info = grid_info(study, 2.0)
    image = draw_grid(info, pictures.by_trial)
    row, column = next(
        (info.invariances.index(row), info.windows_px.index(window))
        for (row, window), cell in info.cells.items()
        if cell.best is not None
    )
    best = info.cells[info.invariances[row], info.windows_px[column]].best
    assert best is not None
    inner = pictures.by_trial[best].rgb[1:-1, 1:-1]
    height, width = inner.shape[:2]
    pixels = np.asarray(image)
    places = [
        (top, left)
        for top in range(row * height, pixels.shape[0] - height)
        for left in range(column * width, pixels.shape[1] - width)
        if (pixels[top, left : left + width] == inner[0]).all()
    ]
    assert any((pixels[y : y + height, x : x + width] == inner).all() for y, x in places)
    assert draw_grid(info, {}).size == image.size


def test_a_card_says_what_a_trial_is(held: tuple[optuna.Study, Pictures]) -> None:
    study, pictures = held
    table = cards(study, trials_frame(study), pictures)
    assert sorted(table, key=int) == [str(trial.number) for trial in study.trials]
    for trial in study.trials:
        card = table[str(trial.number)]
        assert [name for name, _ in card["values"]] == ["fvu_core", "gain"]
        assert dict(card["params"]).keys() == trial.params.keys()
        assert card["image"].startswith("data:image/png;base64,")
        assert card["note"].startswith("collapsed: ") == (margin(trial) > 0)


def test_trials_without_files_have_no_picture(finished_copy: Path) -> None:
    study = vo.load_study(finished_copy)
    store = artefacts_of(vo.open_study(finished_copy))
    (store.folder / study.trials[1].user_attrs[FILES]["latents.npz"]).unlink()
    pictures = pictures_of(study, store)
    assert list(pictures.missing) == [1]
    assert 1 not in pictures.by_trial
    assert cards(study, trials_frame(study), pictures)["1"]["image"] is None
