"""The verbs: each takes what was typed, makes one call and prints; returns the exit status."""

import argparse
import json
import sys
from typing import TYPE_CHECKING

from vaeopt.core.secrets import masked

if TYPE_CHECKING:
    import optuna

    from vaeopt.study.file import StudyFile

__all__ = [
    "best",
    "check",
    "complain",
    "confirm",
    "copy",
    "create",
    "dashboard",
    "export",
    "kinds",
    "new",
    "optimize",
    "proxy",
    "replay",
    "report",
    "rescore",
    "run",
    "status",
    "worker",
]


_NONE_FEASIBLE = "no feasible trial yet: none is finished, or all have collapsed"


def complain(line: str) -> None:
    """One line on standard error."""
    print(masked(f"vaeopt: {line}"), file=sys.stderr)


def new(arguments: argparse.Namespace) -> int:
    """Write a commented study folder."""
    from vaeopt.study.template import write_new_study

    path = write_new_study(arguments.folder, image=arguments.image)
    print(f"wrote {path}")
    print(f"next: vaeopt check {arguments.folder}")
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Name all mistakes of a study file."""
    from vaeopt.study.check import check
    from vaeopt.study.file import open_study

    for line in check(open_study(arguments.study, overrides=arguments.overrides)):
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
    for label, value in values.items():
        print(f"{label:<20} {'unknown' if value is None else f'{value:.6g}'}")
    print(f"{'components':<20} {len(run.mixture.best.weights) if run.mixture.best else 0}")
    for reason in run.collapse.reasons:
        print(f"collapsed: {reason}")
    if arguments.out is not None:
        record = {
            "study": session.file.settings.name,
            "values": values,
            "settings": workflow.to_table(),
            "primitives": primitives(run),
            "identity": session.identity(),
        }
        for path in write_export(run, record, arguments.out):
            print(f"wrote {path}")
    return 0


def _there(arguments: argparse.Namespace) -> str:
    """What the next verb needs, too; the URL may hold a password."""
    return "" if arguments.storage is None else " --storage URL"


def create(arguments: argparse.Namespace) -> int:
    """Create a study and train nothing."""
    from vaeopt.study.file import open_study
    from vaeopt.study.optimize import create
    from vaeopt.study.storage import shown_url, storage_url

    file = open_study(arguments.study)
    study, made = create(file, storage=arguments.storage)
    where = f"study {study.study_name!r} in {shown_url(storage_url(file, arguments.storage))}"
    print(f"created {where}" if made else f"{where} is there already, and is the same")
    print(f"next: vaeopt worker {arguments.study}{_there(arguments)}, as often as you like")
    return 0


def optimize(arguments: argparse.Namespace) -> int:
    """Create a study or go on with it."""
    from vaeopt.report.illustrated import optimize
    from vaeopt.report.tables import best_frame, format_frame
    from vaeopt.report.terminal import terminal
    from vaeopt.study.file import open_study
    from vaeopt.study.fronts.pareto import compromise, finished
    from vaeopt.study.storage import shown_url, storage_url

    file = open_study(arguments.study)
    with terminal(quiet=arguments.quiet) as progress:
        study = optimize(
            file,
            n_trials=arguments.n_trials,
            timeout_s=arguments.timeout,
            trials_at_once=arguments.trials_at_once,
            workers=arguments.workers,
            accept=arguments.accept,
            storage=arguments.storage,
            progress=progress,
        )
    table = best_frame(study, most=5, recorded=False)
    if not table.empty:
        print("Pareto front" if len(study.directions) > 1 else "best trials")
        print(format_frame(table))
    print(f"study {study.study_name!r} in {shown_url(storage_url(file, arguments.storage))}")
    print(f"next: vaeopt report {arguments.study}{_there(arguments)}")
    done = finished(study)
    if done and compromise(study) is None:
        complain(
            f"no feasible trial: all {len(done)} have collapsed; the reasons stand in the report"
        )
        return 3
    return 0


def worker(arguments: argparse.Namespace) -> int:
    """Join a study and run trials until none is left to take."""
    from vaeopt.study.processes.lifeline import inherit

    told = inherit()  # first: whoever started this process may be gone before the study is open

    from vaeopt.report.illustrated import work
    from vaeopt.report.terminal import terminal

    with terminal(quiet=arguments.quiet) as progress:
        work(
            arguments.study,
            n_trials=arguments.n_trials,
            timeout_s=arguments.timeout,
            trials_at_once=arguments.trials_at_once,
            accept=arguments.accept,
            storage=told or arguments.storage,
            progress=progress,
        )
    return 0


def _load(arguments: argparse.Namespace) -> "tuple[StudyFile, optuna.Study]":
    from vaeopt.study.file import open_study
    from vaeopt.study.storage import load_study

    file = open_study(arguments.study)
    return file, load_study(file, arguments.storage)


def status(arguments: argparse.Namespace) -> int:
    """Say how far a study is."""
    from vaeopt.study.artefacts.store import artefacts_of
    from vaeopt.study.results.status import status_lines
    from vaeopt.study.storage import shown_url, storage_url

    file, study = _load(arguments)
    print(f"study     {study.study_name}")
    print(f"storage   {shown_url(storage_url(file, arguments.storage))}")
    for line in status_lines(study, file.settings.optuna.n_trials, artefacts_of(file)):
        print(line)
    return 0


def best(arguments: argparse.Namespace) -> int:
    """Show the best trials."""
    from vaeopt.report.tables import best_frame, format_frame
    from vaeopt.study.fronts.preferences import parse_weights
    from vaeopt.study.results.access import metric_names

    _, study = _load(arguments)
    given = arguments.weights
    weights = None if given is None else parse_weights(given, metric_names(study))
    table = best_frame(study, weights=weights, order_by=arguments.order_by, recorded=arguments.json)
    if arguments.json:
        print(
            json.dumps(json.loads(table.to_json(orient="records", double_precision=15)), indent=2)
        )
    elif not table.empty:
        print(format_frame(table))
    if table.empty:
        complain(_NONE_FEASIBLE)
        return 3
    return 0


def confirm(arguments: argparse.Namespace) -> int:
    """Train the leaders again."""
    from vaeopt.report.illustrated import confirm
    from vaeopt.report.tables import confirm_frame, confirm_lines, format_frame
    from vaeopt.report.terminal import terminal
    from vaeopt.study.fronts.pareto import compromise

    file, study = _load(arguments)
    if compromise(study) is None:
        complain(_NONE_FEASIBLE)
        return 3
    with terminal(quiet=arguments.quiet) as progress:
        result = confirm(
            file,
            top=arguments.top,
            on_front=arguments.front,
            seeds=arguments.seeds,
            storage=arguments.storage,
            progress=progress,
        )
    if arguments.json:
        print(json.dumps(result.to_table(), indent=2))
    else:
        print(format_frame(confirm_frame(result)))
        print("\n".join(confirm_lines(result)))
    if result.failed:
        complain(f"{result.failed} trainings failed; see vaeopt:failure in {result.study!r}")
        return 1
    return 0 if result.winner is not None else 3


def rescore(arguments: argparse.Namespace) -> int:
    """Compute a reward for all finished trials."""
    from vaeopt.report.counter import counter
    from vaeopt.report.tables import format_frame, rescored_frame
    from vaeopt.study.file import parse_assignment
    from vaeopt.study.fronts.pareto import compromise, finished
    from vaeopt.study.results.rescore import rescore

    file, study = _load(arguments)
    if not finished(study):
        complain("no feasible trial yet: none is finished")
        return 3
    with counter("rescored") as each:
        result = rescore(
            file,
            arguments.reward,
            settings=dict(parse_assignment(text) for text in arguments.overrides),
            name=arguments.name,
            storage=arguments.storage,
            each=each,
        )
    if result.scores:
        print(format_frame(rescored_frame(study, result)))
    for number, reason in result.skipped.items():
        complain(f"trial {number} has no {result.label}: {reason}")
    if result.skipped:
        return 1
    return 0 if compromise(study) is not None else 3


def report(arguments: argparse.Namespace) -> int:
    """Write one HTML page."""
    import webbrowser

    from vaeopt.report.page import check_png, write_report
    from vaeopt.study.file import open_study
    from vaeopt.study.session import prepare
    from vaeopt.study.storage import load_study

    if arguments.png:
        check_png()  # before any work
    file, study = _load(arguments)
    baseline = None
    if arguments.baseline is not None:
        baseline = load_study(open_study(arguments.baseline))
    out = arguments.out or file.folder / "report"
    page = write_report(
        study, prepare(file), out, baseline=baseline, png=arguments.png, csv=arguments.csv
    )
    print(f"wrote {page}")
    if arguments.open and not webbrowser.open(page.resolve().as_uri()):
        complain("no browser was found; open the page yourself")
    return 0


def export(arguments: argparse.Namespace) -> int:
    """Write the files of a trial."""
    from vaeopt.study.fronts.pareto import pick
    from vaeopt.study.results.records import record_of, restore
    from vaeopt.study.session import prepare
    from vaeopt.workflow import write_export

    file, study = _load(arguments)
    trial = pick(study, arguments.trial)
    run = restore(trial, prepare(file))
    for path in write_export(run, record_of(study, trial), arguments.out):
        print(f"wrote {path}")
    return 0


def replay(arguments: argparse.Namespace) -> int:
    """Run a trial again from its record."""
    from vaeopt.report.terminal import terminal
    from vaeopt.study.fronts.pareto import pick
    from vaeopt.study.guard import check_same
    from vaeopt.study.results.replay import replay
    from vaeopt.study.session import prepare

    file, study = _load(arguments)
    session = prepare(file)
    check_same(study, session)
    with terminal() as progress:
        result = replay(study, session, pick(study, arguments.trial), progress=progress)
    for name, was in result.recorded.items():
        print(f"{name:<20} recorded {was:.9g}  repeated {result.repeated[name]:.9g}")
    different = result.differences(arguments.tolerance)
    if different:
        trial = f"trial {result.number} does not repeat: {', '.join(different)} differ"
        where = f"; recorded with {', '.join(result.elsewhere)}" if result.elsewhere else ""
        complain(trial + where)
        return 1
    print(f"trial {result.number} repeats")
    return 0


def copy(arguments: argparse.Namespace) -> int:
    """Bring a study to another storage."""
    from vaeopt.report.counter import counter
    from vaeopt.study.results.copy import copy

    with counter("copied", "file") as each:
        done = copy(
            arguments.study,
            to=arguments.to,
            storage=arguments.storage,
            artefacts=arguments.artefacts,
            each=each,
        )
    *others, (search, trials) = done.trials.items()
    if trials:
        print(f"copied {trials} trials of study {search!r}, {done.finished} of them finished")
    else:
        print(f"copied study {search!r}, which has no trials yet")
    for name, number in others:
        print(f"copied {number} trials of study {name!r}")
    if done.files is not None:
        print(f"copied {done.files} files to {arguments.artefacts}")
    print(f"from {done.source}")
    print(f"to   {done.target}")
    return 0


def dashboard(arguments: argparse.Namespace) -> int:
    """Serve optuna-dashboard."""
    from vaeopt.report.dashboard import serve
    from vaeopt.study.file import open_study

    return serve(
        open_study(arguments.study),
        storage=arguments.storage,
        host=arguments.host,
        port=arguments.port,
        figures=not arguments.no_figures,
        browse=arguments.open,
    )


def proxy(arguments: argparse.Namespace) -> int:
    """Serve the storage of a study to machines that cannot reach it."""
    from vaeopt.study.processes.proxy import serve
    from vaeopt.study.storage import shown_url, storage_url

    file, study = _load(arguments)
    url = shown_url(storage_url(file, arguments.storage))

    def ready(address: str, exposed: bool) -> None:
        print(f"{url} on {address}  (Ctrl-C ends it)", flush=True)
        if exposed:
            complain("no password: whoever reaches this port may read and change all its studies")

    serve(study._storage, host=arguments.host, port=arguments.port, ready=ready)
    return 0


def kinds(arguments: argparse.Namespace) -> int:
    """Show what there is to choose from."""
    from vaeopt.study.kinds import describe

    print("\n".join(describe(arguments.family)))
    return 0
