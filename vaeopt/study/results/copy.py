"""A study brought to another storage, so that it goes on there as it would have here."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy as shallow
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import URL

from vaeopt.core.errors import StudyError
from vaeopt.study.artefacts.disk import room_on_disk
from vaeopt.study.artefacts.store import Artefacts, artefacts_of
from vaeopt.study.asking.points import runs
from vaeopt.study.attributes import IDENTITY, INTERRUPTED
from vaeopt.study.file import StudyFile, StudySettings, open_study
from vaeopt.study.notes import moved_notes, others
from vaeopt.study.quiet import quiet_optuna
from vaeopt.study.results.confirm import CONFIRMS
from vaeopt.study.results.records import ids_of
from vaeopt.study.results.rescore import RESCORES
from vaeopt.study.storage import (
    closed,
    exclusive,
    load_study,
    open_storage,
    shown_url,
    storage_url,
)
from vaeopt.study.storage.backends import creating
from vaeopt.study.storage.bulk import add_trials
from vaeopt.study.storage.sqlite import holds_tables, shared
from vaeopt.study.storage.urls import sqlite_path

__all__ = ["COPIED", "Copied", "copy"]

COPIED = "vaeopt:copied"
"""attribute of a study that was copied: number of its trials, and whether all of it is there"""
_TO = "--to"


@dataclass(frozen=True)
class Copied:
    """What was brought over."""

    source: str
    """URL without a password"""
    target: str
    """the same"""
    trials: Mapping[str, int]
    """by study: the search last"""
    finished: int
    """of the trials of the search"""
    files: int | None
    """of trials, to another place; none if they stayed where they are"""


def copy(
    study: str | Path | StudySettings | StudyFile,
    *,
    to: str | None = None,
    storage: str | None = None,
    artefacts: str | None = None,
    each: Callable[[int, int], None] | None = None,
) -> Copied:
    """Copy a study, its confirmation and its re-scored studies to another storage.

    Numbers, times, parameters, values, attributes and constraints stay as they are; so do the
    parents that a genetic sampler has selected. A search that goes on in the copy ends as it would
    have in the source. A trial whose process is gone is run again there.

    Args:
        study: a study folder, a ``.toml`` file, or settings made in Python.
        to: Optuna storage URL of the copy; the SQLite file beside the study file if left out.
        storage: Optuna storage URL of the study.
        artefacts: URL to copy the files of its trials to; they stay where they are if left out.
        each: told of files done and files in all.

    Raises:
        StudyError: a trial is running, or the study is in the target already. Nothing has been
            written then.
    """
    file = open_study(study)
    source_url = storage_url(file, storage)
    target_url = storage_url(file, to) if to else _beside(file)
    if _same(source_url, target_url):
        raise StudyError(
            f"the study is in {shown_url(target_url)}",
            setting=_TO,
            remedy="name another storage with --to, or where it is with --storage",
        )
    with quiet_optuna(), room_on_disk():
        source = load_study(file, storage)
        with exclusive(source._storage):  # nobody takes a trial in the meantime
            studies = [*_companions(source), source]
            held = [(one, one.get_trials(deepcopy=False)) for one in studies]
            _check_at_rest(held)
            target = _open_target(target_url)
            try:
                with exclusive(target):
                    _make_free(target, held, target_url)
                    for one, trials in held:
                        _write(target, one, trials)
            finally:
                closed(target)
        every = [trial for _, trials in held for trial in trials]
        files = None if artefacts is None else _send(file, every, artefacts, each)
    search = held[-1][1]
    return Copied(
        source=shown_url(source_url),
        target=shown_url(target_url),
        trials={one.study_name: len(trials) for one, trials in held},
        finished=sum(trial.state == TrialState.COMPLETE for trial in search),
        files=files,
    )


def _beside(file: StudyFile) -> str:
    return URL.create("sqlite", database=str(file.database)).render_as_string()


def _open_target(url: str) -> optuna.storages.BaseStorage:
    path = sqlite_path(url)
    if path is not None:
        holds_tables(path)  # complains
    with creating(url):
        target = open_storage(url, create=True)
    if path is not None:
        shared(path)
    return target


def _same(one: str, other: str) -> bool:
    urls = [optuna_url.removeprefix("sqlite:///") for optuna_url in (one, other)]
    if all(url.startswith("sqlite:///") for url in (one, other)):
        return Path(urls[0]).resolve() == Path(urls[1]).resolve()
    return one == other


def _companions(source: optuna.Study) -> list[optuna.Study]:
    """Studies in the same storage that were made from this one, finished ones only."""
    found = []
    for summary in optuna.get_all_study_summaries(source._storage, include_best_trial=False):
        attrs, rescored = summary.user_attrs, summary.user_attrs.get(RESCORES, {})
        confirms = attrs.get(CONFIRMS) == source.study_name and IDENTITY in attrs
        rescores = rescored.get("study") == source.study_name and rescored.get("complete", False)
        if confirms or rescores:
            name = summary.study_name
            found.append(optuna.load_study(study_name=name, storage=source._storage))
    return found


Held = Sequence[tuple[optuna.Study, list[FrozenTrial]]]


def _check_at_rest(held: Held) -> None:
    for study, trials in held:
        running = [
            trial.number
            for trial in trials
            if trial.state == TrialState.RUNNING and runs(study, trial)
        ]
        if running:
            numbers = ", ".join(map(str, running[:6]))
            raise StudyError(
                f"trials of study {study.study_name!r} are running: {numbers}",
                remedy="end the processes that run them first (Ctrl-C), or wait for them",
            )


def _make_free(target: optuna.storages.BaseStorage, held: Held, url: str) -> None:
    """Take away what a copy that was cut off has left, and nothing else."""
    there = {
        summary.study_name: summary
        for summary in optuna.get_all_study_summaries(target, include_best_trial=False)
    }
    search = held[-1][0].study_name
    whole = search in there and IDENTITY in there[search].user_attrs
    leftovers = []
    for study, _ in held:
        summary = there.get(study.study_name)
        if summary is None:
            continue
        blank = not (summary.user_attrs or summary.n_trials)
        ours = summary.user_attrs.get(COPIED, {}).get("search") == search
        if whole or not (blank or ours):
            raise StudyError(
                f"study {study.study_name!r} is in {shown_url(url)} already",
                setting=_TO,
                remedy="name another storage, or go on with the study there",
            )
        leftovers.append(study.study_name)
    for name in leftovers:
        optuna.delete_study(study_name=name, storage=target)


def _write(
    target: optuna.storages.BaseStorage, study: optuna.Study, trials: list[FrozenTrial]
) -> None:
    """One study; what it is known by comes last."""
    made = optuna.create_study(
        study_name=study.study_name, storage=target, directions=study.directions
    )
    mark = {"search": study.user_attrs.get(CONFIRMS, study.study_name), "trials": len(trials)}
    if RESCORES in study.user_attrs:
        mark["search"] = study.user_attrs[RESCORES]["study"]
    made.set_user_attr(COPIED, {**mark, "complete": False})
    add_trials(made._storage, made._study_id, [_ended(trial) for trial in trials])
    ids = {old._trial_id: new._trial_id for old, new in _pairs(trials, made)}
    held = study._storage.get_study_system_attrs(study._study_id)
    noted = moved_notes(held, ids, {study._study_id: made._study_id})
    for key, value in {**others(held), **noted}.items():
        made._storage.set_study_system_attr(made._study_id, key, _translated(key, value, ids))
    for key, value in study.user_attrs.items():
        if key not in (IDENTITY, COPIED):
            made.set_user_attr(key, value)
    made.set_user_attr(COPIED, {**mark, "complete": True})
    if IDENTITY in study.user_attrs:
        made.set_user_attr(IDENTITY, study.user_attrs[IDENTITY])


def _pairs(trials: list[FrozenTrial], made: optuna.Study) -> list[tuple[FrozenTrial, FrozenTrial]]:
    """Every trial with its copy."""
    return list(zip(trials, made.get_trials(deepcopy=False), strict=True))


def _translated(key: str, value: Any, ids: Mapping[int, int]) -> Any:
    """A genetic sampler stores the parents of a generation by their ids in the storage."""
    return [ids[one] for one in value] if ":parent:" in key else value


def _ended(trial: FrozenTrial) -> FrozenTrial:
    """The trial as it is; one whose process is gone is marked, and run again at the next start."""
    if trial.state != TrialState.RUNNING:
        return trial
    cut_off = shallow(trial)
    cut_off.state = TrialState.FAIL
    cut_off.datetime_complete = datetime.now()
    cut_off.user_attrs = {**trial.user_attrs, INTERRUPTED: True}
    return cut_off


def _send(
    file: StudyFile,
    trials: Sequence[FrozenTrial],
    url: str,
    each: Callable[[int, int], None] | None,
) -> int:
    """Files of trials to another place, those that are there already left out."""
    source, target = artefacts_of(file), artefacts_of(file, url)
    source.prepare()
    target.prepare()
    held, there = source.sizes(), (target.bucket or target).sizes()
    named = {i for trial in trials for i in ids_of(trial)}
    missing = sorted(i for i in named & held.keys() if there.get(i) != held[i])
    for done, artifact_id in enumerate(missing, start=1):
        _one(source, target, artifact_id)
        if each is not None:
            each(done, len(missing))
    return len(missing)


def _one(source: Artefacts, target: Artefacts, artifact_id: str) -> None:
    with source.open_reader(artifact_id) as file:
        target.write(artifact_id, file)
