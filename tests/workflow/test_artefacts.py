"""What a run leaves behind, and that it is the same run when it is read back."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vaeopt.core.errors import DataError
from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Micrograph, WorkflowRun
from vaeopt.kernels.mixture import reference as kernel
from vaeopt.stages.vae import decode, load_vae
from vaeopt.testing import example_micrograph, example_run
from vaeopt.workflow import (
    Workflow,
    comparison_for,
    load_run,
    primitives,
    rewards_of,
    save_run,
    walk,
    write_export,
)
from vaeopt.workflow.artefacts import ARRAYS, MODEL, keypoint_table


@pytest.fixture(scope="module")
def saved(run: WorkflowRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "made" / "for it"
    assert [path.name for path in save_run(run, folder)] == [ARRAYS, MODEL]
    return folder


@pytest.fixture
def spoiled(saved: Path, tmp_path: Path) -> Path:
    """A copy of the files of the run that a test may spoil."""
    return Path(shutil.copytree(saved, tmp_path / "copy"))


@pytest.fixture(scope="module")
def loaded(saved: Path, micrograph: Micrograph) -> WorkflowRun:
    return load_run(saved, micrograph)


# ---- round trip


def test_a_run_that_is_read_back_has_exactly_its_values(
    workflow: Workflow, run: WorkflowRun, loaded: WorkflowRun
) -> None:
    assert rewards_of(workflow, loaded) == rewards_of(workflow, run)


def test_a_run_that_is_read_back_has_its_primitives(run: WorkflowRun, loaded: WorkflowRun) -> None:
    assert primitives(loaded) == primitives(run)


@pytest.mark.parametrize(
    ("noun", "names"),
    [
        ("keypoints", ("yx_px", "strength")),
        ("patches", ("pixels", "keypoint_index")),
        ("latents", ("z_mean", "z_std", "code_mean", "code_std", "error_nats")),
        ("mixture", ("shift", "transform", "fit_index", "kept", "responsibilities", "core")),
        ("vae", ("loss_nats",)),
    ],
)
def test_arrays_come_back_as_they_were(
    run: WorkflowRun, loaded: WorkflowRun, noun: str, names: tuple[str, ...]
) -> None:
    for name in names:
        before, after = getattr(getattr(run, noun), name), getattr(getattr(loaded, noun), name)
        np.testing.assert_array_equal(after, before)
        assert after.dtype == before.dtype


def test_everything_else_comes_back_too(run: WorkflowRun, loaded: WorkflowRun) -> None:
    assert loaded.collapse == run.collapse
    assert loaded.comparison == run.comparison
    assert vars(loaded.latents.reconstruction) == vars(run.latents.reconstruction)
    assert dict(loaded.seconds) == dict(run.seconds)
    assert set(loaded.latents.codes) == set(run.latents.codes) == {"angle_rad"}
    np.testing.assert_array_equal(loaded.mixture.component, run.mixture.component)


def test_a_model_that_is_read_back_draws_the_same_pictures(
    run: WorkflowRun, loaded: WorkflowRun
) -> None:
    np.testing.assert_array_equal(decode(loaded.vae, loaded.latents), decode(run.vae, run.latents))


@pytest.mark.parametrize("z", [np.zeros((40, 2)), np.zeros((0, 2))], ids=["no-fit", "no-points"])
def test_a_run_without_a_mixture_round_trips(z: Any, tmp_path: Path) -> None:
    if len(z) == 0:
        z = np.random.default_rng(0).standard_normal((2, 2))
    run = example_run(z)
    save_run(run, tmp_path)
    again = load_run(tmp_path, run.micrograph)
    assert again.mixture.failure == run.mixture.failure != ""
    assert again.collapse == run.collapse
    assert rewards_of(Workflow(), again) == rewards_of(Workflow(), run)


def test_a_sampled_selection_weight_still_chooses_k_when_read_back(tmp_path: Path) -> None:
    """At weight 0 it takes two overlapping clusters apart, which the reward alone would not."""
    z = np.random.default_rng(0).standard_normal((400, 1))
    z[:200] += 4.0
    table: dict[str, Any] = {
        "density_filter": {"kind": "none"},
        "mixture": {"kind": "gmm", "components": [1, 2], "n_init": 1, "selection_weight": 0.0},
        "rewards": [{"kind": "icl", "weight": 8.0}],
    }
    workflow = Workflow(**table)
    run = example_run(z, workflow)
    save_run(run, tmp_path)
    again = load_run(tmp_path, run.micrograph)
    assert again.mixture.selection_weight == 0.0
    assert rewards_of(workflow, again) == rewards_of(workflow, run)
    free = replace(again, mixture=replace(again.mixture, selection_weight=None))
    assert rewards_of(workflow, free)["icl(w=8)"] < rewards_of(workflow, again)["icl(w=8)"]


# ---- files that do not fit


def test_another_image_is_refused(saved: Path) -> None:
    with pytest.raises(DataError, match=r"^image: the image is not the one that this trial"):
        load_run(saved, example_micrograph(48, seed=1))


@pytest.mark.parametrize("keep", [0, 100, -50])
def test_a_damaged_run_is_one_line(spoiled: Path, micrograph: Micrograph, keep: int) -> None:
    (spoiled / ARRAYS).write_bytes((spoiled / ARRAYS).read_bytes()[:keep])
    with pytest.raises(DataError, match=r"^latents\.npz cannot be read: ") as caught:
        load_run(spoiled, micrograph)
    assert "\n" not in str(caught.value)


def test_an_archive_of_something_else_is_one_line(spoiled: Path, micrograph: Micrograph) -> None:
    np.savez(spoiled / ARRAYS, a=np.zeros(3))
    with pytest.raises(DataError, match=r"^latents\.npz cannot be read: "):
        load_run(spoiled, micrograph)


def test_a_missing_run_is_one_line(spoiled: Path, micrograph: Micrograph) -> None:
    (spoiled / ARRAYS).unlink()
    with pytest.raises(DataError, match=r"^latents\.npz cannot be read: "):
        load_run(spoiled, micrograph)


def test_a_missing_model_is_one_line(spoiled: Path, micrograph: Micrograph) -> None:
    (spoiled / MODEL).unlink()
    with pytest.raises(DataError, match=r"model\.safetensors' does not exist"):
        load_run(spoiled, micrograph)


# ---- the table of key points

COLUMNS = [
    "row_px",
    "col_px",
    "kept",
    "component",
    "probability",
    "core",
    "z1",
    "z2",
    "angle_deg",
    "shift_row_px",
    "shift_col_px",
    "shift_row_nm",
    "shift_col_nm",
    "magnification",
    "error_nats",
]


def test_the_table_has_one_row_per_key_point_and_fixed_columns(run: WorkflowRun) -> None:
    table = keypoint_table(run)
    assert list(table.columns) == COLUMNS
    assert len(table) == len(run.keypoints)


def test_the_table_says_where_and_what_a_key_point_is(run: WorkflowRun) -> None:
    table = keypoint_table(run)
    np.testing.assert_array_equal(table[["row_px", "col_px"]], run.keypoints.yx_px)
    np.testing.assert_array_equal(table["component"], run.mixture.component)
    np.testing.assert_array_equal(table["kept"], run.mixture.kept)
    np.testing.assert_array_equal(table["core"], run.mixture.core)
    np.testing.assert_array_equal(table["probability"], run.mixture.responsibilities.max(axis=1))
    np.testing.assert_array_equal(table[["z1", "z2"]], run.latents.z_mean)
    np.testing.assert_array_equal(table["error_nats"], run.latents.error_nats)


def test_what_a_rotation_model_cannot_say_is_left_empty(run: WorkflowRun) -> None:
    table = keypoint_table(run)
    np.testing.assert_allclose(table["angle_deg"], np.degrees(run.latents.codes["angle_rad"]))
    empty = ["shift_row_px", "shift_col_px", "shift_row_nm", "shift_col_nm", "magnification"]
    assert table[empty].isna().all(axis=None)


@pytest.mark.parametrize("size_nm", [2.5, None])
def test_shifts_are_given_in_nm_where_the_pixel_size_is_known(
    workflow: Workflow, micrograph: Micrograph, size_nm: float | None
) -> None:
    shifting = workflow.with_values({"vae.invariances": ["translation"], "vae.epochs": 1})
    run = walk(
        shifting,
        replace(micrograph, pixel_size_nm=size_nm),
        comparison=comparison_for(shifting, 49),
        seeds=Seeds(0, 0),
    )
    table = keypoint_table(run)
    for axis in ("row", "col"):
        px = run.latents.codes[f"shift_{axis}_px"]
        np.testing.assert_array_equal(table[f"shift_{axis}_px"], px)
        expected = np.full_like(px, np.nan) if size_nm is None else px * size_nm
        np.testing.assert_array_equal(table[f"shift_{axis}_nm"], expected)
    assert table["angle_deg"].isna().all()


def test_without_a_mixture_components_are_minus_one_and_probabilities_empty() -> None:
    table = keypoint_table(example_run(np.zeros((40, 2))))
    assert (table["component"] == -1).all()
    assert table["probability"].isna().all()


# ---- export and primitives


def test_an_export_holds_table_record_and_model(run: WorkflowRun, tmp_path: Path) -> None:
    files = write_export(run, {"number": 3, "values": [0.5]}, tmp_path / "out")
    assert [f.name for f in files] == ["keypoints.csv", "trial.json", "model.safetensors"]
    table = pd.read_csv(files[0])
    assert list(table.columns) == COLUMNS
    np.testing.assert_allclose(table["z1"], run.latents.z_mean[:, 0])
    assert json.loads(files[1].read_text()) == {"number": 3, "values": [0.5]}
    assert load_vae(files[2]).window_px == 7


def test_scores_can_be_recomputed_from_the_primitives_alone(
    workflow: Workflow, run: WorkflowRun
) -> None:
    held = json.loads(json.dumps(primitives(run)))
    m = held["n_fit"]
    cost = [
        kernel.structural_cost(
            kernel.bic(fit["log_likelihood_total"], fit["n_free"], m), fit["entropy_total"], m, 1.0
        )
        for fit in held["mixture"]["fits"]
        if not fit["rejected"]
    ]
    values = rewards_of(workflow, run)
    assert cost[0] - min(cost) == pytest.approx(values["gain"])
    assert held["latents"]["rate_nats"] == pytest.approx(values["rate"])
    assert held["reconstruction"]["fvu_core"] == values["fvu_core"]
    assert np.prod(held["latents"]["variance"]) == pytest.approx(values["variance_product"])


def test_primitives_count_what_was_kept_and_fitted(run: WorkflowRun) -> None:
    held = primitives(run)
    assert (held["n_keypoints"], held["n_fit"]) == (49, 45)
    assert held["keep_fraction"] == pytest.approx(45 / 49)
    assert held["training"] == {
        "epochs": 3,
        "loss_nats": run.vae.loss_nats[-1],
        "diverged": False,
        "stopped_epoch": None,
    }


def test_primitives_of_a_run_without_a_mixture_have_no_components() -> None:
    held = primitives(example_run(np.zeros((40, 2))))["mixture"]
    assert held["n_components"] is held["effective_components"] is held["perplexity"] is None
