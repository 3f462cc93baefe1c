"""The Optuna storage of a study: where it is, opening it, and who may write next."""

from vaeopt.study.storage.cached import set_attributes
from vaeopt.study.storage.exclusive import exclusive
from vaeopt.study.storage.opening import create_or_load, load_study
from vaeopt.study.storage.together import together
from vaeopt.study.storage.urls import shown_url, storage_url

__all__ = [
    "create_or_load",
    "exclusive",
    "load_study",
    "set_attributes",
    "shown_url",
    "storage_url",
    "together",
]
