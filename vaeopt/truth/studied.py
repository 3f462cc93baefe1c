"""How right the picks of a finished study are, where its image was rendered."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from vaeopt.core.errors import StudyError, VaeoptError
from vaeopt.datasets import RENDERED, RenderedScan, render
from vaeopt.study.asking.repeats import mean_of
from vaeopt.study.attributes import IDENTITY
from vaeopt.study.file import StudyFile
from vaeopt.study.fronts.pareto import feasible, finished, representatives
from vaeopt.study.results.records import restore
from vaeopt.study.results.stored import stored_scores
from vaeopt.study.results.verdict import verdict_of
from vaeopt.study.session import Session, prepare
from vaeopt.truth.metrics import Truth, truth_of

__all__ = ["JudgedPick", "JudgedStudy", "judged_study"]

_MEDIUM = "medium"


@dataclass(frozen=True, kw_only=True)
class JudgedPick:
    """One trial, and how right it is."""

    by: str
    """``pick``, the label of the reward that would pick it alone, or ``truth``: the best of all"""
    trial: int
    ari_true_k: float | None
    """adjusted Rand index at the true K, mean over the trainings of its parameters"""
    regret: float | None
    """that of the best configuration of the study less its own"""
    ari_chosen: float | None
    """adjusted Rand index at the K that its mixture chose, mean as above"""
    knn15: float | None
    """balanced accuracy of 15 nearest neighbours, mean as above"""
    k_chosen: int | None
    """components that its mixture chose"""


@dataclass(frozen=True, kw_only=True)
class JudgedStudy:
    """A study beside the truth."""

    classes: Sequence[str]
    """names of the true building blocks; one for a negative control"""
    picks: Sequence[JudgedPick]
    """``pick`` first, if there is one, then those of single rewards and scores, ``truth`` last"""
    verdict_right: bool | None
    """whether the study is right about there being building blocks; None without a verdict"""
    truths: Mapping[int, Truth]
    """all that the truth says of the training of each trial"""
    without_files: Sequence[int]
    """trials that cannot be compared, as their files are missing or damaged"""

    def to_table(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def judged_study(
    file: StudyFile,
    study: optuna.Study,
    *,
    pick: int | None,
    each: Callable[[int, int], None] | None = None,
) -> JudgedStudy:
    """Compare every finished trial of a study with the truth; nothing is trained or written.

    With replicates, the first training of a trial counts, as in figures and exports. Where
    parameters were trained in several trials that are averaged, so is the truth. The best is that
    of all configurations, so that a filter which takes the best one away is not rewarded.

    Args:
        file: of the study.
        study: with finished trials.
        pick: number of the trial that is to be judged before all others; None where all have
            collapsed.
        each: told (done, total) after each trial.

    Raises:
        StudyError: the image has no known truth or is not the one that the trials have seen, or no
            trial has its files.
    """
    scan = _truth_behind(file)
    session = prepare(file)
    seen = study.user_attrs.get(IDENTITY, {}).get("image_sha256")
    if seen not in (None, session.micrograph.sha256):
        raise StudyError(
            "the rendered image is not the one that the trials have seen",
            setting="--truth",
            remedy="take the settings of [image] and the version of vaeopt that it was run with",
        )
    truths, lost = _truths(study, session, scan, each or (lambda done, total: None))
    verdict = verdict_of(study)
    return JudgedStudy(
        classes=scan.class_names,
        picks=_picks(study, truths, pick),
        verdict_right=None if verdict is None else verdict.structure == (scan.n_classes > 1),
        truths=truths,
        without_files=lost,
    )


def _truth_behind(file: StudyFile) -> RenderedScan:
    image = file.settings.image
    if image.dataset not in RENDERED:
        raise StudyError(
            f"nobody knows the truth of image {image.dataset or image.path!r}",
            setting="--truth",
            remedy=f"only rendered images have one: {', '.join(RENDERED)}",
        )
    return render(image.dataset, seed=image.seed, difficulty=image.difficulty or _MEDIUM)


def _truths(
    study: optuna.Study, session: Session, scan: RenderedScan, each: Callable[[int, int], None]
) -> tuple[dict[int, Truth], list[int]]:
    truths: dict[int, Truth] = {}
    lost = []
    trials = finished(study)
    for done, trial in enumerate(trials, start=1):
        try:
            truths[trial.number] = truth_of(restore(trial, session), scan)
        except VaeoptError:  # a file that is damaged is as good as one that is missing
            lost.append(trial.number)
        each(done, len(trials))
    if not truths:
        raise StudyError(
            f"no trial of study {study.study_name!r} has its files, so none can be compared",
            setting="--truth",
            remedy="put the artefacts back, or make them again with 'vaeopt replay --restore'",
        )
    return truths, lost


def _picks(study: optuna.Study, truths: Mapping[int, Truth], pick: int | None) -> list[JudgedPick]:
    configurations = {trial.number: trial for trial in representatives(study)}
    right = {
        number: value
        for number, trial in configurations.items()
        if (value := _mean(trial, truths, "ari_true_k")) is not None
    }
    most = max(right, key=right.__getitem__, default=None)
    chosen = ({} if pick is None else {"pick": pick}) | _favourites(study)
    if most is not None:
        chosen["truth"] = most
    return [
        JudgedPick(
            by=by,
            trial=number,
            ari_true_k=right.get(number),
            regret=right[most] - right[number] if most is not None and number in right else None,
            ari_chosen=_mean(configurations[number], truths, "ari_chosen"),
            knn15=_mean(configurations[number], truths, "knn15"),
            k_chosen=truths[number].k_chosen if number in truths else None,
        )
        for by, number in chosen.items()
    ]


def _favourites(study: optuna.Study) -> dict[str, int]:
    """The best healthy trial of each objective, then of each score; the earliest of equals."""
    stored, good = stored_scores(study), [trial.number for trial in feasible(study)]
    names = [name for name in study.metric_names or [] if name in stored]
    found = {}
    for name in [*names, *(label for label in stored if label not in names)]:
        score = stored[name]
        sign = 1 if score.direction == "minimize" else -1
        costs = {number: sign * score.values[number] for number in good if number in score.values}
        if costs:
            found[name] = min(costs, key=costs.__getitem__)
    return found


def _mean(trial: FrozenTrial, truths: Mapping[int, Truth], name: str) -> float | None:
    """Over all trials that the values of this one are means of and whose files are there."""
    values = [getattr(truths[number], name) for number in mean_of(trial) if number in truths]
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
