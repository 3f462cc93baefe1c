"""What the truth behind a rendered scan says of a run (semantics 11.2); no reward sees it."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vaeopt.core.types import Floats, Ints, WorkflowRun
from vaeopt.datasets import AMBIGUOUS, RenderedScan
from vaeopt.kernels.agreement import circular_agreement
from vaeopt.kernels.mixture import reference as kernel
from vaeopt.kernels.mixture.em import fit_grid
from vaeopt.stages.rewards.gain import Gain
from vaeopt.stages.rewards.partition import Agreement, agreement, partition

__all__ = [
    "Truth",
    "angle_recovery",
    "knn_accuracy",
    "regret",
    "true_k_partition",
    "truth_of",
    "whitened",
    "window_error",
]

_STARTS, _MORE = 10, 3
_NEIGHBOURS, _FOLDS = 15, 5
_LEAST_OF_A_CLASS = 10  # the resultant of fewer unrelated angles is .28 and more by chance
# Directions with less of the largest variance are rounding errors; whitening would blow them up.
_LEAST_VARIANCE = 1e-10


@dataclass(frozen=True, kw_only=True)
class Truth:
    """How right one run is. What a scan or a model does not have is None."""

    ari_true_k: float | None
    """adjusted Rand index of a mixture with the true K and the classes; None for one class"""
    ami_true_k: float | None
    """adjusted mutual information of the same"""
    ari_own_true_k: float | None
    """adjusted Rand index of the run's own fit with the true K; None where its grid has none"""
    ari_chosen: float | None
    """adjusted Rand index of the run's own partition, at the K that it chose"""
    ami_chosen: float | None
    k_chosen: int | None
    """components that the run's mixture chose; None if nothing could be fitted"""
    k_error: int | None
    """|K - true K|"""
    knn15: float | None
    """balanced accuracy of 15 nearest neighbours: what the latents know, clustered or not"""
    angle_resultant: float | None
    """1 if the angle code follows the true angle, near 0 if it does not; None without a code"""
    window_error: float
    """|log2(window / length of a building block)|"""
    says_structure: bool | None
    """whether more than one Gaussian is worth it by J(1); None if K = 1 was not tried"""

    def to_table(self) -> dict[str, Any]:
        """Plain values by name."""
        return dict(vars(self))


def truth_of(run: WorkflowRun, scan: RenderedScan) -> Truth:
    """Compare one training with the truth at its key points.

    Args:
        run: made from the pixels of this scan; only its own training is looked at, no replicates.
        scan: the truth.
    """
    points = run.keypoints.yx_px
    classes = scan.classes_at(points)
    z = run.latents.z_mean
    best = run.mixture.best
    several = scan.n_classes > 1
    at_true_k = _scored(true_k_partition(z, scan.n_classes), classes) if several else None
    own = partition(run, scan.n_classes) if several else None
    at_chosen = _scored(run.mixture.component, classes) if several and best is not None else None
    chosen = None if best is None else best.n_components
    return Truth(
        ari_true_k=at_true_k and at_true_k.ari,
        ami_true_k=at_true_k and at_true_k.ami,
        ari_own_true_k=None if own is None else _scored(own, classes).ari,
        ari_chosen=at_chosen and at_chosen.ari,
        ami_chosen=at_chosen and at_chosen.ami,
        k_chosen=chosen,
        k_error=None if chosen is None else abs(chosen - scan.n_classes),
        knn15=knn_accuracy(z, classes),
        angle_resultant=angle_recovery(
            run.latents.codes.get("angle_rad"), scan.angles_at(points), classes, scan.symmetry
        ),
        window_error=window_error(run.patches.size_px, scan.length_px),
        says_structure=_says_structure(run),
    )


def whitened(z: Floats) -> NDArray[np.float64]:
    """Latents (n, d) with mean 0 and unit covariance; directions without any variance are left out.

    Returns:
        (n, d') with d' <= d; d' = 0 if all rows are equal.
    """
    centred = np.asarray(z, np.float64) - np.mean(z, axis=0)
    variances, directions = np.linalg.eigh(np.atleast_2d(np.cov(centred, rowvar=False, ddof=0)))
    kept = (variances > 0) & (variances > _LEAST_VARIANCE * variances.max())
    return np.asarray(centred @ (directions[:, kept] / np.sqrt(variances[kept])))


def true_k_partition(z: Floats, n_classes: int, *, seed: int = 0) -> Ints:
    """Labels (n,) of a Gaussian mixture with the true number of components, full covariances.

    It is fitted to the whitened latents of all key points, ambiguous ones included; nothing of the
    study's own filter or subset enters. Mixtures with fewer and with more components are fitted
    beside it, because their components, joined and split, are starts that k-means does not find:
    without them another seed gives another optimum, and the truth would be noisier than it is.

    Args:
        z: (n, d) posterior means.
        n_classes: true K.
        seed: of the starts.

    Returns:
        From 0 to K - 1; all 0 where there are no K different points, or no mixture of them.
    """
    points = whitened(z)
    if points.shape[1] == 0 or len(np.unique(points, axis=0)) < max(2, n_classes):
        return np.zeros(len(points), dtype=np.int64)
    grid = range(1, min(n_classes + _MORE, len(points)) + 1)
    fit = fit_grid(points, grid, starts=_STARTS, seed=seed)[n_classes - 1]
    if not fit.proper:
        return np.zeros(len(points), dtype=np.int64)
    joint = kernel.log_joint(points, fit.weights, fit.means, fit.covariances)
    return np.asarray(joint.argmax(axis=1), dtype=np.int64)


def knn_accuracy(z: Floats, classes: Ints, *, seed: int = 0) -> float | None:
    """Balanced accuracy of the 15 nearest neighbours in the whitened latents, in 5 folds.

    Args:
        z: (n, d) posterior means.
        classes: (n,) true classes; ambiguous points are left out.
        seed: of the folds.

    Returns:
        In [0, 1]; 1 / K by chance. None for fewer than two classes, or one too rare for the folds.
    """
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.neighbors import KNeighborsClassifier

    known = classes != AMBIGUOUS
    counts = np.unique(classes[known], return_counts=True)[1]
    if len(counts) < 2 or counts.min() < _FOLDS or known.sum() * (1 - 1 / _FOLDS) < _NEIGHBOURS:
        return None
    points = whitened(z)[known]
    if points.shape[1] == 0:
        return 1 / len(counts)
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    found = cross_val_predict(KNeighborsClassifier(_NEIGHBOURS), points, classes[known], cv=folds)
    return float(balanced_accuracy_score(classes[known], found))


def angle_recovery(
    code_rad: Floats | None, angle_rad: Floats, classes: Ints, symmetry: tuple[int, ...]
) -> float | None:
    """Mean over the classes of max over s = +-1 of |mean exp(i m (code + s angle))|.

    A class knows its angle up to an offset, a sense and a turn by 2 pi / m; none of them counts.

    Args:
        code_rad: (n,) angles that the model found [rad]; None for a model without them.
        angle_rad: (n,) true angles [rad].
        classes: (n,) true classes.
        symmetry: order m of each class; 0 for one that looks the same at every angle.

    Returns:
        In [0, 1]. None without a code, and where no class of 10 or more points has different
        angles.
    """
    if code_rad is None:
        return None
    found = []
    for label, order in enumerate(symmetry):
        mine = (classes == label) & np.isfinite(angle_rad)
        if order < 1 or mine.sum() < _LEAST_OF_A_CLASS or np.ptp(angle_rad[mine]) == 0:
            continue
        found.append(circular_agreement(code_rad[mine], angle_rad[mine], order=order))
    return float(np.mean(found)) if found else None


def window_error(window_px: float, length_px: float) -> float:
    """How many factors of two lie between the window and the length of a building block.

    >>> window_error(24, 12), window_error(6, 12)
    (1.0, 1.0)
    """
    return abs(float(np.log2(window_px / length_px)))


def regret(values: Floats, ari: Floats, direction: Literal["minimize", "maximize"]) -> float | None:
    """What is lost by trusting a reward: the best ARI less that of the configuration it picks.

    Args:
        values: (n,) values of the reward; NaN where it has none, which is never picked.
        ari: (n,) adjusted Rand index of the same configurations.
        direction: of the reward.

    Returns:
        At least 0, the mean over configurations that share the best value; None if the reward has
        no value at all.

    >>> regret(np.array([0.2, 0.9, 0.5]), np.array([0.6, 0.5, 0.8]), "maximize")
    0.3
    """
    goodness = np.asarray(values, np.float64) * (1 if direction == "maximize" else -1)
    known = np.isfinite(goodness) & np.isfinite(ari)
    if not known.any():
        return None
    picked = known & (goodness == goodness[known].max())
    return round(float(np.max(ari[np.isfinite(ari)]) - np.mean(ari[picked])), 12)


def _scored(labels: Ints, classes: Ints) -> Agreement:
    known = classes != AMBIGUOUS
    return agreement(labels[known], classes[known])


def _says_structure(run: WorkflowRun) -> bool | None:
    """Whether the structure gain at w = 1 is above 0."""
    gain, fits = Gain(), run.mixture.fits
    if not fits or fits[0].n_components != 1:
        return None
    return gain.available(run) and gain(run) > 0
