"""The verbs: each takes what was typed, makes one call and prints; returns the exit status."""

import argparse
import sys
from dataclasses import asdict
from shlex import quote
from typing import TYPE_CHECKING, Any

from vaeopt.cli.answer import answer
from vaeopt.cli.best import NONE_FEASIBLE, best
from vaeopt.cli.once import check, kinds, new, run
from vaeopt.core.secrets import masked

if TYPE_CHECKING:
    import optuna

    from vaeopt.study.file import StudyFile
    from vaeopt.study.results.status import Status

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


def complain(line: str) -> None:
    """One line on standard error."""
    print(masked(f"vaeopt: {line}"), file=sys.stderr)


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
    lines = [
        f"created {where}" if made else f"{where} is there already, and is the same",
        f"next: vaeopt worker {quote(str(arguments.study))}{_there(arguments)}, as often as you "
        "like",
    ]
    answer(arguments, {**_state(arguments, file, study), "created": made}, lines)
    return 0


def _state(
    arguments: argparse.Namespace, file: "StudyFile", study: "optuna.Study"
) -> dict[str, Any]:
    """How far a study is: what create, optimize, worker and status answer to machines."""
    from vaeopt.study.results.status import status_of
    from vaeopt.study.storage import shown_url, storage_url

    total = getattr(arguments, "n_trials", None) or file.settings.optuna.n_trials
    url = shown_url(storage_url(file, arguments.storage))
    return {**status_of(study, total).to_table(), "storage": url}


def optimize(arguments: argparse.Namespace) -> int:
    """Create a study or go on with it."""
    from vaeopt.report.illustrated import optimize
    from vaeopt.report.tables import best_frame, format_frame
    from vaeopt.report.terminal import terminal
    from vaeopt.study.file import open_study
    from vaeopt.study.fronts.pareto import compromise, finished
    from vaeopt.study.results.verdict import verdict_lines
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
    lines = []
    if not table.empty:
        lines.append("Pareto front" if len(study.directions) > 1 else "best trials")
        lines.append(format_frame(table))
    lines += verdict_lines(study)
    lines.append(f"study {study.study_name!r} in {shown_url(storage_url(file, arguments.storage))}")
    lines.append(f"next: vaeopt report {quote(str(arguments.study))}{_there(arguments)}")
    answer(arguments, _state(arguments, file, study), lines)
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
    from vaeopt.study.file import open_study

    file = open_study(arguments.study)
    with terminal(quiet=arguments.quiet) as progress:
        study = work(
            file,
            n_trials=arguments.n_trials,
            timeout_s=arguments.timeout,
            trials_at_once=arguments.trials_at_once,
            accept=arguments.accept,
            storage=told or arguments.storage,
            progress=progress,
        )
    answer(arguments, _state(arguments, file, study) if arguments.json else None, ())
    return 0


def _load(arguments: argparse.Namespace) -> "tuple[StudyFile, optuna.Study]":
    from vaeopt.study.file import open_study
    from vaeopt.study.storage import load_study

    file = open_study(arguments.study)
    return file, load_study(file, arguments.storage)


def status(arguments: argparse.Namespace) -> int:
    """Say how far a study is, once or again and again."""
    from vaeopt.cli.watch import watch
    from vaeopt.study.artefacts.store import artefacts_of
    from vaeopt.study.results.status import lines_of, status_of
    from vaeopt.study.storage import shown_url, storage_url

    file, study = _load(arguments)
    wanted = arguments.n_trials or file.settings.optuna.n_trials
    url = shown_url(storage_url(file, arguments.storage))
    found = status_of(study, wanted, artefacts_of(file), last=arguments.last)
    head = [f"study     {study.study_name}", f"storage   {url}"]
    if arguments.watch is None:
        answer(arguments, {**found.to_table(), "storage": url}, [*head, *lines_of(found)])
        return 0

    def look() -> "Status":
        return status_of(study, wanted, last=arguments.last)

    watch(look, head=head, every_s=arguments.watch, as_json=arguments.json, storage=url)
    return 0


def confirm(arguments: argparse.Namespace) -> int:
    """Train the leaders again."""
    from vaeopt.report.illustrated import confirm
    from vaeopt.report.tables import confirm_frame, confirm_lines, format_frame
    from vaeopt.report.terminal import terminal
    from vaeopt.study.fronts.pareto import compromise

    file, study = _load(arguments)
    if compromise(study) is None:
        complain(NONE_FEASIBLE)
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
    lines = [format_frame(confirm_frame(result)), *confirm_lines(result)]
    answer(arguments, result.to_table(), lines)
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
    document = {"study": arguments.name, **asdict(result)}
    answer(
        arguments,
        document,
        [format_frame(rescored_frame(study, result))] if result.scores else [],
    )
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
    answer(arguments, {"page": page, "folder": out}, [f"wrote {page}"])
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
    files = write_export(run, record_of(study, trial), arguments.out)
    document = {"study": study.study_name, "trial": trial.number, "files": files}
    answer(arguments, document, [f"wrote {path}" for path in files])
    return 0


def replay(arguments: argparse.Namespace) -> int:
    """Run a trial again from its record."""
    from vaeopt.report.terminal import terminal
    from vaeopt.study.fronts.pareto import pick
    from vaeopt.study.guard import check_same
    from vaeopt.study.results.records import keep_again
    from vaeopt.study.results.replay import replay
    from vaeopt.study.session import prepare

    file, study = _load(arguments)
    session = prepare(file)
    check_same(study, session)
    with terminal() as progress:
        trial = pick(study, arguments.trial)
        result = replay(study, session, trial, progress=progress)
    different = result.differences(arguments.tolerance)
    if arguments.restore and not different and result.run is not None:
        keep_again(trial, result.run, session.artefacts)
    lines = [
        f"{name:<20} recorded {was:.9g}  repeated {result.repeated[name]:.9g}"
        for name, was in result.recorded.items()
    ]
    if not different:
        restored = ", and its files are written again" if arguments.restore else ""
        lines.append(f"trial {result.number} repeats{restored}")
    document = {"study": study.study_name, "trial": result.number, "repeats": not different}
    document |= {"recorded": result.recorded, "repeated": result.repeated}
    answer(arguments, {**document, "different": different, "elsewhere": result.elsewhere}, lines)
    if different:
        where = f"; recorded with {', '.join(result.elsewhere)}" if result.elsewhere else ""
        complain(f"trial {result.number} does not repeat: {', '.join(different)} differ{where}")
        return 1
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
    lines = [
        f"copied {trials} trials of study {search!r}, {done.finished} of them finished"
        if trials
        else f"copied study {search!r}, which has no trials yet"
    ]
    lines += [f"copied {number} trials of study {name!r}" for name, number in others]
    if done.files is not None:
        lines.append(f"copied {done.files} files to {arguments.artefacts}")
    lines += [f"from {done.source}", f"to   {done.target}"]
    answer(arguments, {"study": search, **asdict(done)}, lines)
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
