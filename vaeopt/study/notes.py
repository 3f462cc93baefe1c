"""Notes of trials where optuna-dashboard keeps them: in system attributes of the study.

A trial is known there by its id in the storage, and a note may hold links with such ids, so notes
change when a study moves. Semi-private in optuna-dashboard: a test pins it.
"""

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["first_note", "moved_notes", "notes_in", "others"]

_PIECE = 2045  # characters of a note in one attribute
_KEY = re.compile(r"dashboard:(?:(\d+):)?note_(?:ver|str:(\d+))")
_LINK = re.compile(r"/artifacts/(\d+)/(?:(\d+)/)?(?=[0-9a-fA-F-]+)")


def first_note(trial_id: int | None, text: str, *, version: int = 1) -> dict[str, Any]:
    """Attributes that hold a note of a trial, or of the study, that has had none.

    As ``optuna_dashboard.save_note``, which reads the notes of all trials before.
    """
    start = "dashboard:" if trial_id is None else f"dashboard:{trial_id}:"
    pieces = [text[i : i + _PIECE] for i in range(0, len(text), _PIECE)]
    held = {f"{start}note_str:{place}": piece for place, piece in enumerate(pieces)}
    return {f"{start}note_ver": version} | held


def notes_in(attributes: Mapping[str, Any]) -> dict[int | None, tuple[int, str]]:
    """Version and text of every note, by the id of its trial; None for that of the study."""
    versions: dict[int | None, int] = {}
    pieces: dict[int | None, dict[int, str]] = {}
    for key, value in attributes.items():
        match = _KEY.fullmatch(key)
        if match is None:
            continue
        trial = None if match[1] is None else int(match[1])
        if match[2] is None:
            versions[trial] = int(value)
        else:
            pieces.setdefault(trial, {})[int(match[2])] = value
    texts = {t: "".join(there[i] for i in sorted(there)) for t, there in pieces.items()}
    return {trial: (version, texts.get(trial, "")) for trial, version in versions.items()}


def others(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that belong to no note."""
    return {key: value for key, value in attributes.items() if not _KEY.fullmatch(key)}


def moved_notes(
    attributes: Mapping[str, Any], trials: Mapping[int, int], studies: Mapping[int, int]
) -> dict[str, Any]:
    """The notes of a study for another storage, with links that lead to its files there.

    Args:
        attributes: system attributes of the study where it was.
        trials: ids of its trials there, by those where it was; notes of others are left out.
        studies: the same for the study.
    """

    def there(match: re.Match[str]) -> str:
        study, trial = int(match[1]), match[2] and int(match[2])
        if study not in studies or (trial and trial not in trials):
            return match[0]  # a link to somewhere else
        return f"/artifacts/{studies[study]}/" + (f"{trials[trial]}/" if trial else "")

    moved: dict[str, Any] = {}
    for trial, (version, text) in notes_in(attributes).items():
        if trial is None or trial in trials:
            place = None if trial is None else trials[trial]
            moved |= first_note(place, _LINK.sub(there, text), version=version)
    return moved
