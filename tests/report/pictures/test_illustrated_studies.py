"""Studies whose trials are drawn: what is kept, when, and that nothing else depends on it."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.artifacts import get_all_artifact_meta
from optuna.trial import FrozenTrial, TrialState

import vaeopt as vo
from tests.bucket import Server
from tests.bucket import bucket as bucket
from tests.study.tiny import ONE, SEARCH_COLLAPSE, Halt, ctrl_c, points, write_study
from vaeopt.cli import main
from vaeopt.report import illustrated
from vaeopt.report.illustrator import Pictures
from vaeopt.report.pictures import PAINTERS
from vaeopt.study import optimize as loop
from vaeopt.study.artefacts.store import artefacts_of
from vaeopt.study.attributes import PICTURES, PICTURES_FAILED
from vaeopt.study.file import open_study
from vaeopt.study.fronts.pareto import leads, margin
from vaeopt.study.notes import notes_in
from vaeopt.study.results import confirm as confirming
from vaeopt.study.results.records import ids_of, without_files

NAMES = list(PAINTERS)


def _drawn(trial: FrozenTrial) -> list[str]:
    return list(trial.user_attrs.get(PICTURES, {}))


def _notes(study: optuna.Study) -> dict[int, str]:
    """Text by the number of the trial."""
    held = notes_in(study._storage.get_study_system_attrs(study._study_id))
    return {t.number: held[t._trial_id][1] for t in study.trials if t._trial_id in held}


def _with(folder: Path, figures: str, **pieces: Any) -> Path:
    return write_study(folder, optuna=f'figures = "{figures}"', **pieces)


def test_every_trial_has_pictures_and_a_note_by_default(tmp_path: Path) -> None:
    study = vo.optimize(write_study(tmp_path, n_trials=2))
    for trial in study.trials:
        assert _drawn(trial) == NAMES
        assert PICTURES_FAILED not in trial.user_attrs
        metas = {m.filename: m for m in get_all_artifact_meta(trial, storage=study._storage)}
        assert {metas[name].mimetype for name in NAMES} == {"image/png"}
        first = min(metas.values(), key=lambda meta: meta.artifact_id)
        assert first.filename == NAMES[0], "the gallery shows the first by id"
        in_order = sorted(metas.values(), key=lambda meta: meta.artifact_id)
        assert [meta.filename for meta in in_order][: len(NAMES)] == NAMES
        for name in NAMES:
            path = tmp_path / "artefacts" / metas[name].artifact_id
            assert path.read_bytes().startswith(b"\x89PNG")
        link = f"/artifacts/{study._study_id}/{trial._trial_id}/{first.artifact_id}"
        assert f"({link})" in _notes(study)[trial.number]


def test_none_draws_and_notes_nothing(tmp_path: Path) -> None:
    study = vo.optimize(_with(tmp_path, "none", n_trials=2))
    assert all(_drawn(trial) == [] for trial in study.trials)
    assert _notes(study) == {}
    named = {i for trial in study.trials for i in ids_of(trial)}
    assert {path.name for path in (tmp_path / "artefacts").iterdir()} == named


@pytest.mark.parametrize("rewards", [ONE, None])
def test_best_draws_what_no_finished_trial_dominates(tmp_path: Path, rewards: str | None) -> None:
    pieces = {} if rewards is None else {"rewards": rewards}
    folder = _with(
        tmp_path, "best", search=SEARCH_COLLAPSE, sampler='{ kind = "grid" }', n_trials=8, **pieces
    )
    study = vo.optimize(folder)
    done = optuna.create_study(directions=study.directions)
    expected = []
    for trial in study.trials:
        good = margin(trial) <= 0 and leads(done, trial.values)
        expected.append(NAMES if good else [])
        done.add_trial(trial)
    assert [_drawn(trial) for trial in study.trials] == expected
    assert [] in expected
    assert NAMES in expected
    assert len(_notes(study)) == 8, "the others have notes, collapsed ones in particular"


def test_a_mean_takes_the_place_of_the_trials_that_it_is_made_of(tmp_path: Path) -> None:
    # All trials have the same parameters: each stands alone on the front when it is told.
    search = '"patches.size_px" = { choices = [5] }'
    folder = _with(tmp_path, "best", search=search, n_trials=3, rewards=ONE)
    study = vo.optimize(folder)
    assert [_drawn(trial) for trial in study.trials] == [NAMES] * 3
    assert "means over trials 0, 1, 2" in _notes(study)[2]
    assert f"**{study.trials[2].values[0]:.5g}**" in _notes(study)[2]


def test_the_setting_may_change_while_a_study_goes_on(tmp_path: Path) -> None:
    vo.optimize(_with(tmp_path, "none", n_trials=1))
    vo.optimize(_with(tmp_path, "all", n_trials=2))
    study = vo.optimize(_with(tmp_path, "best", n_trials=3))
    assert [bool(_drawn(trial)) for trial in study.trials[:2]] == [False, True]


def test_an_unknown_word_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["optimize", str(_with(tmp_path, "some"))]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "optuna.figures" in line
    assert "best" in line


# ---- nothing depends on pictures ---------------------------------------------------------------


def test_values_are_the_same_with_and_without_pictures(tmp_path: Path) -> None:
    bare = loop.optimize(write_study(tmp_path / "bare", n_trials=4, sampler='{ kind = "tpe" }'))
    drawn = vo.optimize(write_study(tmp_path / "drawn", n_trials=4, sampler='{ kind = "tpe" }'))
    cut = write_study(tmp_path / "cut", n_trials=4, sampler='{ kind = "tpe" }')
    with pytest.raises(KeyboardInterrupt):
        vo.optimize(cut, progress=Halt(2, ctrl_c))
    resumed = vo.optimize(cut)
    assert points(bare.trials) == points(drawn.trials) == points(resumed.trials)
    done = [t for t in resumed.trials if t.state == TrialState.COMPLETE]
    assert [_drawn(trial) for trial in done] == [NAMES] * 4


def test_pictures_that_are_gone_are_not_missed(tmp_path: Path) -> None:
    study = vo.optimize(write_study(tmp_path, n_trials=1))
    for artifact_id in study.trials[0].user_attrs[PICTURES].values():
        (tmp_path / "artefacts" / artifact_id).unlink()
    assert without_files(study.trials, artefacts_of(open_study(tmp_path))) == []
    assert vo.load_trial(tmp_path, 0).latents.latent_dim == 2


def test_a_study_of_before_goes_on_with_pictures(tmp_path: Path) -> None:
    loop.optimize(write_study(tmp_path, n_trials=1))
    study = vo.optimize(tmp_path, n_trials=2)
    assert [_drawn(trial) for trial in study.trials] == [[], NAMES]


# ---- what goes wrong ---------------------------------------------------------------------------


def _broken(*_: Any) -> Any:
    raise ValueError("no ink,\nno paper")


def test_one_picture_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaeopt.report.pictures.PAINTERS", {**PAINTERS, "02_manifold.png": _broken})
    show = Halt(99, ctrl_c)
    study = vo.optimize(write_study(tmp_path, n_trials=2), progress=show)
    said = "ValueError: no ink, no paper"
    for trial in study.trials:
        assert trial.state == TrialState.COMPLETE
        assert _drawn(trial) == [name for name in NAMES if name != "02_manifold.png"]
        assert trial.user_attrs[PICTURES_FAILED] == {"02_manifold.png": said}
        line = f"Picture 02_manifold.png was not drawn: {said}"
        assert line in _notes(study)[trial.number].splitlines()
    told = [note for note in show.notes if "was not drawn" in note]
    assert told == [f"picture 02_manifold.png of trial 0 was not drawn: {said}"], "said once"


@pytest.mark.parametrize("what", ["pictures", "note"])
def test_an_illustrator_that_fails_fails_no_trial(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pictures, what, _broken)
    study = vo.optimize(write_study(tmp_path, n_trials=1))
    (trial,) = study.trials
    assert trial.state == TrialState.COMPLETE
    assert "no ink, no paper" in _notes(study)[0]
    assert bool(trial.user_attrs.get(PICTURES_FAILED)) == (what == "pictures")


def test_a_trial_that_fails_leaves_no_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vaeopt.study.tell.set_constraint", _broken)
    with pytest.raises(vo.StudyError, match="failed in a row"):
        vo.optimize(write_study(tmp_path, n_trials=1))
    assert list((tmp_path / "artefacts").iterdir()) == []
    assert _notes(vo.load_study(tmp_path)) == {}


# ---- wherever trials run and go ----------------------------------------------------------------


def test_batches_replicates_and_leaders_are_drawn(tmp_path: Path) -> None:
    folder = write_study(tmp_path, n_trials=2, head="", at_once=2)
    text = (folder / "study.toml").read_text()
    (folder / "study.toml").write_text(text.replace("[workflow]", "[workflow]\nreplicates = 2"))
    study = vo.optimize(folder)
    assert [_drawn(trial) for trial in study.trials] == [NAMES] * 2
    assert "2 trainings with other seeds" in _notes(study)[0]
    vo.confirm(folder, top=1, seeds=1)
    again = optuna.load_study(study_name="tiny-confirm", storage=study._storage)
    assert [_drawn(trial) for trial in again.trials] == [NAMES]
    assert list(_notes(again)) == [0]


def test_workers_draw(tmp_path: Path) -> None:
    folder = write_study(tmp_path, n_trials=3)
    assert main(["optimize", str(folder), "--workers", "2", "--quiet"]) == 0
    study = vo.load_study(folder)
    done = study.get_trials(states=(TrialState.COMPLETE,))
    assert [_drawn(trial) for trial in done] == [NAMES] * 3
    assert len(_notes(study)) == 3


def test_pictures_go_to_the_bucket_and_are_copied_from_there(
    tmp_path: Path, bucket: Server
) -> None:
    folder = write_study(tmp_path / "study", n_trials=1, optuna=f'artefacts = "{bucket.url}"')
    study = vo.optimize(folder)
    ids = ids_of(study.trials[0])
    assert len(ids) == 2 + len(NAMES)
    assert bucket.keys() == sorted(f"of/trials/{i}" for i in ids)
    place, url = tmp_path / "files", f"sqlite:///{tmp_path}/there.db"
    optuna.create_study(storage=url)  # another study: ids differ there
    words = ["copy", str(folder), "--to", url, "--artefacts", place.as_uri()]
    assert main(words) == 0
    assert sorted(path.name for path in place.iterdir()) == sorted(ids)
    there = optuna.load_study(study_name="tiny", storage=url)
    assert there._study_id != study._study_id
    note, here = _notes(there)[0], _notes(study)[0]
    old = f"/artifacts/{study._study_id}/{study.trials[0]._trial_id}/"
    new = f"/artifacts/{there._study_id}/{there.trials[0]._trial_id}/"
    assert old in here
    assert note == here.replace(old, new)


def test_a_journal_holds_notes_too(tmp_path: Path) -> None:
    folder = write_study(tmp_path, n_trials=1)
    study = vo.optimize(folder, storage=f"journal:///{tmp_path}/tiny.log")
    assert list(_notes(study)) == [0]
    assert _drawn(study.trials[0]) == NAMES


@pytest.mark.parametrize(
    ("drawn", "plain"),
    [
        (illustrated.optimize, loop.optimize),
        (illustrated.work, loop.work),
        (illustrated.confirm, confirming.confirm),
    ],
)
def test_verbs_with_pictures_take_the_same_words(
    drawn: Callable[..., Any], plain: Callable[..., Any]
) -> None:
    words = dict(inspect.signature(plain).parameters)
    words.pop("illustrator")
    assert dict(inspect.signature(drawn).parameters) == words
    assert drawn.__doc__ is not None
    assert plain.__doc__ is not None
    assert drawn.__doc__.splitlines()[0] == plain.__doc__.splitlines()[0]


def test_the_record_of_pictures_is_plain(tmp_path: Path) -> None:
    study = vo.optimize(write_study(tmp_path, n_trials=1))
    held = study.trials[0].user_attrs[PICTURES]
    assert json.loads(json.dumps(held)) == held
