"""The verb that shows the best trials."""

import argparse
from typing import TYPE_CHECKING

from vaeopt.cli.answer import answer

if TYPE_CHECKING:
    import optuna
    import pandas as pd

    from vaeopt.study.file import StudyFile
    from vaeopt.truth import JudgedStudy

__all__ = ["NONE_FEASIBLE", "best"]

NONE_FEASIBLE = "no feasible trial yet: none is finished, or all have collapsed"


def best(arguments: argparse.Namespace) -> int:
    """Show the best trials, and how right they are."""
    from vaeopt.cli.verbs import complain
    from vaeopt.report.tables import best_frame, format_frame
    from vaeopt.report.truth_lines import truth_lines
    from vaeopt.study.file import open_study
    from vaeopt.study.fronts.pareto import finished
    from vaeopt.study.fronts.preferences import parse_weights
    from vaeopt.study.results.access import metric_names
    from vaeopt.study.results.verdict import verdict_of
    from vaeopt.study.storage import load_study

    file = open_study(arguments.study)
    study = load_study(file, arguments.storage)
    given = arguments.weights
    weights = None if given is None else parse_weights(given, metric_names(study))
    table = best_frame(study, weights=weights, order_by=arguments.order_by, recorded=arguments.json)
    verdict = verdict_of(study)
    lines = [] if table.empty else [format_frame(table)]
    lines += [] if verdict is None else [verdict.sentence]
    judged = None
    if arguments.truth and finished(study):  # the verdict is judged, also where all have collapsed
        judged = _judged(arguments, file, study, table)
        lines += truth_lines(judged)
    said = None if verdict is None else verdict.to_table()
    truth = None if judged is None else judged.to_table()
    answer(arguments, {"trials": table, "verdict": said, "truth": truth}, lines)
    if table.empty:
        complain(NONE_FEASIBLE)
        return 3
    return 0


def _judged(
    arguments: argparse.Namespace, file: "StudyFile", study: "optuna.Study", table: "pd.DataFrame"
) -> "JudgedStudy":
    """The pick is the first row of an order that was asked for, else what ``best`` means."""
    from vaeopt.report.counter import counter
    from vaeopt.study.fronts import pareto
    from vaeopt.truth import judged_study

    asked = arguments.weights is not None or arguments.order_by is not None
    pick: int | None = None
    if not table.empty:
        pick = int(table["trial"].iloc[0]) if asked else pareto.best(study).number
    with counter("compared") as each:
        return judged_study(file, study, pick=pick, each=each)
