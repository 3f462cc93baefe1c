"""Notes where optuna-dashboard reads them, and what becomes of them when a study moves."""

from typing import Any

import optuna
import optuna_dashboard
import pytest
from optuna_dashboard._note import get_note_from_system_attrs

from vaeopt.study.notes import first_note, moved_notes, notes_in, others


@pytest.mark.parametrize("text", ["short", "x" * 2045, "y" * 5000 + "end", ""])
@pytest.mark.parametrize("trial", [None, 12])
def test_the_dashboard_reads_what_is_written(text: str, trial: int | None) -> None:
    held = first_note(trial, text)
    assert get_note_from_system_attrs(held, trial) == {"version": 1, "body": text}


def test_what_the_dashboard_has_written_is_understood() -> None:
    study = optuna.create_study()
    trial = study.ask()
    optuna_dashboard.save_note(trial, "first")
    optuna_dashboard.save_note(trial, "a" * 3000)
    optuna_dashboard.save_note(study, "of the study")
    study._storage.set_study_system_attr(study._study_id, "NSGAIISampler:parent:3", [1])
    held = study._storage.get_study_system_attrs(study._study_id)
    assert notes_in(held) == {trial._trial_id: (2, "a" * 3000), None: (1, "of the study")}
    assert set(others(held)) == {"NSGAIISampler:parent:3"}


def test_notes_move_with_their_trials_and_links() -> None:
    far = "z" * 2030 + " ![](/artifacts/3/41/00-ab)"  # the link lies across two attributes
    held: dict[str, Any] = {
        **first_note(41, far, version=4),
        **first_note(42, "see /artifacts/3/41/0a and /artifacts/9/41/0a and /artifacts/3/77/0a"),
        **first_note(None, "of all: /artifacts/3/42/ff /artifacts/3/0-b"),
        **first_note(99, "of a trial that does not move"),
    }
    moved = moved_notes(held, {41: 1, 42: 41}, {3: 7})
    assert notes_in(moved) == {
        1: (4, "z" * 2030 + " ![](/artifacts/7/1/00-ab)"),
        41: (1, "see /artifacts/7/1/0a and /artifacts/9/41/0a and /artifacts/3/77/0a"),
        None: (1, "of all: /artifacts/7/41/ff /artifacts/7/0-b"),
    }
