"""A descriptor is asked after the fact: of old trials, without training."""

from pathlib import Path
from typing import Any

import pytest

import vaeopt as vo
from tests.study.tiny import contents, stripes, write_study
from vaeopt.cli import main
from vaeopt.core.errors import DataError, StudyError
from vaeopt.stages.look import look_at
from vaeopt.study.results.rescore import rescore

CLOSE = '{ kind = "grid", spacing_px = 5 }'
AMI = '{ kind = "descriptor-ami", components = [2, 3] }'
KAPPA = '{ kind = "descriptor-kappa", components = [2, 3] }'


def _broken(*_: object, **__: object) -> Any:
    raise RuntimeError("no luck")


def test_old_trials_get_values_without_training_and_from_one_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_study(tmp_path, keypoints=CLOSE, components="[1, 3]", n_trials=3)
    study = vo.optimize(folder)
    assert "look" not in study.trials[0].user_attrs["vaeopt:primitives"]["seconds"]
    windows: list[int] = []

    def noted(*args: Any, largest_window_px: int) -> Any:
        windows.append(largest_window_px)
        return look_at(*args, largest_window_px=largest_window_px)

    monkeypatch.setattr("vaeopt.workflow.look.look_at", noted)
    monkeypatch.setattr("vaeopt.workflow.flow.train_groups", _broken)
    for text, label in ((AMI, "descriptor_ami(K=2-3)"), (KAPPA, "descriptor_kappa(K=2-3)")):
        windows.clear()
        found = rescore(folder, text)
        assert (found.label, found.direction, found.skipped) == (label, "maximize", {})
        assert set(found.scores) == {0, 1, 2}
        assert all(-1 <= score.value <= 1 for score in found.scores.values())
        assert windows == [7], "the largest window of the study, whatever that of the trial"
    assert main(["rescore", str(folder), "--reward", AMI]) == 0
    with pytest.raises(StudyError, match=r"cannot give 'descriptor_ami'.* K = 4, 5, 6 in the grid"):
        rescore(folder, "descriptor-ami")


def test_values_of_the_search_are_those_that_come_out_of_the_files(tmp_path: Path) -> None:
    rewards = f"[ {AMI}, {KAPPA} ]"
    folder = write_study(
        tmp_path, keypoints=CLOSE, components="[1, 3]", rewards=rewards, n_trials=2
    )
    study = vo.optimize(folder)
    assert study.metric_names == ["descriptor_ami(K=2-3)", "descriptor_kappa(K=2-3)"]
    for i, text in enumerate((AMI, KAPPA)):
        found = rescore(folder, text)
        for trial in study.trials:
            assert found.scores[trial.number].value == pytest.approx(trial.values[i], abs=1e-9)


def test_a_study_with_too_few_key_points_is_refused_in_one_line(finished_copy: Path) -> None:
    before = contents(finished_copy)
    with pytest.raises(DataError, match=r"^--reward: .*there are only \d\d; at least 50"):
        rescore(finished_copy, AMI)
    assert contents(finished_copy) == before


def test_a_study_with_too_few_key_points_ends_before_it_trains(tmp_path: Path) -> None:
    assert len(stripes()) == 48
    folder = write_study(
        tmp_path,
        keypoints='{ kind = "grid", spacing_px = 8 }',
        components="[1, 3]",
        rewards=f"[ {AMI} ]",
    )
    with pytest.raises(DataError, match=r"workflow\.rewards: .*at least 50 are needed"):
        vo.optimize(folder)
    assert main(["check", str(folder)]) == 2
