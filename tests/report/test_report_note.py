"""The note of a study: complete, true to the settings, and never over what somebody wrote."""

import re
from importlib import metadata
from pathlib import Path
from typing import ClassVar, Literal

import optuna
import pytest
from optuna_dashboard import get_note
from optuna_dashboard import save_note as written_by_hand

import vaeopt as vo
from tests.study.tiny import made_by_hand, write_study
from vaeopt.core.types import WorkflowRun
from vaeopt.report.dashboard import note as module
from vaeopt.report.dashboard.glossary import _OF_KIND, meaning_of
from vaeopt.report.dashboard.note import save_note, study_note
from vaeopt.report.dashboard.refresh import save_figures
from vaeopt.stages.rewards import Reward
from vaeopt.study.file import open_study
from vaeopt.study.optimize import optimize
from vaeopt.study.results.rescore import rescore

DOCS = Path(__file__).parents[2] / "docs"
BUILT_IN = sorted(
    kind
    for kind in Reward.kinds()
    if Reward.of_kind(kind).__module__.startswith("vaeopt.stages.rewards")
)


@pytest.fixture
def study() -> optuna.Study:
    return made_by_hand(["minimize"], [[1.0]])


@pytest.fixture
def own_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test declares is forgotten at its end."""
    monkeypatch.setattr(Reward, "registry", dict(Reward.registry))


@pytest.mark.parametrize("kind", BUILT_IN)
def test_every_reward_is_explained_and_its_page_exists(kind: str) -> None:
    meaning = _OF_KIND[kind]
    assert len(meaning.measures) > 10
    assert meaning.values
    page = DOCS / meaning.page
    text = page.read_text(encoding="utf-8")
    assert f"`{kind}`" in text or kind == "composite"
    if kind != "composite":
        assert f"## `{kind}`" in text, "the anchor of the note"


def test_the_glossary_explains_nothing_that_is_gone() -> None:
    assert sorted(_OF_KIND) == BUILT_IN


def test_a_note_holds_all_that_the_page_cannot_say(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path,
        rewards='[ { kind = "reconstruction" }, { kind = "gain" } ]',
        search=(
            '"patches.size_px" = { low = 5, high = 9, step = 2 }\n'
            '"vae.kl_scale" = { low = 0.001, high = 1.0, log = true }\n'
            '"vae.invariances" = { choices = [[], ["rotation", "translation"]] }\n'
        ),
    )
    note = study_note(open_study(folder), made_by_hand(["minimize", "maximize"], []))
    rows = [line for line in note.splitlines() if line.startswith("| ")]
    (row,) = (line for line in rows if line.startswith("| **fvu_core** |"))
    assert "| lower |" in row
    assert "docs/rewards/information.md#reconstruction" in row
    (row,) = (line for line in rows if line.startswith("| **gain** |"))
    assert "| higher |" in row
    assert any("`patches.size_px` | 5 to 9 in steps of 2 |" in line for line in rows)
    assert any("`vae.kl_scale` | 0.001 to 1, even in the logarithm |" in line for line in rows)
    assert any("| none, rotation+translation |" in line for line in rows)
    assert "infinitely many points" in note
    assert "Trials marked Infeasible have collapsed" in note
    assert "Pareto front" in note
    assert "## Scores" not in note
    assert f"vaeopt report {tmp_path.name}" in note
    assert len({line.count(" | ") for line in rows if line.startswith("| **")}) == 1


def test_one_objective_has_a_best_trial_and_no_front(tmp_path: Path) -> None:
    folder = write_study(tmp_path, rewards='[ { kind = "icl" } ]', search="")
    note = study_note(open_study(folder), made_by_hand(["minimize"], []))
    assert "**Best trial** is" in note
    assert "Pareto" not in note
    assert "Nothing is searched" in note


def test_scores_are_explained_those_that_came_later_too(finished_copy: Path) -> None:
    rescore(finished_copy, "icl")
    file = open_study(finished_copy)
    note = study_note(file, vo.load_study(finished_copy))
    objectives, scores = note.split("## Scores")
    assert "**icl**" in scores
    assert "**icl**" not in objectives


@pytest.mark.usefixtures("own_kinds")
def test_a_reward_of_ones_own_speaks_for_itself(tmp_path: Path) -> None:
    class OddOnes(Reward, kind="odd-ones-of-the-note-test"):
        """Share of ``odd`` | strange patches."""

        direction: ClassVar[Literal["minimize", "maximize"]] = "maximize"

        @property
        def label(self) -> str:
            """Of the user's choice."""
            return "odd|ones"

        def __call__(self, run: WorkflowRun) -> float:
            return 0.0

        def structureless(self, run: WorkflowRun) -> float:
            return 0.0

    meaning = meaning_of(OddOnes())
    assert meaning.measures == "Share of `odd` | strange patches"
    folder = write_study(tmp_path, rewards='[ { kind = "odd-ones-of-the-note-test" } ]')
    note = study_note(open_study(folder), made_by_hand(["maximize"], []))
    (row,) = (line for line in note.splitlines() if line.startswith("| **odd"))
    assert row.startswith("| **odd\\|ones** | higher | Share of `odd` \\| strange patches |")


def test_links_lead_to_the_documentation_where_its_place_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Metadata:
        urls = ("Homepage, https://a.example", "Documentation, https://docs.example/vaeopt/")

        def get_all(self, name: str) -> tuple[str, ...]:
            assert name == "Project-URL"
            return self.urls

    assert re.fullmatch(r"`docs/study.md#noise`", module._docs("study.md#noise"))
    monkeypatch.setattr(metadata, "metadata", lambda name: Metadata())
    link = "[study.md#noise](https://docs.example/vaeopt/study.html#noise)"
    assert module._docs("study.md#noise") == link


def test_a_note_is_written_and_brought_up_to_date(study: optuna.Study) -> None:
    assert save_note(study, "first")
    assert save_note(study, "second" * 2000)
    assert get_note(study) == "second" * 2000
    assert save_note(study, "third")
    assert get_note(study) == "third"


@pytest.mark.parametrize("text", ["my own words", ""])
def test_what_somebody_wrote_stays(text: str, study: optuna.Study) -> None:
    save_note(study, "ours")
    written_by_hand(study, text)  # in the dashboard, or with Optuna
    assert not save_note(study, "ours, newer")
    assert get_note(study) == text


def test_a_note_that_was_there_before_us_stays(study: optuna.Study) -> None:
    written_by_hand(study, "my own words")
    assert not save_note(study, "ours")
    assert get_note(study) == "my own words"


def test_a_note_that_was_put_back_as_it_was_is_ours_again(study: optuna.Study) -> None:
    save_note(study, "ours")
    written_by_hand(study, "mine")
    written_by_hand(study, "ours")
    assert save_note(study, "ours, newer")


def test_note_and_figures_are_kept_on_a_server(tmp_path: Path, postgres_url: str) -> None:
    folder = write_study(tmp_path, n_trials=2)
    study = optimize(folder, storage=postgres_url)
    assert save_note(study, "ours" * 2000)
    assert save_figures(study) > 0
    assert save_figures(study) == 0
    again = vo.load_study(folder, storage=postgres_url)
    assert get_note(again) == "ours" * 2000
    assert optimize(folder, n_trials=3, storage=postgres_url).trials[-1].number == 2
