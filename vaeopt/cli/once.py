"""The verbs that need no storage: a new study, a check, one walk, what there is to choose from."""

import argparse
from shlex import quote
from typing import Any

from vaeopt.cli.answer import answer

__all__ = ["check", "kinds", "new", "run"]


def new(arguments: argparse.Namespace) -> int:
    """Write a commented study folder."""
    from vaeopt.study.template import write_new_study

    path = write_new_study(arguments.folder, image=arguments.image)
    lines = [f"wrote {path}", f"next: vaeopt check {quote(str(arguments.folder))}"]
    answer(arguments, {"files": [path]}, lines)
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Name all mistakes of a study file."""
    from vaeopt.study.check import check, facts
    from vaeopt.study.file import open_study

    file = open_study(arguments.study, overrides=arguments.overrides)
    if arguments.json:
        answer(arguments, facts(file), ())
        return 0
    for line in check(file):
        print(line)
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Walk once through all stages."""
    from vaeopt.report.terminal import terminal
    from vaeopt.study.file import open_study
    from vaeopt.study.results.replay import run_once
    from vaeopt.study.session import prepare
    from vaeopt.workflow import primitives, scores_of, write_export

    session = prepare(open_study(arguments.study, overrides=arguments.overrides))
    with terminal() as progress:
        run = run_once(session, progress=progress)
    workflow = session.file.settings.workflow
    values = {label: score and score.value for label, score in scores_of(workflow, run).items()}
    record: dict[str, Any] = {
        "study": session.file.settings.name,
        "values": values,
        "settings": workflow.to_table(),
        "primitives": primitives(run),
        "identity": session.identity(),
    }
    files = [] if arguments.out is None else write_export(run, record, arguments.out)
    components = len(run.mixture.best.weights) if run.mixture.best else 0
    document = {
        "study": session.file.settings.name,
        "values": values,
        "components": components,
        "collapsed": run.collapse.reasons,
        "seconds": run.seconds,
        "settings": workflow.to_table(),
        "files": files,
    }
    lines = [f"{k:<20} {'unknown' if v is None else f'{v:.6g}'}" for k, v in values.items()]
    lines.append(f"{'components':<20} {components}")
    lines += [f"collapsed: {reason}" for reason in run.collapse.reasons]
    answer(arguments, document, [*lines, *(f"wrote {path}" for path in files)])
    return 0


def kinds(arguments: argparse.Namespace) -> int:
    """Show what there is to choose from."""
    from vaeopt.study.kinds import describe, table_of

    answer(arguments, table_of(arguments.family), describe(arguments.family))
    return 0
