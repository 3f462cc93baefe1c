"""Which rewards are computed for every training: all that can be, in all their forms."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import Field

from vaeopt.core.errors import Mistake, SettingsError
from vaeopt.core.settings import Settings, Tuple
from vaeopt.stages.rewards import Reward
from vaeopt.stages.rewards.base import trainings_compared, with_parts
from vaeopt.workflow import Workflow

__all__ = [
    "Direction",
    "ScoreSettings",
    "Target",
    "check_columns",
    "columns_of",
    "directions_of",
]

Direction = Literal["minimize", "maximize"]
Target = Literal["ari_true_k", "ami_true_k", "ari_own_true_k", "ari_chosen", "ami_chosen", "knn15"]


class ScoreSettings(Settings):
    """Which rewards become columns of the table, beside those of the workflow."""

    components: Annotated[tuple[int, int], Tuple] = (3, 6)
    """first and last K of rewards that look at a fixed number of components"""
    bayesian: bool = True
    """also those of the Bayesian mixture, whose fit takes seconds"""
    without: Annotated[tuple[str, ...], Tuple] = ()
    """kinds that are left out, such as slow ones"""
    target: Target = "ari_true_k"
    """metric of the truth that rewards are judged by"""
    rank_sums: dict[str, Annotated[tuple[str, ...], Tuple, Field(min_length=2)]] = Field(
        default_factory=dict
    )
    """name of a combination: columns whose ranks among the configurations of a scene are summed"""


def columns_of(workflow: Workflow, scores: ScoreSettings) -> list[Reward]:
    """Every reward that one training of this workflow has a value of.

    Those that the workflow names come first; then every kind with its defaults, with every value of
    a setting that has a few named ones, one setting at a time, and at every K asked for.
    """
    found: dict[str, Reward] = {}
    for reward in (*workflow.values, *_all(scores)):
        if _computable(workflow, scores, reward):
            found.setdefault(reward.label, reward)
    return list(found.values())


def directions_of(
    workflow: Workflow, views: Mapping[str, Workflow], scores: ScoreSettings
) -> dict[str, Direction]:
    """Direction of every column by its name: a label, ``view.label`` for one of a view."""
    found = {reward.label: reward.direction for reward in columns_of(workflow, scores)}
    return found | {
        f"{name}.{reward.label}": reward.direction
        for name, view in views.items()
        for reward in view.values
    }


def check_columns(
    workflow: Workflow, views: Mapping[str, Workflow], scores: ScoreSettings
) -> list[Mistake]:
    """What is wrong with the choice of columns."""
    mistakes = []
    low, high = scores.components
    first, last = getattr(workflow.mixture, "components", (low, high))
    if not 2 <= low <= high:
        text = f"expected two rising numbers from 2, got [{low}, {high}]"
        mistakes.append(Mistake(("scores", "components"), text))
    elif not first <= low <= high <= last:
        text = f"[{low}, {high}] must lie within workflow.mixture.components [{first}, {last}]"
        mistakes.append(Mistake(("scores", "components"), text))
    for i, kind in enumerate(scores.without):
        try:
            Reward.of_kind(kind)
        except SettingsError as error:
            mistakes += [Mistake(("scores", "without", i), m.message) for m in error.mistakes]
    if mistakes:
        return mistakes
    labels = directions_of(workflow, views, scores)
    for name, parts in scores.rank_sums.items():
        place = ("scores", "rank_sums", name)
        if name in labels:
            mistakes.append(Mistake(place, "is the label of a reward; choose another name"))
        unknown = [part for part in parts if part not in labels]
        if unknown:
            text = f"no column {unknown[0]!r} (columns: {', '.join(labels)})"
            mistakes.append(Mistake(place, text))
    return mistakes


def _all(scores: ScoreSettings) -> Iterator[Reward]:
    excluded = {Reward.of_kind(kind).kind for kind in scores.without}
    for kind in Reward.kinds():
        cls = Reward.of_kind(kind)
        if kind in excluded or inspect.isabstract(cls):
            continue
        for settings in _variants(cls, range(scores.components[0], scores.components[1] + 1)):
            try:
                yield cls(**settings)
            except SettingsError:  # it needs settings or a library that are not there
                continue


def _variants(cls: type[Reward], components: range) -> Iterator[dict[str, Any]]:
    """Tables of settings that differ from the defaults in one of them."""
    yield {}
    for name, field in cls.model_fields.items():
        named = list(_named(field.annotation))
        values: list[Any] = named
        if name == "components":  # one K, or the first and last of several
            values = [*components, *((k, k) for k in components), *named]
        yield from ({name: value} for value in values if value != field.default)


def _named(annotation: object) -> Iterator[str]:
    """The words among the values that a setting may have."""
    if get_origin(annotation) is Literal:
        yield from (value for value in get_args(annotation) if isinstance(value, str))
        return
    for part in get_args(annotation):
        if get_origin(part) is not None:
            yield from _named(part)


def _computable(workflow: Workflow, scores: ScoreSettings, reward: Reward) -> bool:
    """Whether a training has a value of it, as far as settings decide."""
    if reward.mistake or trainings_compared(reward) > workflow.replicates:
        return False
    parts = with_parts(reward)
    if not scores.bayesian and any("bayesian" in part.needs for part in parts):
        return False
    needed = {k for part in parts for k in part.components_needed}
    first, last = getattr(workflow.mixture, "components", (1, 0))
    return all(first <= k <= last for k in needed)
