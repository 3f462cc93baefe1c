"""SIGKILL at random instants: nothing is lost, nothing repeated, and all ends the same."""

from pathlib import Path

import numpy as np

from tests.study.killing import Storm
from tests.study.test_study_batches import REAL, SAMPLERS
from tests.study.tiny import write_study

KILLS = 50


def test_a_study_that_is_killed_at_random_ends_as_one_that_was_not(tmp_path: Path) -> None:
    storm, kinds = Storm(np.random.default_rng(20251121)), ("tpe", "nsga2", "random", "gp")
    while storm.kills < KILLS:
        kind = kinds[storm.studies % len(kinds)]
        study = write_study(
            tmp_path / f"study-{storm.studies}",
            search=REAL,
            sampler=SAMPLERS[kind],
            n_trials=8,
            seed=storm.studies,
        )
        storm.strike(study, most=KILLS)
    assert storm.kills == KILLS
    assert storm.within["in a trial"] >= 5, f"too few kills within a trial: {storm.within}"
    assert (storm.lost, storm.files_lost, storm.repeated, storm.unsound) == (0, 0, 0, 0)
    assert storm.identical == storm.studies


def test_processes_that_are_killed_beside_others_lose_and_repeat_nothing(tmp_path: Path) -> None:
    storm = Storm(np.random.default_rng(8))
    study = write_study(tmp_path / "study", search=REAL, sampler=SAMPLERS["tpe"], n_trials=40)
    storm.strike_some(study, workers=4, longest_s=1.0, kills=12)
    assert storm.kills >= 6
    assert (storm.lost, storm.files_lost, storm.repeated, storm.unsound) == (0, 0, 0, 0)
    assert (storm.short, storm.beyond) == (0, 0)
