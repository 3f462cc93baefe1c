"""What Optuna says of itself, silenced while we say what happens."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import optuna

__all__ = ["name_metrics", "quiet_optuna"]


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Warnings only, inside the block."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def name_metrics(study: optuna.Study, names: Sequence[str] | None) -> None:
    """Names of the values, which the dashboard shows; "experimental" since Optuna 3.2."""
    if names is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(list(names))
