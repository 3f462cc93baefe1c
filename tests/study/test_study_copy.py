"""A study that is copied to another storage goes on there as it would have where it was."""

import functools
import shutil
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from tests.bucket import Server
from tests.bucket import bucket as bucket
from tests.study.test_study_batches import (
    REAL,
    SAMPLERS,
    Loop,
    _history,
    quick_loop,  # noqa: F401  # a fixture
)
from tests.study.tiny import ONE, Halt, write_study
from vaeopt.cli import main
from vaeopt.core.errors import StudyError
from vaeopt.study.attributes import IDENTITY, INTERRUPTED
from vaeopt.study.file import open_study
from vaeopt.study.optimize import optimize
from vaeopt.study.results import copy as module
from vaeopt.study.results.confirm import confirm
from vaeopt.study.results.copy import COPIED, copy
from vaeopt.study.results.rescore import rescore
from vaeopt.study.storage import load_study, open_storage
from vaeopt.study.storage.bulk import add_trials


def _all(study: optuna.Study) -> list[Any]:
    """Everything about the trials but what is of the storage."""
    return [
        (
            t.number,
            t.state,
            t.values,
            t.params,
            t.distributions,
            t.user_attrs,
            t.system_attrs,
            t.intermediate_values,
            t.datetime_start,
            t.datetime_complete,
        )
        for t in study.get_trials()
    ]


def _shifted(url: str) -> None:
    """Other trials before those of the study, so that ids differ."""
    other = optuna.create_study(study_name="other", storage=open_storage(url, create=True))
    for _ in range(7):
        other.add_trial(optuna.trial.create_trial(value=1.0))


def _url(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.mark.parametrize("kind", ["tpe", "nsga2", "nsga3", "gp"])
def test_a_copy_goes_on_as_the_source_would_have(
    kind: str,
    tmp_path: Path,
    quick_loop: Loop,  # noqa: F811
) -> None:
    folder = write_study(tmp_path / "s", search=REAL, sampler=SAMPLERS[kind], n_trials=14)
    optimize(folder, n_trials=9)
    target = _url(tmp_path / "copy.db")
    _shifted(target)
    done = copy(folder, to=target)
    assert (done.trials, done.finished) == ({"tiny": 9}, 9)
    assert _all(load_study(open_study(folder), target)) == _all(load_study(open_study(folder)))
    there = _history(optimize(folder, storage=target))
    assert there == _history(optimize(folder))
    assert len(there) == 14


def test_to_postgresql_and_home_again(
    tmp_path: Path,
    postgres_url: str,
    quick_loop: Loop,  # noqa: F811
) -> None:
    folder = write_study(tmp_path / "s", search=REAL, sampler=SAMPLERS["nsga2"], n_trials=12)
    optimize(folder, n_trials=6)
    whole = _history(optimize(Path(shutil.copytree(folder, tmp_path / "whole"))))
    _shifted(postgres_url)
    copy(folder, to=postgres_url)
    optimize(folder, n_trials=9, storage=postgres_url)
    (folder / "tiny.db").unlink()
    copy(folder, storage=postgres_url)
    assert _all(load_study(open_study(folder))) == _all(
        load_study(open_study(folder), postgres_url)
    )
    assert _history(optimize(folder)) == whole


def test_companions_and_attributes_come_along(
    finished_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    confirm(finished_copy, top=1, seeds=1)
    rescore(finished_copy, "icl", name="by-icl")
    target = _url(tmp_path / "copy.db")
    assert main(["copy", str(finished_copy), "--to", target]) == 0
    said = capsys.readouterr().out
    assert "copied 6 trials of study 'tiny', 6 of them finished" in said
    assert "copied 1 trials of study 'tiny-confirm'" in said
    storages = [load_study(open_study(finished_copy), url)._storage for url in (None, target)]
    for name in ("tiny", "tiny-confirm", "by-icl"):
        old, new = (optuna.load_study(study_name=name, storage=one) for one in storages)
        assert _all(new) == _all(old)
        assert new.metric_names == old.metric_names
        assert new.directions == old.directions
        assert {k: v for k, v in new.user_attrs.items() if k != COPIED} == old.user_attrs


class _KilledError(BaseException):
    """Nothing runs after it."""


def _copy_until_killed(folder: Path, target: str, at: int) -> bool:
    """Whether the process lived until this many writes were done; then it is gone."""
    left = iter(range(at))

    def dying(write: Any) -> Any:
        @functools.wraps(write)
        def written(*args: Any, **words: Any) -> Any:
            if next(left, None) is None:
                raise _KilledError
            return write(*args, **words)

        return written

    with pytest.MonkeyPatch.context() as patch:
        for name in ("create_new_study", "set_study_user_attr", "set_study_system_attr"):
            patch.setattr(RDBStorage, name, dying(getattr(RDBStorage, name)))
        patch.setattr(module, "add_trials", dying(add_trials))
        try:
            copy(folder, to=target)
        except _KilledError:
            return True
    return False


def test_a_copy_that_was_cut_off_is_done_again(finished_copy: Path, tmp_path: Path) -> None:
    confirm(finished_copy, top=1, seeds=1)
    source = _all(load_study(open_study(finished_copy)))

    for at in range(100):
        target = _url(tmp_path / f"{at}.db")
        if not _copy_until_killed(finished_copy, target, at):
            break
        with pytest.raises(StudyError):
            load_study(open_study(finished_copy), target)
        copy(finished_copy, to=target)
        assert _all(load_study(open_study(finished_copy), target)) == source
    assert at > 10


def test_nothing_is_overwritten(
    finished_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = _url(tmp_path / "copy.db")
    copy(finished_copy, to=target)
    with pytest.raises(StudyError, match=r"--to: study 'tiny' is in .* already"):
        copy(finished_copy, to=target)
    assert main(["copy", str(finished_copy)]) == 2
    assert "the study is in sqlite" in capsys.readouterr().err
    foreign = _url(tmp_path / "foreign.db")
    made = optuna.create_study(study_name="tiny", storage=open_storage(foreign, create=True))
    made.set_user_attr("mine", 1)
    with pytest.raises(StudyError, match="already"):
        copy(finished_copy, to=foreign)
    assert made.user_attrs == {"mine": 1}


def test_a_study_whose_trials_run_is_not_copied(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", rewards=ONE, n_trials=2)
    target = tmp_path / "copy.db"

    said: list[str] = []

    def try_it() -> None:
        with pytest.raises(StudyError) as caught:
            copy(folder, to=_url(target))
        said.append(str(caught.value))

    optimize(folder, progress=Halt(1, try_it))
    assert said[0].startswith("trials of study 'tiny' are running: 1;")
    assert not target.exists()


def test_a_trial_whose_process_is_gone_is_run_again_in_the_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_study(tmp_path / "s", n_trials=3)
    optimize(folder, n_trials=2)
    whole = _history(optimize(Path(shutil.copytree(folder, tmp_path / "whole"))))

    def die() -> None:
        raise _KilledError

    with monkeypatch.context() as patch:
        patch.setattr("vaeopt.study.resume._cut_off", lambda *_: None)
        with pytest.raises(_KilledError):
            optimize(folder, progress=Halt(0, die))
    assert load_study(open_study(folder)).trials[2].state == TrialState.RUNNING
    target = _url(tmp_path / "copy.db")
    monkeypatch.setattr(module, "runs", lambda *_: False)  # this process is not gone
    copy(folder, to=target)
    cut_off = load_study(open_study(folder), target).trials[2]
    assert cut_off.state == TrialState.FAIL
    assert cut_off.user_attrs[INTERRUPTED] is True
    assert _history(optimize(folder, storage=target)) == whole


def test_files_are_copied_where_one_asks(
    finished_copy: Path, tmp_path: Path, bucket: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["copy", str(finished_copy), "--to", _url(tmp_path / "copy.db")]
    assert main([*words, "--artefacts", bucket.url]) == 0
    held = sorted(path.name for path in (finished_copy / "artefacts").iterdir())
    assert bucket.keys() == [f"of/trials/{i}" for i in held]
    assert f"copied {len(held)} files to" in capsys.readouterr().out


def test_a_copy_is_marked(finished_copy: Path, tmp_path: Path) -> None:
    target = _url(tmp_path / "copy.db")
    copy(finished_copy, to=target)
    attrs = load_study(open_study(finished_copy), target).user_attrs
    assert attrs[COPIED] == {"search": "tiny", "trials": 6, "complete": True}
    assert list(attrs)[-1] == IDENTITY
