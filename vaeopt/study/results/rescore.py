"""A reward computed for every finished trial from what is stored; nothing is trained.

Optuna takes no attributes for finished trials, so the values stand in one attribute of the study.
"""

import time
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial

from vaeopt.core.errors import DataError, SettingsError, StudyError, VaeoptError
from vaeopt.stages.rewards import Reward
from vaeopt.stages.rewards.base import with_parts
from vaeopt.stages.rewards.composite import Composite
from vaeopt.stages.rewards.reconstruction import Reconstruction
from vaeopt.study.asking.repeats import over_trainings
from vaeopt.study.attributes import IDENTITY, REPEAT
from vaeopt.study.file import StudyFile, StudySettings, open_study
from vaeopt.study.fronts.pareto import best, feasible, finished
from vaeopt.study.guard import check_same
from vaeopt.study.quiet import name_metrics, quiet_optuna
from vaeopt.study.results.confirm import SOURCE
from vaeopt.study.results.records import restore, seeds_of, settings_of
from vaeopt.study.results.stored import RESCORED
from vaeopt.study.session import Session, prepare
from vaeopt.study.storage import load_study
from vaeopt.workflow import Score, Workflow, complete, refit, score_of

__all__ = ["RESCORES", "Rescored", "parse_reward", "rescore"]

RESCORES = "vaeopt:rescores"
"""attribute of a study made with new values: name of the search, and the reward"""
_SETTING = "--reward"
# Fits every stored run: rewards of the study need not fit a changed mixture.
_PLAIN = Reconstruction(metric="mse")
_REFITTED = ("mixture", "bayesian", "latents")
_EVERY_S = 5.0  # between two writes of the attribute: a process that is killed loses no more
_KEPT = ("constraints", "artifacts:")


@dataclass(frozen=True)
class Rescored:
    """A reward over the trials of a study."""

    label: str
    reward: Mapping[str, Any]
    """its table, with the references of ranks filled in"""
    direction: Literal["minimize", "maximize"]
    scores: Mapping[int, Score]
    """by trial number"""
    skipped: Mapping[int, str]
    """trials without a value, and why"""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """what was changed behind the encoder, by dotted path"""


def parse_reward(text: str) -> Reward:
    """A reward from a kind or an inline TOML table, as typed on a command line.

    Raises:
        SettingsError: no such kind, or settings that do not hold.
        StudyError: not understood.

    >>> parse_reward('{ kind = "icl", weight = 0.5 }').label, parse_reward("gain").label
    ('icl(w=0.5)', 'gain')
    """
    table: Any = text.strip()
    if table.startswith("{"):
        try:
            table = tomllib.loads(f"reward = {table}")["reward"]
        except tomllib.TOMLDecodeError as error:
            raise StudyError(
                f"cannot understand {text!r}: {error}",
                setting=_SETTING,
                remedy="write a kind, or '{ kind = \"icl\", weight = 0.5 }'",
            ) from error
    try:
        return Reward.from_table(table)
    except SettingsError as error:
        raise error.below(_SETTING) from None


def rescore(
    study: str | Path | StudySettings | StudyFile,
    reward: Reward | str,
    *,
    settings: Mapping[str, Any] | None = None,
    name: str | None = None,
    storage: str | None = None,
    each: Callable[[int, int], None] | None = None,
) -> Rescored:
    """Compute a reward for all finished trials, and keep the values with the study.

    Values that are there for the same reward are not computed again, so a call that was cut off
    goes on. A composite of ranks without references takes those of the feasible trials.

    Args:
        study: a study folder, a ``.toml`` file, or settings made in Python.
        reward: with its settings, or its kind, or an inline TOML table.
        settings: changes of ``mixture``, ``bayesian`` or ``latents`` by dotted path; everything
            behind the encoder is then fitted again, and the label names them.
        name: also make a study of this name, in the same storage, with the same trials and the
            new values, to be looked at in the dashboard.
        storage: Optuna storage URL; a SQLite file beside the study file if left out.
        each: told of trials done and trials in all, after each trial.

    Returns:
        Values by trial, and what could not be computed.

    Raises:
        StudyError: no finished trial, a changed study file, a name that is taken, or a reward that
            what is stored cannot give.
        VaeoptError: the reward cannot be computed on this image.
    """
    file = open_study(study)
    wanted = parse_reward(reward) if isinstance(reward, str) else reward
    with quiet_optuna():
        source = load_study(file, storage)
        trials = finished(source)
        if not trials:
            best(source)  # says so
        session = prepare(file)
        check_same(source, session)
        if name is not None:
            _check_free(source, name)
        again = _Again(session, dict(settings or {}))
        _check_label(wanted, session)
        _check_possible(wanted, trials, again)
        wanted = _calibrated(wanted, feasible(source), again)
        result = _fill(source, again, wanted, trials, each)
        if name is not None and result.scores:  # an empty study would only take the name
            _copy(source, session, result, name)
    return result


@dataclass(frozen=True)
class _Again:
    """How stored runs are scored: as they are, or with other settings behind the encoder."""

    session: Session
    settings: Mapping[str, Any]

    def __post_init__(self) -> None:
        for path in self.settings:
            if path.endswith((".max_points", ".subsets")):
                raise StudyError(
                    f"{path} decides which points are fitted, which all trials share",
                    setting="--set",
                    remedy="start a new study",
                )
            if path.split(".")[0] not in _REFITTED:
                raise StudyError(
                    f"{path} acts before the latents are there, which needs a training",
                    setting="--set",
                    remedy=f"change settings of {', '.join(_REFITTED)}, or start a new study",
                )

    def workflow(self, trial: FrozenTrial, scores: Sequence[Reward] = ()) -> Workflow:
        """Settings of a trial with the changes, and these scores in place of its rewards.

        Raises:
            SettingsError: a change that does not exist or does not hold, or a score that does not
                fit the mixture or the number of trainings.
        """
        tables = [score.to_table() for score in scores if score != _PLAIN]
        return settings_of(trial).with_values(
            {"rewards": [_PLAIN.to_table()], "scores": tables, **self.settings}
        )

    def score(self, reward: Reward, trial: FrozenTrial) -> Score:
        """The value of a reward for a finished trial."""
        run, seeds = restore(trial, self.session), seeds_of(trial, self.session)
        with_changes = refit if self.settings else complete
        workflow, cache = self.workflow(trial), self.session.cache
        return score_of(reward, with_changes(workflow, run, [reward], seeds=seeds, cache=cache))

    def label(self, reward: Reward) -> str:
        """Of the reward, with the changes behind it."""
        changes = ", ".join(f"{path}={value}" for path, value in self.settings.items())
        return f"{reward.label} [{changes}]" if changes else reward.label


def _check_free(source: optuna.Study, name: str) -> None:
    if not name.strip():
        raise StudyError("the name is empty", setting="--as")
    if name not in optuna.get_all_study_names(source._storage):
        return
    held = optuna.load_study(study_name=name, storage=source._storage)
    attrs, mark = held.user_attrs, held.user_attrs.get(RESCORES, {})
    cut_off = mark.get("study") == source.study_name and not mark.get("complete", False)
    if cut_off or not (attrs or held.trials):  # a process died while it made this one
        optuna.delete_study(study_name=name, storage=source._storage)
        return
    raise StudyError(
        f"study {name!r} exists in this storage", setting="--as", remedy="choose another name"
    )


def _check_label(reward: Reward, session: Session) -> None:
    """A composite is named by the user: its values must not pass for those of another reward."""
    for other in session.file.settings.workflow.values:
        if isinstance(reward, Composite) and reward.label == other.label and reward != other:
            raise StudyError(
                f"{reward.name!r} is the label of another reward of this study",
                setting=f"{_SETTING}.name",
                remedy="choose another name",
            )


def _check_possible(reward: Reward, trials: Iterable[FrozenTrial], again: _Again) -> None:
    """Refuse what cannot come out of stored runs, before anything is computed."""
    session, parts = again.session, with_parts(reward)
    for part in parts:
        try:
            part.check(session.micrograph, session.keypoints, session.comparison)
        except DataError as error:  # speaks of the study file
            raise DataError(error.message, setting=_SETTING, remedy=error.remedy) from error
    # A composite that lacks references is refused by a workflow; its parts tell the rest.
    asked = [part for part in parts if not part.mistake]
    seen: list[object] = []
    for trial in trials:
        stored = settings_of(trial)
        what_matters = (stored.mixture, stored.bayesian, stored.replicates)
        if what_matters in seen:
            continue
        seen.append(what_matters)
        for part in asked:
            try:
                again.workflow(trial, [part])
            except SettingsError as error:
                grid = all(mistake.path[:1] == ("mixture",) for mistake in error.mistakes)
                raise StudyError(
                    f"trial {trial.number} cannot give {part.label!r}: "
                    + "; ".join(str(mistake) for mistake in error.mistakes),
                    setting=_SETTING,
                    remedy="fit again, with --set 'mixture.components=[1, 10]' for example"
                    if grid
                    else "start a new study with these settings",
                ) from error


def _calibrated(reward: Reward, trials: Sequence[FrozenTrial], again: _Again) -> Reward:
    """The reward with the references of its ranks taken from these trials, inner ones first."""
    if not isinstance(reward, Composite) or not reward.mistake:
        return reward
    table = reward.to_table()
    for i, term in enumerate(reward.terms):
        table["terms"][i]["reward"] = _calibrated(term.reward, trials, again).to_table()
    inner = Composite.from_table(table)
    if inner.combine == "sum":
        return inner
    written = inner.calibrated([term.reference or (0.0, 1.0) for term in inner.terms])
    if written.mistake:  # too few of them; more trials would not help
        raise StudyError(written.mistake, setting=_SETTING)
    held: list[list[float]] = [[] for _ in inner.terms]
    for trial in trials:
        try:
            found = [again.score(term.reward, trial).value for term in inner.terms]
        except VaeoptError:  # named when the trial itself is scored
            continue
        for values, value in zip(held, found, strict=True):
            values.append(value)
    # References that are written down stay.
    inner = inner.calibrated(
        [term.reference or values for term, values in zip(inner.terms, held, strict=True)]
    )
    if inner.mistake:
        raise StudyError(
            f"{len(held[0])} feasible trials with their files are too few to rank in",
            setting=_SETTING,
            remedy="run more trials",
        )
    return inner


def _fill(
    source: optuna.Study,
    again: _Again,
    reward: Reward,
    trials: Sequence[FrozenTrial],
    each: Callable[[int, int], None] | None,
) -> Rescored:
    table, label = reward.to_table(), again.label(reward)
    held = source.user_attrs.get(RESCORED, {}).get(label, {})
    known = held.get("values", {}) if held.get("reward") == table else {}
    scores = {int(number): Score(**score) for number, score in known.items()}
    skipped: dict[int, str] = {}
    result = Rescored(label, table, reward.direction, scores, skipped, again.settings)
    kept = time.monotonic()
    try:
        for done, trial in enumerate(trials, start=1):
            if trial.number not in scores:
                try:
                    scores[trial.number] = again.score(reward, trial)
                except VaeoptError as error:
                    skipped[trial.number] = str(error)
                except Exception as error:  # a reward of the user's own; other trials may do
                    text = f"{type(error).__name__}: {error}"
                    skipped[trial.number] = " ".join(text.split())
                if time.monotonic() - kept >= _EVERY_S:
                    _keep(source, result)
                    kept = time.monotonic()
            if each is not None:
                each(done, len(trials))
    finally:  # also what was computed before Ctrl-C
        _keep(source, result)
    return result


def _keep(source: optuna.Study, result: Rescored) -> None:
    # Read anew: another process may have written another label.
    everything = dict(source.user_attrs.get(RESCORED, {}))
    everything[result.label] = {
        "reward": dict(result.reward),
        "settings": dict(result.settings),
        "direction": result.direction,
        "values": {str(number): asdict(s) for number, s in sorted(result.scores.items())},
    }
    source.set_user_attr(RESCORED, everything)


def _copy(source: optuna.Study, session: Session, result: Rescored, name: str) -> None:
    """A study of one objective with the same trials and the new values; all of it or nothing."""
    storage = source._storage
    made = optuna.create_study(study_name=name, storage=storage, direction=result.direction)
    try:
        mark = {"study": source.study_name, "reward": dict(result.reward)}
        made.set_user_attr(RESCORES, mark)  # first: whatever comes, it is known whose it is
        name_metrics(made, [result.label])
        made.set_user_attr(IDENTITY, session.identity())
        trials = [trial for trial in finished(source) if trial.number in result.scores]
        made.add_trials(_with_values(trials, result.scores))
        made.set_user_attr(RESCORES, {**mark, "complete": True})
    except BaseException:
        optuna.delete_study(study_name=name, storage=storage)
        raise


def _with_values(
    trials: Sequence[FrozenTrial], scores: Mapping[int, Score]
) -> Iterable[FrozenTrial]:
    """The trials with other values; means over trials with the same parameters stay means."""
    places = {trial.number: place for place, trial in enumerate(trials)}
    for trial in trials:
        score = over_trainings(trial, scores)
        assert score is not None  # it has one of its own
        attributes: dict[str, Any] = {SOURCE: trial.number}
        if REPEAT in trial.user_attrs:
            repeat = trial.user_attrs[REPEAT]
            numbers = [places[number] for number in repeat["trials"] if number in places]
            own = scores[trial.number].value
            attributes[REPEAT] = repeat | {
                "of": numbers[0],
                "trials": numbers,
                "own": [own],
                "sd": [score.sd],
            }
        yield _with_value(trial, score.value, attributes)


def _with_value(trial: FrozenTrial, value: float, attributes: Mapping[str, Any]) -> FrozenTrial:
    """The trial as it was, with its attributes, constraint, files and times, and another value."""
    # What a sampler has noted for itself (NSGA-II: parents by their id) is wrong elsewhere.
    system = {key: v for key, v in trial.system_attrs.items() if key.startswith(_KEPT)}
    return FrozenTrial(
        number=trial.number,
        state=trial.state,
        value=value,
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_complete,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs={**trial.user_attrs, **attributes},
        system_attrs=system,
        intermediate_values={},
        trial_id=0,
    )
