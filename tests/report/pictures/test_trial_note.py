"""The note of a trial says what was trained, what came out, and why it does not compete."""

from dataclasses import replace
from typing import Any

from tests.report.pictures.runs import KINDS, run_of
from tests.study.tiny import study_text
from vaeopt.core.types import WorkflowRun
from vaeopt.report.pictures.note import note
from vaeopt.study.illustration import Subject
from vaeopt.workflow import Score, Workflow


def _subject(run: WorkflowRun, **changes: Any) -> Subject:
    table: dict[str, Any] = {
        "rewards": [{"kind": "reconstruction"}],
        "scores": [{"kind": "icl"}, {"kind": "silhouette"}],
    }
    workflow = Workflow(**table)
    subject = Subject(
        workflow=workflow,
        run=run,
        scores={"fvu_core": Score(0.25, 0.0, 1), "icl": Score(-2.5, 0.5, 3), "silhouette": None},
        told=[0.25],
        pictures={},
        failed={},
    )
    return replace(subject, **changes)


def _rows(text: str) -> dict[str, str]:
    cells = [line.strip("| ").split(" | ", 1) for line in text.splitlines() if line[:2] == "| "]
    return {cell[0]: cell[1] for cell in cells if len(cell) == 2}


def test_a_healthy_trial_is_described() -> None:
    run = run_of()
    text = note(_subject(run))
    rows = _rows(text)
    kept = int(run.mixture.kept.sum())
    assert text.startswith("**")
    assert "Collapsed" not in text
    assert rows["window"] == "5 px"
    assert rows["invariances"] == "rotation"
    assert rows["latents"] == "2, KL scale 0.001"
    assert rows["training"].startswith("2 epochs, loss ")
    assert "cpu" not in rows["trained on"]
    assert rows["fvu_core (minimize)"] == "**0.25**"
    assert rows["icl (score)"] == "-2.5 \N{PLUS-MINUS SIGN} 0.5"
    assert rows["silhouette (score)"] == "could not be computed"
    assert rows["density filter"].startswith(f"quantile: {kept} of {len(run.latents)} patches")
    assert rows["latent filter"].startswith("units, passed")
    assert rows["components"].startswith("0: ")
    assert "repeated" not in rows


def test_the_size_of_the_window_stands_in_nanometres_where_that_is_known() -> None:
    run = run_of()
    known = replace(run, micrograph=replace(run.micrograph, pixel_size_nm=8.0))
    assert _rows(note(_subject(known)))["window"] == "5 px (40 nm)"


def test_reasons_of_a_collapse_stand_first() -> None:
    run = KINDS["collapsed"]()
    text = note(_subject(run))
    assert text.startswith(f"**Collapsed:** {run.collapse.reasons[0]}")
    assert "failed by a factor" in _rows(text)["latent filter"]
    several = note(_subject(replace(run_of(), replicates=(run,))))
    assert several.startswith("**Collapsed in 1 of 2 trainings:**")


def test_what_could_not_be_done_is_said() -> None:
    assert note(_subject(KINDS["no mixture"]())).startswith("**No components:** 3 points are too")
    assert "**diverged**" in note(_subject(KINDS["diverged"]()))
    text = note(_subject(run_of(), failed={"04_map.png": "ValueError: a | b"}))
    assert "Picture 04_map.png was not drawn: ValueError: a \\| b" in text.splitlines()


def test_means_and_own_values_are_told_apart() -> None:
    rows = _rows(note(_subject(run_of(), told=[0.5], mean_of=[3, 8])))
    assert rows["fvu_core (minimize)"] == "**0.5**; this training 0.25"
    assert rows["repeated"] == "objectives are means over trials 3, 8"


def test_pictures_are_embedded_by_their_links() -> None:
    names = ("01_latents.png", "02_manifold.png", "04_map.png")
    links = {name: f"/artifacts/1/2/{name[:2]}" for name in names}
    text = note(_subject(run_of(), pictures=links))
    embedded = "![01_latents.png](/artifacts/1/2/01)\n\n![04_map.png](/artifacts/1/2/04)\n"
    assert text.endswith(f"\n\n{embedded}"), "one below the other"
    assert "02_manifold" not in text, "it stands among the artifacts"


def test_a_note_of_many_components_fits_into_one_attribute() -> None:
    assert "figures" not in study_text(), "notes are on by default"
    run = run_of("vae.latent_dim=3", "vae.invariances=rotation+translation+scale")
    links = dict.fromkeys(("01_latents.png", "04_map.png"), "/artifacts/12/12345/" + 36 * "0")
    assert len(note(_subject(run, pictures=links))) < 2045
