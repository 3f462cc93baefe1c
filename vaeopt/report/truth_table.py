"""The table of a truth benchmark, in Markdown and for the terminal."""

from collections.abc import Iterator, Sequence

from vaeopt.report.figures.truth import TARGETS
from vaeopt.truth import Interval, RewardSummary, Summary

__all__ = ["markdown", "short_lines"]

_NONE = "-"


def markdown(summary: Summary) -> str:
    """Every table of a benchmark, one under the other."""
    return "\n".join(_lines(summary)) + "\n"


def short_lines(summary: Summary, most: int = 12) -> list[str]:
    """The best rewards for the terminal."""
    if not summary.rewards:
        return ["no training on a scene with several building blocks is finished"]
    shown = summary.rewards[:most]
    width = max(len(one.name) for one in shown) + 2
    lines = [f"{'reward':<{width}}{'Spearman':>10}{'95 %':>16}{'regret':>9}{'95 %':>16}"]
    for one in shown:
        rho, regret = one.rho, one.regret
        lines.append(
            f"{one.name:<{width}}{rho.mean:>10.2f}{_range(rho):>16}"
            f"{regret.mean:>9.3f}{_range(regret, 3):>16}"
        )
    lines += [
        f"{one.name:<{width}}{_number(one.rho):>10}{'':>16}{_number(one.regret, 3):>9}"
        for one in summary.references
    ]
    return lines


def _lines(summary: Summary) -> Iterator[str]:
    missing = f", {summary.missing} of the grid are missing" if summary.missing else ""
    yield f"# Truth benchmark {summary.name!r}"
    yield ""
    yield f"{summary.trainings} trainings on {len(summary.scenes)} rendered scans{missing}."
    if summary.rewards:
        yield from _rewards(summary)
        yield from _within(summary.rewards)
    yield from _scenes(summary)


def _rewards(summary: Summary) -> Iterator[str]:
    families = summary.families
    yield ""
    yield f"## Spearman of reward and {TARGETS[summary.target]}"
    yield ""
    yield (
        "Among the healthy configurations of a scan, means over its trainings; then the mean over "
        "the scans of a family, then over families, with a 95 % bootstrap interval. Higher is "
        f"better. {_NONE}: the reward has no value there, which counts as 0."
    )
    yield ""
    rows = [
        [one.name, _number(one.rho.mean), _range(one.rho), _number(one.rho_all)]
        + [_number(one.rho_by_family[f]) for f in families]
        for one in summary.rewards
    ]
    rows += [
        [f"*{one.name}*", _number(one.rho), "", ""]
        + [_number(one.rho_by_family.get(f)) for f in families]
        for one in summary.references
    ]
    yield from _table(["reward", "mean", "95 %", "with collapsed", *families], rows)
    yield ""
    yield f"## Regret: what the pick of a reward lacks in {TARGETS[summary.target]}"
    yield ""
    yield (
        "The best of all configurations less that of the healthy one with the best reward. "
        "Lower is better."
    )
    yield ""
    by_regret = sorted(summary.rewards, key=lambda one: one.regret.mean)
    rows = [
        [one.name, _number(one.regret.mean, 3), _range(one.regret, 3), _number(one.regret_all, 3)]
        + [_number(one.regret_by_family[f], 3) for f in families]
        for one in by_regret
    ]
    rows += [
        [f"*{one.name}*", _number(one.regret, 3), "", ""]
        + [_number(one.regret_by_family.get(f), 3) for f in families]
        for one in summary.references
    ]
    yield from _table(["reward", "mean", "95 %", "with collapsed", *families], rows)
    yield ""
    for one in summary.references:
        yield f"- *{one.name}*: {one.what}."
    if summary.controls:
        yield ""
        yield "## Negative controls"
        yield ""
        yield (
            f"On {', '.join(summary.controls)} the right answer is one building block. Claims: "
            "share of the trainings of a reward's picks whose mixture is better than one "
            "Gaussian. AUC: chance that the best value on a scan with structure is above that on "
            "one without."
        )
        yield ""
        yield from _table(
            ["reward", "claims at the pick", "AUC"],
            [
                [one.name, _number(one.structure_at_pick), _number(one.auc_structure)]
                for one in summary.rewards
            ],
        )


def _within(rewards: Sequence[RewardSummary]) -> Iterator[str]:
    for path in rewards[0].within:
        values = list(rewards[0].within[path])
        yield ""
        yield f"## Spearman within each {path}"
        yield ""
        rows = [
            [one.name, *(_number(one.within[path][value]) for value in values)] for one in rewards
        ]
        yield from _table(["reward", *values], rows)


def _scenes(summary: Summary) -> Iterator[str]:
    yield ""
    what = TARGETS[summary.target]
    yield "## Scans"
    yield ""
    yield (
        "Claims: share of the trainings whose mixture is better than one Gaussian. Gain: how much "
        "better, mean over the trainings [nats per sample]. K right: share that choose the true "
        "number of components."
    )
    yield ""
    head = [
        "scan",
        "classes",
        "trainings",
        "collapsed",
        "claims",
        "gain",
        "K right",
        f"mean {what}",
    ]
    head += [f"best {what}", "best k-NN", "best angle", "best configuration"]
    rows = []
    for one in summary.scenes:
        best = ", ".join(f"{k.rsplit('.', 1)[-1]} {v}" for k, v in one.best_params.items())
        numbers = (
            *(one.collapsed, one.claims_structure, one.gain, one.right_k, one.mean),
            *(one.best, one.best_knn15, one.best_angle),
        )
        counts = str(one.n_classes), str(one.trainings)
        rows.append([one.name, *counts, *map(_number, numbers), best])
    yield from _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _number(value: float | None, digits: int = 2) -> str:
    return _NONE if value is None else f"{value:.{digits}f}"


def _range(interval: Interval, digits: int = 2) -> str:
    return f"{interval.low:.{digits}f} to {interval.high:.{digits}f}"
