"""A study whose hopeless trainings end early: finished trials, told as what they are."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

import vaeopt as vo
from tests.study.tiny import ONE, TWO, write_study
from vaeopt.core.errors import StudyError
from vaeopt.study.attributes import IDENTITY
from vaeopt.study.file import open_study
from vaeopt.study.fronts.pareto import margin
from vaeopt.study.optimize import optimize
from vaeopt.study.results.replay import replay
from vaeopt.study.results.status import status_lines
from vaeopt.study.session import prepare

# No product of variances reaches 1e6: half of the points are hopeless on any machine.
SEARCH = '"latent_filter.minimum" = { choices = [1e-12, 1e6] }'
FILTER = '{ kind = "variance-product", minimum = 1e-12 }'
ENDS = "stopped at epoch 3 of 4 as collapsed (stopped_early)"
"""behind the second of the two looks that so short a training has"""


def _study(folder: Path, *, stops: bool = True, **pieces: Any) -> Path:
    latent_filter = FILTER + ("\nstop_collapsed = true" if stops else "")
    fixed: dict[str, Any] = {"search": SEARCH, "sampler": '"grid"', "n_trials": 2}
    folder = write_study(folder, latent_filter=latent_filter, **{**fixed, **pieces})
    text = (folder / "study.toml").read_text(encoding="utf-8")
    longer = text.replace("epochs = 2,", "epochs = 4,")
    (folder / "study.toml").write_text(longer, encoding="utf-8")
    return folder


def _both(study: optuna.Study) -> tuple[optuna.trial.FrozenTrial, optuna.trial.FrozenTrial]:
    """The hopeless trial and the other one."""
    hopeless, healthy = sorted(study.trials, key=margin, reverse=True)
    return hopeless, healthy


@pytest.mark.parametrize("rewards", [ONE, TWO], ids=["one", "several"])
@pytest.mark.parametrize("at_once", [1, 2])
def test_a_stopped_trial_is_complete_and_infeasible_and_says_why(
    tmp_path: Path, rewards: str, at_once: int
) -> None:
    study = optimize(_study(tmp_path, rewards=rewards, at_once=at_once))
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 2
    hopeless, healthy = _both(study)
    assert np.isfinite(hopeless.values).all()
    training = hopeless.user_attrs["vaeopt:primitives"]["training"]
    assert training["stopped_epoch"] == training["epochs"] == 3
    assert healthy.user_attrs["vaeopt:primitives"]["training"]["stopped_epoch"] is None
    assert 1 < margin(hopeless) <= 6
    assert margin(healthy) <= 0
    frame = vo.trials_frame(study).set_index("trial")
    assert str(frame.loc[hopeless.number, "reason"]).startswith(ENDS)
    assert not frame.loc[hopeless.number, "feasible"]
    assert frame.loc[healthy.number, "reason"] == ""
    assert [trial.number for trial in vo.front(study)] == [healthy.number]
    assert "2 of 2 finished, 1 collapsed (1 ended early), 0 failed" in status_lines(study, 2)[0]


def test_the_other_trials_are_those_of_a_study_that_stops_none(tmp_path: Path) -> None:
    watched = optimize(_study(tmp_path / "watched"))
    plain = optimize(_study(tmp_path / "plain", stops=False))
    assert _both(watched)[1].values == _both(plain)[1].values
    hopeless, to_its_end = _both(watched)[0], _both(plain)[0]
    assert hopeless.params == to_its_end.params
    assert hopeless.values != to_its_end.values
    assert "ended early" not in status_lines(plain, 2)[0]


def test_a_replay_stops_at_the_same_epoch(tmp_path: Path) -> None:
    folder = _study(tmp_path)
    hopeless, _ = _both(optimize(folder))
    seen: list[int] = []

    class Counts:
        def epoch(self, epoch: int, epochs: int, loss_nats: float) -> None:
            seen.append(epoch)

    session = prepare(open_study(folder))
    again = replay(vo.load_study(folder), session, hopeless, progress=Counts())  # type: ignore[arg-type]  # asked for epochs only
    assert seen == [1, 2, 3]
    assert again.repeated == again.recorded


def test_its_run_comes_back_from_its_files(tmp_path: Path) -> None:
    folder = _study(tmp_path)
    hopeless, _ = _both(optimize(folder))
    run = vo.load_trial(folder, hopeless.number)
    assert run.vae.stopped
    assert run.collapse.reasons[0] == ENDS
    assert run.collapse.margin == margin(hopeless)


# ---- the guard


def _forget_the_setting(study: optuna.Study) -> None:
    """As a version wrote it that had none."""
    identity = json.loads(json.dumps(study.user_attrs[IDENTITY]))
    del identity["workflow"]["stop_collapsed"]
    study.set_user_attr(IDENTITY, identity)


def test_a_study_from_before_goes_on_as_it_began(tmp_path: Path) -> None:
    folder = _study(tmp_path, stops=False, n_trials=1)
    _forget_the_setting(optimize(folder))
    study = optimize(folder, n_trials=2)
    assert len(study.trials) == 2
    assert "ended early" not in status_lines(study, 2)[0]


@pytest.mark.parametrize("old", [True, False])
def test_the_setting_may_not_change_while_a_study_goes_on(tmp_path: Path, old: bool) -> None:
    study = optimize(_study(tmp_path, stops=False, n_trials=1))
    if old:
        _forget_the_setting(study)
    changed = _study(tmp_path, stops=True)
    with pytest.raises(StudyError, match=r"workflow.stop_collapsed: was false, is true"):
        optimize(changed)
