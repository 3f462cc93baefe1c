"""Scoring anew: only latents that belong to the rows, and no finished row is lost."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.truth.tiny import FAMILIES, truth_folder, truth_text
from vaeopt.core.errors import StudyError
from vaeopt.truth import TruthFile, open_truth, rescore, rows_of, train

ROWS = "noise-medium-1.jsonl"


@pytest.fixture
def kept(tmp_path: Path) -> TruthFile:
    file = open_truth(truth_folder(tmp_path, truth_text(families=FAMILIES[1:])))
    assert train(file, kept=True) == []
    return file


def refused(file: TruthFile, told: str) -> None:
    """Nothing is scored, one line says why, and the rows are as they were."""
    before = (file.rows / ROWS).read_bytes()
    with pytest.raises(StudyError, match=told) as error:
        rescore(file)
    assert len(error.value.lines) == 1
    assert (file.rows / ROWS).read_bytes() == before


def test_latents_of_other_settings_are_refused(kept: TruthFile) -> None:
    (kept.rows / ROWS).unlink()
    other = truth_text(families=FAMILIES[1:], epochs=3)
    file = open_truth(truth_folder(kept.folder, other))
    train(file)
    place = re.escape(str(file.rows / ROWS))
    refused(
        file,
        r"^--rescore: latents of .* on 'noise-medium-1' are of other settings than its row; "
        f"delete '{place}' and train again with --keep$",
    )
    (file.rows / ROWS).unlink()
    train(file, kept=True)
    rescore(file)


def test_latents_that_do_not_tell_their_settings_are_refused(kept: TruthFile) -> None:
    for path in kept.latents.rglob("*.npz"):
        with np.load(path) as data:
            arrays = dict(data)
        meta = json.loads(str(arrays.pop("meta")))
        del meta["training"]
        np.savez(path, meta=np.asarray(json.dumps(meta)), **arrays)
    refused(kept, r"do not tell their settings; delete .* and train again with --keep$")


def test_a_damaged_file_of_latents_is_told(kept: TruthFile) -> None:
    for path in kept.latents.rglob("*.npz"):
        path.write_bytes(path.read_bytes()[:500])
    refused(kept, r"latents of .* cannot be read: .*; train with --keep first$")


def test_rows_outside_the_grid_are_not_lost(kept: TruthFile) -> None:
    narrow = truth_text(families=FAMILIES[1:], search='"vae.latent_dim" = { choices = [2] }')
    file = open_truth(truth_folder(kept.folder, narrow))
    refused(
        file,
        r"^--rescore: 4 of 8 rows of 'noise-medium-1' are of configurations that are not in the "
        r"grid; restore the grid",
    )


def test_trainings_of_more_seeds_than_now_are_scored_too(kept: TruthFile) -> None:
    fewer = truth_text(
        families=FAMILIES[1:],
        trainings="seeds = 1",
        rest='[views.raw]\nmixture = { kind = "gmm", space = "raw" }\nrewards = ["icl"]',
    )
    (before,) = rows_of(kept).values()
    file = open_truth(truth_folder(kept.folder, fewer))
    rescore(file)
    (after,) = rows_of(file).values()
    assert list(after.rows) == list(before.rows)
    assert all("raw.icl" in row.scores for row in after.rows.values())
    assert {row.seed for row in after.rows.values()} == {0, 1}
