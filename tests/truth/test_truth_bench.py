"""The loop: nothing is trained twice, and however it was interrupted, the rows are the same."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.truth.tiny import FAMILIES, truth_folder, truth_text
from vaeopt.core.errors import ChangedError, StudyError
from vaeopt.truth import (
    Row,
    SilentGrid,
    TruthFile,
    open_truth,
    rescore,
    rows_of,
    summary_of,
    train,
)
from vaeopt.workflow import walk_many


def rows(file: TruthFile) -> dict[str, list[Row]]:
    """Rows of every scene in the order of the file, without the time that they took."""
    found = rows_of(file)
    return {
        scene.name: [replace(row, seconds=0.0) for row in one.rows.values()]
        for scene, one in found.items()
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> TruthFile:
    file = open_truth(truth_folder(tmp_path_factory.mktemp("finished")))
    assert train(file, kept=True) == []
    return file


class Ends(SilentGrid):
    """Is interrupted after so many trainings."""

    def __init__(self, after: int) -> None:
        self.left = after

    def finished(self, scene: str, row: Row) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


class Counts(SilentGrid):
    """Counts what is trained now."""

    trained = 0
    found = (0, 0)
    notes: tuple[str, ...] = ()

    def started(self, done: int, total: int) -> None:
        self.found = done, total

    def note(self, line: str) -> None:
        self.notes += (line,)

    def finished(self, scene: str, row: Row) -> None:
        self.trained += 1


def test_every_training_has_a_row_with_all_columns(finished: TruthFile) -> None:
    found = rows(finished)
    assert {name: len(mine) for name, mine in found.items()} == {
        "lattice-medium-1": 8,
        "noise-medium-1": 8,
    }
    for row in found["lattice-medium-1"]:
        assert row.truth["ari_true_k"] is not None
        assert {"gain", "icl", "rotation_ami(K=3)", "spatial_kappa(K=4)"} <= row.scores.keys()
        assert row.epochs == 2
    for row in found["noise-medium-1"]:
        assert row.truth["ari_true_k"] is None
        assert row.truth["says_structure"] in (True, False)
    keys = {row.key for row in found["lattice-medium-1"]}
    assert len(keys) == 8
    first, second = found["lattice-medium-1"][0], found["lattice-medium-1"][4]
    assert first.params == second.params
    assert (first.seed, second.seed) == (0, 1)
    assert first.scores != second.scores


def test_nothing_is_trained_twice(finished: TruthFile) -> None:
    before, counts = rows(finished), Counts()
    train(finished, progress=counts)
    assert (counts.trained, counts.found) == (0, (16, 16))
    assert rows(finished) == before


@pytest.mark.parametrize("after", [9])
def test_interrupted_and_gone_on_with_the_rows_are_the_same(
    finished: TruthFile, tmp_path: Path, after: int
) -> None:
    file = open_truth(truth_folder(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        train(file, progress=Ends(after))
    path = file.rows / "lattice-medium-1.jsonl"
    path.write_bytes(path.read_bytes()[:-7])  # as if it had been killed while it wrote
    counts = Counts()
    train(file, progress=counts)
    assert counts.trained == 16 - after + 1
    assert rows(file) == rows(finished)


def test_processes_that_share_the_work_make_the_same_rows(
    finished: TruthFile, tmp_path: Path
) -> None:
    file = open_truth(truth_folder(tmp_path))
    train(file, workers=2)
    assert rows(file) == rows(finished)


def test_one_family_at_a_time(finished: TruthFile, tmp_path: Path) -> None:
    file = open_truth(truth_folder(tmp_path))
    train(file, only="noise")
    assert [name for name, mine in rows(file).items() if mine] == ["noise-medium-1"]
    train(file, only="lattice")
    assert rows(file) == rows(finished)


def test_a_grid_may_grow(finished: TruthFile, tmp_path: Path) -> None:
    grown = truth_text(
        search='"vae.latent_dim" = { choices = [1, 2, 3] }',
        trainings="seeds = 3\nat_once = 4",
    )
    file = open_truth(truth_folder(tmp_path))
    train(file, only="noise")
    file = open_truth(truth_folder(tmp_path, grown))
    counts = Counts()
    train(file, only="noise", progress=counts)
    assert counts.found == (8, 18)
    assert counts.trained == 10
    kept = {row.key: row for row in rows(file)["noise-medium-1"]}
    for row in rows(finished)["noise-medium-1"]:
        assert kept[row.key] == row


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"epochs": 3}, "training.workflow.vae.epochs: was 2, is 3"),
        (
            {"mixture": '{ kind = "gmm", components = [1, 5], n_init = 1, tol = 1e-3 }'},
            "scoring.mixture.components[1]: was 4, is 5",
        ),
        (
            {"families": (FAMILIES[0].replace("9]", "11]"), FAMILIES[1])},
            "training.comparison.largest_window_px: was 9, is 11",
        ),
        (
            {"search": '"vae.kl_scale" = { choices = [0.001, 0.01] }'},
            "training.search[1]: was vae.latent_dim, is vae.kl_scale",
        ),
        ({"trainings": "seed = 5"}, "training.seed: was 0, is 5"),
        (
            {"families": (FAMILIES[0][:-1] + ", clip_percentiles = [2, 90] }", FAMILIES[1])},
            "image.clip_percentiles[1]: was 99.0, is 90.0",
        ),
        ({"rest": "[views.raw]\nrewards = ['icl']"}, "scoring.views.raw: was none, is {"),
    ],
)
@pytest.mark.parametrize("act", [train, summary_of])
def test_changed_settings_are_refused_by_name(
    finished: TruthFile, act: Callable[[TruthFile], object], changed: dict[str, Any], told: str
) -> None:
    before = rows(finished)
    path = finished.folder / "truth.toml"
    text = path.read_text()
    try:
        file = open_truth(truth_folder(finished.folder, truth_text(**changed)))
        with pytest.raises(ChangedError) as refused:
            act(file)
    finally:
        path.write_text(text)
    assert any(line.startswith(told) for line in refused.value.lines)
    assert rows(finished) == before


def test_the_summary_of_one_family_refuses_changes_of_its_own_rows(tmp_path: Path) -> None:
    file = open_truth(truth_folder(tmp_path))
    train(file, only="noise")
    file = open_truth(truth_folder(tmp_path, truth_text(epochs=3)))
    train(file, only="lattice")
    assert summary_of(file, "lattice").trainings == 8
    for only in ("noise", None):
        with pytest.raises(ChangedError, match=r"rows of 'noise-medium-1' .* was 2, is 3"):
            summary_of(file, only)


def test_a_training_that_fails_is_told_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = open_truth(truth_folder(tmp_path, truth_text(families=FAMILIES[1:])))

    def half(workflows: Any, *args: Any, **kwargs: Any) -> Any:
        for workflow, run in zip(workflows, walk_many(workflows, *args, **kwargs), strict=True):
            yield StudyError("no luck") if workflow.vae.latent_dim == 2 else run

    with monkeypatch.context() as patched:
        patched.setattr("vaeopt.truth.work.walk_many", half)
        counts = Counts()
        failures = train(file, progress=counts)
    assert (len(failures), counts.trained) == (4, 4)
    assert all(line.endswith("no luck") for line in counts.notes)
    counts = Counts()
    assert train(file, progress=counts) == []
    assert counts.trained == 4


def test_scores_can_be_computed_anew_from_latents(finished: TruthFile) -> None:
    before = rows(finished)
    rescore(finished)
    for name, mine in rows(finished).items():
        for row, was in zip(mine, before[name], strict=True):
            assert row.key == was.key
            for column, value in was.scores.items():
                expected = None if value is None else pytest.approx(value, rel=1e-4, abs=1e-4)
                assert row.scores[column] == expected, column
            assert row.truth == was.truth


def test_other_mixtures_are_computed_anew_and_then_belong_to_the_rows(
    finished: TruthFile, tmp_path: Path
) -> None:
    file = open_truth(truth_folder(tmp_path, truth_text(families=FAMILIES[1:])))
    train(file, kept=True)
    wider = '{ kind = "gmm", components = [1, 5], n_init = 2, tol = 1e-3 }'
    more = truth_text(
        families=FAMILIES[1:],
        mixture=wider,
        rest='[views.raw]\nmixture = { kind = "gmm", space = "raw" }\nrewards = ["icl"]',
    )
    file = open_truth(truth_folder(tmp_path, more))
    with pytest.raises(ChangedError):
        train(file)
    rescore(file, workers=2)
    assert train(file) == []
    (mine,) = rows(file).values()
    assert all("raw.icl" in row.scores for row in mine)
    assert rows(finished)["noise-medium-1"][0].scores.keys() < mine[0].scores.keys()


def test_latents_that_were_not_kept_are_told(tmp_path: Path) -> None:
    file = open_truth(truth_folder(tmp_path, truth_text(families=FAMILIES[1:])))
    train(file)
    with pytest.raises(StudyError, match=r"latents of 8 of 8 trainings .* were not kept"):
        rescore(file)


def test_settings_made_in_python_have_no_file_that_workers_could_read(tmp_path: Path) -> None:
    file = replace(open_truth(truth_folder(tmp_path)), source=None)
    with pytest.raises(StudyError, match="workers read the benchmark from its file"):
        train(file, workers=2)


def test_lines_are_compact_json(finished: TruthFile) -> None:
    head, *lines = (finished.rows / "lattice-medium-1.jsonl").read_text().splitlines()
    facts = json.loads(head)["facts"]
    assert len(facts["classes"]) == len(facts["counts"]) > 1
    assert sum(facts["counts"]) <= facts["keypoints"]
    assert all(len(line) < 2500 and json.loads(line) for line in lines)


def test_another_metric_may_count(finished: TruthFile, tmp_path: Path) -> None:
    text = truth_text(scores='target = "knn15"')
    file = replace(open_truth(truth_folder(tmp_path, text)), folder=finished.folder)
    summary = summary_of(file)
    assert summary.target == "knn15"
    by_configuration: dict[str, list[float]] = {}
    for row in rows(finished)["lattice-medium-1"]:
        key = row.key.split("#")[0]
        by_configuration.setdefault(key, []).append(row.truth["knn15"])
    best = max(sum(mine) / len(mine) for mine in by_configuration.values())
    assert summary.scenes[0].best == pytest.approx(best)
    assert summary_of(finished).target == "ari_true_k"


def test_rows_that_the_grid_no_longer_asks_for_do_not_count(
    finished: TruthFile, tmp_path: Path
) -> None:
    narrow = truth_text(search='"vae.latent_dim" = { choices = [2] }', trainings="seeds = 1")
    file = replace(open_truth(truth_folder(tmp_path, narrow)), folder=finished.folder)
    summary = summary_of(file)
    assert (summary.trainings, summary.missing) == (4, 0)
    more = replace(open_truth(truth_folder(tmp_path, truth_text(trainings="seeds = 5"))))
    assert summary_of(replace(more, folder=finished.folder)).missing == 24
