"""How much of what can be reached is reached, beside what random search would have reached."""

from typing import NamedTuple

import numpy as np
import optuna
import pandas as pd
import plotly.graph_objects as go
from optuna.trial import FrozenTrial

from vaeopt.core.types import Bools, Floats, Ints
from vaeopt.report.figures.front import directions_of
from vaeopt.report.palette import component_colour
from vaeopt.report.style import INK, Direction, arrowed, blank, numbers, styled
from vaeopt.study.attributes import IDENTITY
from vaeopt.study.fronts.chebyshev import scaled
from vaeopt.study.fronts.hypervolume import hypervolume_history, running_hypervolume
from vaeopt.study.fronts.pareto import costs, feasible, finished
from vaeopt.study.results.access import metric_names

__all__ = ["HypervolumeInfo", "draw_hypervolume", "hypervolume_frame", "hypervolume_info"]

_ORDERS = 100
_FEWEST = 4  # random draws that a band can be made of


class HypervolumeInfo(NamedTuple):
    """What is reached after each finished trial."""

    name: str
    """of the study"""
    quantity: str
    """``hypervolume``, or the objective if there is only one"""
    direction: Direction
    finished: Ints
    value: Floats
    """after each finished trial; NaN before the first feasible one if it is an objective"""
    baseline: str
    """what it is compared with; empty if with nothing"""
    baseline_finished: Ints
    baseline_value: Floats
    """of one study, or the mean over random orders"""
    low: Floats
    high: Floats
    """5th and 95th percentile over random orders; empty for one study"""
    caption: str
    """what the baseline is, and what it is not"""


def hypervolume_info(study: optuna.Study, baseline: optuna.Study | None = None) -> HypervolumeInfo:
    """Hypervolume, or the best value of one objective, against finished trials.

    Args:
        study: with or without finished trials.
        baseline: a study of the same objectives, by random search for example. Without one, the
            random trials that the sampler began with, in random order, stand in; where it is not
            known which these are, all trials in random order do.

    Raises:
        StudyError: the baseline has other objectives.
    """
    several = len(study.directions) > 1
    history = hypervolume_history(study, baseline)  # refuses other objectives in any case
    value = history if several else _best(study)
    empty: Floats = np.zeros(0)
    band: tuple[Floats, Floats, Floats] = (empty, empty, empty)
    if baseline is not None:
        other = hypervolume_history(baseline, study) if several else _best(baseline)
        name, band = baseline.study_name, (np.asarray(other), empty, empty)
        caption = f"The other line is the study {baseline.study_name!r}."
    else:
        name, pool, caption = _stand_in(study)
        if name:
            band = _random_orders(study, pool)
    return HypervolumeInfo(
        name=study.study_name,
        quantity="hypervolume" if several else metric_names(study)[0],
        direction="maximize" if several else directions_of(study)[0],
        finished=np.arange(1, len(value) + 1),
        value=value,
        baseline=name,
        baseline_finished=np.arange(1, len(band[0]) + 1),
        baseline_value=band[0],
        low=band[1],
        high=band[2],
        caption=caption,
    )


def _best(study: optuna.Study) -> Floats:
    counted = {trial.number for trial in feasible(study)}
    sign = 1.0 if directions_of(study)[0] == "minimize" else -1.0
    values = [sign * t.values[0] if t.number in counted else np.inf for t in finished(study)]
    best = np.minimum.accumulate(np.asarray(values, np.float64)) if values else np.zeros(0)
    return np.where(np.isfinite(best), sign * best, np.nan)


def _stand_in(study: optuna.Study) -> tuple[str, list[FrozenTrial], str]:
    """Name, trials and caption of what stands in for a random search that was not made."""
    sampler = study.user_attrs.get(IDENTITY, {}).get("sampler") or {}
    kind, trials = sampler.get("kind"), finished(study)
    ask = "Compare with a random search of the same length by --baseline."
    if kind in ("random", "grid", "brute-force"):
        return "", [], f"The points were chosen by {kind!r}, without learning: there is no band."
    drawn = [t for t in trials if "fixed_params" not in t.system_attrs]
    if kind in ("nsga2", "nsga3"):
        random = [t for t in drawn if _generation(t) == 0]
    elif kind in ("tpe", "gp"):
        random = [t for t in drawn if t.number < sampler.get("n_startup_trials", 0)]
    else:
        random = []
    if len(random) >= _FEWEST:
        return (
            "random draws",
            random,
            f"The grey band is random search as far as it is known: the {len(random)} random "
            f"trials that {kind!r} began with, in random order (mean, 5 % to 95 % of {_ORDERS} "
            f"orders). It ends with them and says nothing of a longer random search. {ask}",
        )
    if kind is None and len(trials) >= _FEWEST:
        return (
            "same trials, random order",
            trials,
            "The grey band is the same trials in random order (mean, 5 % to 95 % of "
            f"{_ORDERS} orders): above it, good ones were found early. It is not a random search, "
            f"which would have found other points. {ask}",
        )
    return "", [], f"Too few random trials for a band. {ask}"


def _generation(trial: FrozenTrial) -> int | None:
    found = [v for k, v in trial.system_attrs.items() if k.endswith("Sampler:generation")]
    return found[0] if found else None


def _random_orders(study: optuna.Study, pool: list[FrozenTrial]) -> tuple[Floats, Floats, Floats]:
    """Mean, 5th and 95th percentile of what the first one, two, ... of the pool reach."""
    empty = np.zeros(0)
    counted = {trial.number for trial in feasible(study)}
    if not counted:
        return empty, empty, empty
    good: Bools = np.asarray([trial.number in counted for trial in pool], bool)
    values, known = costs(study, pool), costs(study, feasible(study))
    several = values.shape[1] > 1
    places = scaled(values, known)
    rng = np.random.default_rng(0)
    runs = []
    for _ in range(_ORDERS):
        order = rng.permutation(len(pool))
        if several:
            runs.append(running_hypervolume(places[order], good[order]))
        else:
            one = np.where(good[order], values[order, 0], np.inf)
            runs.append(np.minimum.accumulate(one))
    table = np.asarray(runs)
    known_in_all = np.isfinite(table).all(axis=0)
    table = np.where(known_in_all, table, np.nan)
    sign = -1.0 if not several and directions_of(study)[0] == "maximize" else 1.0
    low, high = (np.full(len(pool), np.nan) for _ in range(2))
    mean = low.copy()
    mean[known_in_all] = table[:, known_in_all].mean(axis=0)
    low[known_in_all], high[known_in_all] = np.percentile(table[:, known_in_all], (5, 95), axis=0)
    ends = (low, high) if sign > 0 else (-high, -low)
    return sign * mean, *ends


def hypervolume_frame(info: HypervolumeInfo) -> pd.DataFrame:
    """One row per number of finished trials and line."""
    parts = [
        pd.DataFrame({"line": info.name, "finished trials": info.finished, "value": info.value})
    ]
    if info.baseline:
        other = {
            "line": info.baseline,
            "finished trials": info.baseline_finished,
            "value": info.baseline_value,
        }
        if len(info.low):
            other |= {"5 %": info.low, "95 %": info.high}
        parts.append(pd.DataFrame(other))
    return pd.concat(parts, ignore_index=True).rename(columns={"value": info.quantity})


def draw_hypervolume(info: HypervolumeInfo) -> go.Figure:
    """Steps of the study over those, or the band, of its baseline."""
    if not len(info.finished):
        return blank("no trial has finished yet")
    figure = go.Figure()
    x, grey = info.baseline_finished.tolist(), "#777777"
    if len(info.low):
        figure.add_scatter(
            x=[*x, *x[::-1]],
            y=numbers([*info.high, *info.low[::-1]]),
            mode="none",
            fill="toself",
            fillcolor="rgba(120,120,120,0.22)",
            name="5 % to 95 %",
            hoverinfo="skip",
        )
    if info.baseline:
        figure.add_scatter(
            x=x,
            y=numbers(info.baseline_value),
            mode="lines",
            name=info.baseline,
            line={"color": grey, "width": 2, "dash": "dash", "shape": "hv"},
        )
    figure.add_scatter(
        x=info.finished.tolist(),
        y=numbers(info.value),
        mode="lines",
        name=info.name,
        line={"color": component_colour(0), "width": 2.5, "shape": "hv"},
    )
    title = (
        "hypervolume (scaled, higher is better →)"
        if info.quantity == "hypervolume"
        else f"best {arrowed(info.quantity, info.direction)}"
    )
    figure.update_layout(showlegend=True)
    styled(figure, "finished trials", title, height=420)
    figure.update_layout(legend={"font": {"color": INK}})
    return figure
