"""What must not change while a study goes on: compared at every start, named where it differs."""

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any, NamedTuple

import optuna

from vaeopt.core.errors import ChangedError, Mistake, SettingsError, StudyError
from vaeopt.core.settings import nearest
from vaeopt.study.attributes import ACCEPTED, IDENTITY
from vaeopt.study.session import Session, what_counts
from vaeopt.workflow import Workflow

__all__ = [
    "Difference",
    "accepted_lines",
    "accepted_names",
    "check_acceptable",
    "check_same",
    "refuse_changes",
    "unequal",
]

# By the name that accepts them: parts of the identity that leave values comparable.
_ACCEPTABLE = {
    "duplicates": ("duplicates", "max_replicates"),
    "plugins": ("plugins",),
    "sampler": ("sampler",),
}
_STEERING = ("duplicates", "sampler")  # what is asked for next, not what it is worth
_OPTION = "--accept"


class Difference(NamedTuple):
    """One thing that is not as it was."""

    path: str
    was: Any
    now: Any

    @property
    def accepted_by(self) -> str | None:
        """The name that lets it through, if any does."""
        top = self.path.split(".")[0]
        return next((name for name, parts in _ACCEPTABLE.items() if top in parts), None)

    def __str__(self) -> str:
        return f"was {_short(self.was)}, is {_short(self.now)}"


def check_same(
    study: optuna.Study,
    session: Session,
    *,
    accept: Collection[str] = (),
    asks: bool = False,
) -> None:
    """Refuse a study whose meaning has changed since it was started; note what was accepted.

    Args:
        study: made by vaeopt before.
        session: of the study file as it is now.
        accept: ``sampler``, ``duplicates`` or ``plugins``: differences that are let through, and
            noted in the study if it is to go on.
        asks: whether the study is to go on; if not, what only steers it does not count.

    Raises:
        ChangedError: names every setting that differs; nothing has been written then.
        StudyError: something cannot be accepted.
    """
    names = refuse_changes(study, session, accept=accept, asks=asks)
    if names and asks:
        _note(study, session, names)


def refuse_changes(
    study: optuna.Study, session: Session, *, accept: Collection[str], asks: bool
) -> list[str]:
    """The same, writing nothing; returns the names of what was accepted."""
    for name in accept:
        check_acceptable(name)
    found = _differences(study, session)
    if not asks:
        found = [one for one in found if one.accepted_by not in _STEERING]
    if any(one.accepted_by is None or one.accepted_by not in accept for one in found):
        raise _changed(study, found, asks)
    return sorted({str(one.accepted_by) for one in found})


def check_acceptable(name: str) -> None:
    """Refuse what ``--accept`` does not know.

    Raises:
        StudyError: this name cannot be accepted.
    """
    if name in _ACCEPTABLE:
        return
    if name == "seed":
        reason = "it decides which points are fitted, so values would not compare"
        raise StudyError(
            f"a changed seed cannot be accepted: {reason}",
            setting=_OPTION,
            remedy="give the changed study a new name",
        )
    raise StudyError(
        f"{name!r} cannot be accepted; {nearest(name, _ACCEPTABLE)}",
        setting=_OPTION,
        remedy="give the changed study a new name",
    )


def _changed(study: optuna.Study, found: Sequence[Difference], asks: bool) -> ChangedError:
    names = {one.accepted_by for one in found}
    remedy = "give the changed study a new name, or put the settings back"
    if asks and None not in names:
        remedy += f", or go on with {_OPTION} {','.join(sorted(map(str, names)))}"
    return ChangedError(
        f"study {study.study_name!r} was started with other settings",
        [Mistake((one.path,), str(one)) for one in found],
        setting="name",
        remedy=remedy,
    )


def _note(study: optuna.Study, session: Session, names: Sequence[str]) -> None:
    """Take over what was accepted, and keep what it was before."""
    identity, now = study.user_attrs[IDENTITY], session.identity()
    when = datetime.now(UTC).isoformat(timespec="seconds")
    notes = list(study.user_attrs.get(ACCEPTED, ()))
    for name in names:
        was = {part: identity.get(part) for part in _ACCEPTABLE[name]}
        new = {part: now[part] for part in _ACCEPTABLE[name]}
        first = len(study.get_trials(deepcopy=False))
        notes.append({"name": name, "was": was, "is": new, "from_trial": first, "when": when})
        identity |= new
    study.set_user_attr(ACCEPTED, notes)  # first: no change without a note
    study.set_user_attr(IDENTITY, identity)


def accepted_names(study: optuna.Study) -> set[str]:
    """What was accepted in this study so far."""
    return {note["name"] for note in study.user_attrs.get(ACCEPTED, ())}


def accepted_lines(study: optuna.Study) -> list[str]:
    """What was accepted, one line each."""
    return [
        f"{note['name']} changed from trial {note['from_trial']} on: "
        + "; ".join(f"{one.path} {one}" for one in unequal(note["was"], note["is"]))
        for note in study.user_attrs.get(ACCEPTED, ())
    ]


def _differences(study: optuna.Study, session: Session) -> list[Difference]:
    now = session.identity()
    found = unequal(_in_todays_words(study.user_attrs[IDENTITY], session), now)
    if any(one.path == "seed" for one in found):  # says the same twice
        found = [one for one in found if one.path != "comparison.seed"]
    was, aims = [d.name.lower() for d in study.directions], session.file.settings.directions
    if was != aims:
        found.append(Difference("directions of the rewards", ", ".join(was), ", ".join(aims)))
    return found


def _in_todays_words(identity: Any, session: Session) -> Any:
    """The identity with the defaults of settings that did not exist when it was written."""
    now = session.identity()
    known = {"plugins": now["plugins"], **identity}  # unknown is not compared
    if "duplicates" not in identity:
        # No policy was known then: repeats were trained as they came, where there could be any.
        settings = session.file.settings
        matters = bool(settings.search) and not settings.optuna.sampler.finite_space
        known["duplicates"] = "allow" if matters else now["duplicates"]
        known["max_replicates"] = None if matters else now["max_replicates"]
    try:
        return {**known, "workflow": what_counts(Workflow(**identity["workflow"]))}
    except (SettingsError, KeyError, TypeError):  # another version: compare what is there
        return known


def unequal(stored: Any, now: Any, path: str = "") -> list[Difference]:
    """Dotted paths at which two JSON tables differ, with both values."""
    if isinstance(stored, dict) and isinstance(now, dict):
        found: list[Difference] = []
        for key in sorted(stored.keys() | now.keys()):
            where = f"{path}.{key}" if path else key
            found += unequal(stored.get(key), now.get(key), where)
        return found
    if isinstance(stored, list) and isinstance(now, list):
        pairs = enumerate(zip_longest(stored, now))
        return [one for i, (was, new) in pairs for one in unequal(was, new, f"{path}[{i}]")]
    return [] if stored == now else [Difference(path, stored, now)]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    if value is None:
        text = "none"
    return text if len(text) <= 60 else f"{text[:20]}..."
