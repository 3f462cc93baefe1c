"""What must not change while a study goes on: compared at every start, named where it differs."""

from typing import Any

import optuna

from vaeopt.core.errors import SettingsError, StudyError
from vaeopt.study.attributes import IDENTITY
from vaeopt.study.session import Session, what_counts
from vaeopt.workflow import Workflow

__all__ = ["check_same"]


def check_same(study: optuna.Study, session: Session) -> None:
    """Refuse a study whose meaning has changed since it was started.

    Raises:
        StudyError: names every setting that differs.
    """
    stored = _in_todays_words(study.user_attrs[IDENTITY])
    now = session.identity()
    differences = _differences(stored, now)
    directions = [d.name.lower() for d in study.directions]
    if directions != session.file.settings.directions:
        differences.append("directions of the rewards")
    if differences:
        shown = ", ".join(differences[:6]) + (" ..." if len(differences) > 6 else "")
        raise StudyError(
            f"study {study.study_name!r} was started with other settings: {shown}",
            setting="name",
            remedy="give the changed study a new name, or put the settings back",
        )


def _in_todays_words(identity: Any) -> Any:
    """The identity with the defaults of settings that did not exist when it was written."""
    try:
        return {**identity, "workflow": what_counts(Workflow(**identity["workflow"]))}
    except (SettingsError, KeyError, TypeError):  # another version: compare what is there
        return identity


def _differences(stored: Any, now: Any, path: str = "") -> list[str]:
    """Dotted paths at which two JSON tables differ, with both values where they are short."""
    if isinstance(stored, dict) and isinstance(now, dict):
        found: list[str] = []
        for key in sorted(stored.keys() | now.keys()):
            where = f"{path}.{key}" if path else key
            found += _differences(stored.get(key), now.get(key), where)
        return found
    if stored == now:
        return []
    was, new = str(stored), str(now)
    return [f"{path} (was {was}, is {new})" if len(was + new) < 60 else path]
