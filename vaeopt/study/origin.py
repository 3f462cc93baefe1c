"""Which study file an Optuna study in memory came from, so that its files can be found again."""

from weakref import WeakKeyDictionary

import optuna

from vaeopt.core.errors import StudyError
from vaeopt.study.file import StudyFile

__all__ = ["came_from", "origin_of"]

_origins: "WeakKeyDictionary[optuna.Study, StudyFile]" = WeakKeyDictionary()


def came_from(study: optuna.Study, file: StudyFile) -> optuna.Study:
    """Remember it for as long as the study is held; returns the study."""
    _origins[study] = file
    return study


def origin_of(study: optuna.Study) -> StudyFile:
    """The study file that a study was opened with.

    Raises:
        StudyError: it was opened by Optuna alone, which knows neither the image nor the place of
            the files.
    """
    file = _origins.get(study)
    if file is None:
        raise StudyError(
            f"nobody knows the study file of this study {study.study_name!r}",
            remedy="give the study folder, or a study from vo.load_study or vo.optimize",
        )
    return file
