"""From a study to the facts about its winner; reads records only, no files of trials."""

import math
import shlex
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from vaeopt.core.errors import VaeoptError
from vaeopt.report.figures import picks_frame
from vaeopt.report.page.words import Confirmed, Edge, Facts, Objective, Pick, RunnerUp
from vaeopt.study.asking.repeats import mean_of, over_trainings
from vaeopt.study.fronts.hypervolume import hypervolume_history
from vaeopt.study.fronts.pareto import by_compromise, costs, feasible, finished, front, margin
from vaeopt.study.fronts.preferences import win_share
from vaeopt.study.results.access import metric_names
from vaeopt.study.results.confirm import CONFIRM
from vaeopt.study.results.records import scores_in, settings_of
from vaeopt.study.results.verdict import verdict_lines
from vaeopt.study.session import Session
from vaeopt.workflow import Workflow

__all__ = ["edges_of", "facts_of", "study_word"]

_FEW = 8  # trials of which a quarter says nothing
_NEAR = 0.02


def study_word(session: Session) -> str:
    """What stands for the study in a command line: its folder, without the place of it."""
    source = session.file.source
    if source is not None and source.name != "study.toml":
        return shlex.quote(source.name)
    return shlex.quote(session.file.folder.resolve().name or session.file.settings.name)


def facts_of(study: optuna.Study, session: Session) -> Facts | None:
    """What can be said of the best trial or the compromise; None if nothing is feasible."""
    ranked = by_compromise(study)
    if not ranked:
        return None
    chosen = ranked[0]
    settings = settings_of(chosen)
    primitives: Mapping[str, Any] = chosen.user_attrs.get("vaeopt:primitives", {})
    window, nm = settings.patches.size_px, session.micrograph.pixel_size_nm
    fvu = primitives.get("reconstruction", {}).get("fvu")
    done = finished(study)
    several = len(study.directions) > 1
    confirmed = study.user_attrs.get(CONFIRM)
    return Facts(
        study=study_word(session),
        trial=chosen.number,
        objectives=tuple(
            Objective(name, direction.name.lower(), value)
            for name, direction, value in zip(
                metric_names(study), study.directions, chosen.values, strict=True
            )
        ),
        shares=_shares(primitives),
        most_components=_most_components(settings),
        window_px=window,
        window_nm=None if nm is None else window * nm,
        invariances=tuple(str(name) for name in settings.vae.invariances),
        latent_dim=settings.vae.latent_dim,
        explained=None if fvu is None else 1 - fvu,
        kept=primitives.get("keep_fraction"),
        n_keypoints=primitives.get("n_keypoints"),
        finished=len(done),
        collapsed=sum(margin(trial) > 0 for trial in done),
        running=len(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))),
        front_size=len(front(study)),
        win_share=win_share(study)[chosen.number] if several else None,
        runner_up=None if several else _runner_up(study, ranked),
        confirmed=confirmed and Confirmed(confirmed["sentence"], confirmed["winner"]),
        edges=edges_of(session, chosen),
        picks=_picks(study),
        gained_late=_gained_late(study),
        certainty=_certainty(primitives),
        verdict=next(iter(verdict_lines(study)), None),
    )


def _best_fit(primitives: Mapping[str, Any]) -> Mapping[str, Any] | None:
    mixture = primitives.get("mixture", {})
    for fit in mixture.get("fits", ()):
        if fit["n_components"] == mixture["n_components"]:
            return fit  # type: ignore[no-any-return]  # a stored table
    return None


def _shares(primitives: Mapping[str, Any]) -> tuple[float, ...]:
    fit = _best_fit(primitives)
    return () if fit is None else tuple(sorted(fit["weights"], reverse=True))


def _certainty(primitives: Mapping[str, Any]) -> float | None:
    fit, n_fit = _best_fit(primitives), primitives.get("n_fit")
    total = None if fit is None else fit.get("map_log_responsibility_total")
    return math.exp(total / n_fit) if n_fit and total is not None else None


def _most_components(settings: Workflow) -> int | None:
    ends = getattr(settings.mixture, "components", None)
    return int(ends[1]) if isinstance(ends, tuple | list) and len(ends) == 2 else None


def _runner_up(study: optuna.Study, ranked: list[FrozenTrial]) -> RunnerUp | None:
    first = ranked[0]
    second = next((trial for trial in ranked[1:] if trial.params != first.params), None)
    if second is None:
        return None
    label = metric_names(study)[0]
    held = {trial.number: scores_in(trial).get(label) for trial in finished(study)}

    def repeated(trial: FrozenTrial) -> tuple[float | None, int]:
        score = over_trainings(trial, {number: held.get(number) for number in mean_of(trial)})
        return (None, 1) if score is None or score.n < 2 else (score.sd, score.n)

    (sd, n), (sd_other, n_other) = repeated(first), repeated(second)
    known = [one for one in (sd, sd_other) if one is not None]
    return RunnerUp(
        trial=second.number,
        lead=abs(first.values[0] - second.values[0]),
        sd=math.sqrt(sum(one**2 for one in known) / len(known)) if known else None,
        n=n,
        n_other=n_other,
    )


def edges_of(session: Session, chosen: FrozenTrial) -> tuple[Edge, ...]:
    """Searched numbers of which a trial has the least or greatest, where others would be valid."""
    found = []
    settings = settings_of(chosen)
    for path, entry in session.space.entries.items():
        value = chosen.params.get(path)
        if entry.low is None or entry.high is None or entry.low == entry.high:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        whole = isinstance(value, int) or entry.step is not None
        low, high, at = float(entry.low), float(entry.high), float(value)
        if entry.log:
            low, high, at = math.log(low), math.log(high), math.log(at)
        near = 0.0 if whole else _NEAR * (high - low)
        step = float(entry.step or (1 if isinstance(value, int) else 0)) or 0.1 * (high - low)
        if entry.log:
            step = math.log(2)
        for end, there, beyond in (
            ("lower", at - low <= near, low - step),
            ("upper", high - at <= near, high + step),
        ):
            far = math.exp(beyond) if entry.log else beyond
            wanted = round(far) if isinstance(value, int) else far
            if there and _possible(settings, path, wanted):
                found.append(Edge(path, float(value), end))
    return tuple(found)


def _possible(settings: Workflow, path: str, value: float) -> bool:
    """Whether a setting may have this value at all: none can be told to go below 1 latent."""
    try:
        settings.with_values({path: value})
    except VaeoptError:
        return False
    return True


def _picks(study: optuna.Study) -> tuple[Pick, ...]:
    frame = picks_frame(study)
    if len(frame) < 2:
        return ()
    return tuple(
        Pick(str(row["reward"]), int(row["trial"])) for row in frame.to_dict(orient="records")
    )


def _gained_late(study: optuna.Study) -> float | None:
    """By which share the hypervolume, or the best value, improved in the last quarter."""
    done = finished(study)
    if len(done) < _FEW:
        return None
    before = len(done) - len(done) // 4
    if len(study.directions) > 1:
        history = hypervolume_history(study)
        start, end = float(history[before - 1]), float(history[-1])
        return (end - start) / start if start > 0 else None
    good = {trial.number for trial in feasible(study)}
    values = costs(study, done)[:, 0]
    early = [v for v, trial in zip(values[:before], done, strict=False) if trial.number in good]
    every = [v for v, trial in zip(values, done, strict=True) if trial.number in good]
    if not early or min(early) == 0:
        return None
    return float((min(early) - min(every)) / abs(min(early)))
