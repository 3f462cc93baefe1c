"""The Optuna storage of a study: where it is, opening it, and who may write next."""

from vaeopt.study.storage.away import LostError, NotOpenedError, StorageError, again_if_lost
from vaeopt.study.storage.backends import closed, open_storage
from vaeopt.study.storage.cached import set_attributes
from vaeopt.study.storage.exclusive import backend_of, exclusive
from vaeopt.study.storage.opening import create_or_load, load_study
from vaeopt.study.storage.together import together
from vaeopt.study.storage.urls import shown_url, storage_url

__all__ = [
    "LostError",
    "NotOpenedError",
    "StorageError",
    "again_if_lost",
    "backend_of",
    "closed",
    "create_or_load",
    "exclusive",
    "load_study",
    "open_storage",
    "set_attributes",
    "shown_url",
    "storage_url",
    "together",
]
