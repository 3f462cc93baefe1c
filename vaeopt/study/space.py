"""The search space: which settings vary, over what, and how a trial's numbers become settings."""

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Self

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic import BeforeValidator, model_validator

from vaeopt.core.errors import Mistake, SettingsError
from vaeopt.core.settings import Settings, nearest
from vaeopt.stages.rewards.base import with_parts
from vaeopt.workflow import Workflow

__all__ = ["SearchEntry", "SearchSpace", "flatten"]

_SAMPLING_ORDER = (
    "patches.size_px",
    "vae.invariances",
    "vae.latent_dim",
    "vae.kl_scale",
    "vae.width",
    "vae.depth",
    "vae.",
    "keypoints.",
    "latent_filter.",
    "density_filter.",
    "mixture.",
    "bayesian.",
)
# What all trials of a study must share for their scores to compare.
_CONSTANT = (
    "replicates",
    "stop_collapsed",
    "latents",
    "mixture.max_points",
    "mixture.subsets",
    "bayesian.max_points",
    "bayesian.subsets",
)


def _finite(value: object) -> object:
    # Before the union below is tried: each of its members would complain by itself.
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):  # TOML has integers of any length
            if math.isfinite(value):
                return value
    raise ValueError("expected a finite number")


Number = Annotated[int | float, BeforeValidator(_finite)]


class SearchEntry(Settings):
    """What one setting may be: a range (low, high, optional step or log) or a list of choices."""

    low: Number | None = None
    """lower end, included"""
    high: Number | None = None
    """upper end, included"""
    step: Number | None = None
    """distance between allowed values"""
    log: bool = False
    """whether values are drawn evenly in the logarithm"""
    choices: list[Any] | None = None
    """allowed values, instead of a range"""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        problem = self._choices_problem() if self.choices is not None else self._range_problem()
        if problem:
            raise ValueError(problem)
        return self

    def _choices_problem(self) -> str:
        if self.low is not None or self.high is not None or self.step is not None or self.log:
            return "give either choices or low and high, not both"
        try:
            texts = [json.dumps(choice) for choice in self.choices or ()]
        except TypeError:  # TOML has dates and times, JSON has not
            return "choices must be words, numbers, booleans or lists of them"
        if not texts:
            return "choices is empty"
        return "choices holds the same value twice" if len(set(texts)) < len(texts) else ""

    def _range_problem(self) -> str:
        if self.low is None or self.high is None:
            return "give low and high, or choices"
        if self.low > self.high:
            return f"impossible range: low {self.low} is above high {self.high}"
        if self.log and (self.low <= 0 or self.step is not None):
            return "log needs low above 0 and no step"
        if self.step is None:
            return ""
        if self.step <= 0:
            return f"step must be above 0, got {self.step}"
        steps = (self.high - self.low) / self.step
        if abs(steps - round(steps)) < 1e-9:
            return ""
        top = self.low + int(steps) * self.step
        return f"high {self.high} is not low plus a whole number of steps; use {top:g}"

    @property
    def ends(self) -> list[Any]:
        """The values that must be valid for the whole entry to be."""
        return list(self.choices) if self.choices is not None else [self.low, self.high]


def flatten(table: Mapping[str, Any]) -> dict[str, Any]:
    """Join nested tables into dotted paths: TOML reads an unquoted ``a.b`` key as a table.

    >>> flatten({"vae": {"latent_dim": {"low": 1, "high": 4}}})
    {'vae.latent_dim': {'low': 1, 'high': 4}}
    """
    flat: dict[str, Any] = {}
    for key, value in table.items():
        nested = isinstance(value, Mapping) and any(isinstance(v, Mapping) for v in value.values())
        if nested and not set(value) & set(SearchEntry.model_fields):
            flat |= {f"{key}.{inner}": entry for inner, entry in flatten(value).items()}
        else:
            flat[key] = value
    return flat


def _label(value: Any) -> str | int | float | bool | None:
    """A choice as Optuna stores it: sets of invariances as in a legend, other lists as JSON."""
    if isinstance(value, list):
        words = all(isinstance(word, str) for word in value)
        return ("+".join(value) or "none") if words else json.dumps(value)
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True)
    return value  # type: ignore[no-any-return]  # a scalar of TOML


@dataclass(frozen=True)
class SearchSpace:
    """A checked search space over a workflow."""

    workflow: Workflow
    entries: Mapping[str, SearchEntry]
    distributions: Mapping[str, BaseDistribution]

    @classmethod
    def build(cls, workflow: Workflow, entries: Mapping[str, SearchEntry]) -> "SearchSpace":
        """Check every path and both ends of every range, and order the parameters.

        Raises:
            SettingsError: all mistakes at once.
        """
        mistakes: list[Mistake] = []
        distributions: dict[str, BaseDistribution] = {}
        for path in sorted(entries, key=_rank):
            try:
                distributions[path] = _distribution(workflow, path, entries[path])
            except SettingsError as error:
                mistakes += error.below(path).mistakes
        if mistakes:
            raise SettingsError(mistakes)
        return cls(workflow, dict(entries), distributions)

    def settings_for(self, params: Mapping[str, Any]) -> Workflow:
        """The workflow of a trial with these parameters."""
        values: dict[str, Any] = {}
        for path, value in params.items():
            choices = self.entries[path].choices
            decode = {} if choices is None else {_label(choice): choice for choice in choices}
            values[path] = decode.get(value, value)
        return self.workflow.with_values(values)

    def values_of(self, path: str) -> list[Any] | None:
        """Every value that a parameter can take, as stored; None if there are too many."""
        distribution = self.distributions[path]
        if isinstance(distribution, CategoricalDistribution):
            return list(distribution.choices)
        assert isinstance(distribution, IntDistribution | FloatDistribution)
        low, high, step = distribution.low, distribution.high, distribution.step
        if step is None:
            return [low] if low == high else None
        # In decimals, as Optuna counts: 0.1 + 2 * 0.1 is above 0.3 in binary.
        first, distance = Decimal(str(low)), Decimal(str(step))
        count = round((Decimal(str(high)) - first) / distance) + 1
        return [type(low)(first + i * distance) for i in range(count)]

    def grid(self) -> dict[str, list[Any]] | None:
        """Values of every parameter if the space is finite, else None."""
        values = {path: self.values_of(path) for path in self.distributions}
        if any(v is None for v in values.values()):
            return None
        return {path: v for path, v in values.items() if v is not None}

    @property
    def n_points(self) -> int | None:
        """Number of points of a finite space."""
        grid = self.grid()
        if grid is None:
            return None
        count = 1
        for values in grid.values():
            count *= len(values)
        return count

    def windows_px(self) -> tuple[int, int]:
        """Smallest and largest window of the space."""
        entry = self.entries.get("patches.size_px")
        sizes = entry.ends if entry is not None else [self.workflow.patches.size_px]
        return min(sizes), max(sizes)

    def corners(self, prefix: str, *, most: int = 64) -> Iterator[Workflow]:
        """The workflow at every combination of ends of the parameters below ``prefix``."""
        paths = [path for path in self.entries if path.startswith(prefix)]
        ends = [self.entries[path].ends for path in paths]
        for combination in itertools.islice(itertools.product(*ends), most):
            yield self.workflow.with_values(dict(zip(paths, combination, strict=True)))

    def warnings(self) -> list[str]:
        """What is allowed but makes scores hard to compare, in words."""
        found: list[str] = []
        for path in self.entries:
            if path.startswith("keypoints."):
                found.append(f"{path}: trials see different key points; scores compare loosely")
            if path.startswith("latent_filter."):
                found.append(f"{path}: the search may prefer the filter that lets most through")
            spaces = ("mixture.space", "bayesian.space")
            if path.startswith("density_filter.") or path in spaces:
                found.append(f"{path}: scores with different values of it do not compare")
        if "vae.latent_dim" in self.entries:
            found.extend(
                f"vae.latent_dim: values of {reward.label!r} do not compare across it; use gain"
                for reward in self.workflow.rewards
                if not all(part.compares_across_latent_dim for part in with_parts(reward))
            )
        if len(self.workflow.rewards) > 3:
            count = len(self.workflow.rewards)
            found.append(f"rewards: {count} objectives put nearly every trial on the front")
        return found


def _rank(path: str) -> int:
    """Place of a parameter in the order of sampling."""
    ranks = (
        i
        for i, start in enumerate(_SAMPLING_ORDER)
        if path == start or (start.endswith(".") and path.startswith(start))
    )
    return next(ranks, len(_SAMPLING_ORDER))


def _distribution(workflow: Workflow, path: str, entry: SearchEntry) -> BaseDistribution:
    """Optuna's distribution for one entry, after everything about it has been checked."""
    _check_path(workflow, path)
    mistakes: list[Mistake] = []
    meant: list[Workflow] = []
    for value in entry.ends:
        try:
            meant.append(workflow.with_values({path: value}))
        except SettingsError as error:
            mistakes += [
                Mistake((), f"{value!r} is not allowed: {m.message}") for m in error.mistakes
            ]
    if mistakes:
        raise SettingsError(mistakes)
    if entry.choices is not None:
        for i, settings in enumerate(meant):
            if settings in meant[:i]:
                text = f"{entry.choices[i]!r} means the same as an earlier choice"
                raise SettingsError([Mistake(("choices",), text)])
        return CategoricalDistribution([_label(choice) for choice in entry.choices])
    low, high = entry.low, entry.high
    assert low is not None  # checked in SearchEntry
    assert high is not None
    if _takes_floats(workflow, path, low):
        return FloatDistribution(low, high, step=entry.step, log=entry.log)
    step = 1 if entry.step is None else int(entry.step)
    if entry.step is not None and step != entry.step:
        text = f"the setting is a whole number: step must be one too, got {entry.step}"
        raise SettingsError([Mistake((), text)])
    return IntDistribution(int(low), int(high), step=step, log=entry.log)


def _takes_floats(workflow: Workflow, path: str, value: float) -> bool:
    """Whether the setting is a real number (strict settings refuse 3.0 for an integer)."""
    try:
        workflow.with_values({path: float(value)})
    except SettingsError:
        return False
    return True


def _check_path(workflow: Workflow, path: str) -> None:
    """Refuse paths that do not exist and those that must not vary within a study."""
    stage, *rest = path.split(".")
    table: Any = workflow.to_table()
    if stage in ("rewards", "scores"):
        text = "a reward must stay the same within a study; weigh the front afterwards"
        raise SettingsError([Mistake((), text)])
    if path in _CONSTANT or (rest and rest[-1] in ("kind", "path", "device")):
        raise SettingsError([Mistake((), "cannot be searched; fix it under [workflow]")])
    for part in (stage, *rest):
        if not isinstance(table, dict) or part not in table:
            known = table if isinstance(table, dict) else {}
            raise SettingsError([Mistake((), f"no such setting; {nearest(part, known)}")])
        table = table[part]
    if isinstance(table, dict):
        text = f"is a table; search one of its settings ({', '.join(table)})"
        raise SettingsError([Mistake((), text)])
