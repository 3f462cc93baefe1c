"""The command line: words -> one function call -> print.

Heavy imports stand inside the verbs, so that ``--help`` answers at once. Exit status: 0 fine,
1 unexpected error, 2 a mistake that the user can put right, 3 no feasible trial, 130 Ctrl-C.
"""

import argparse
import json
import math
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from vaeopt import __version__
from vaeopt.core.errors import SettingsError, VaeoptError

if TYPE_CHECKING:
    import optuna

    from vaeopt.study.file import StudyFile

__all__ = ["main"]

_STUDY = "a study folder or its .toml file"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status."""
    arguments = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _terminate)
    _keep_freed_memory()
    try:
        status: int = arguments.verb(arguments)
        sys.stdout.flush()  # here, where a reader that has gone is expected
    except SettingsError as error:
        for mistake in error.mistakes:
            _complain(str(mistake))
        return 2
    except VaeoptError as error:
        _complain(str(error))
        return 2
    except KeyboardInterrupt:
        _complain("stopped; run the same command again to go on")
        return 130
    except BrokenPipeError:  # the reader of our output (head, less) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return 0
    except OSError as error:  # a full disk, a folder that may not be written to
        _complain(str(error))
        return 2
    return status


def _keep_freed_memory() -> None:
    """Let glibc reuse the large temporaries of a training step instead of unmapping them.

    Page faults of fresh mappings cost 14 % of the processor time of a step (docs/vae.md). Only the
    program does this: a library must not change the allocator of the process that imports it.
    """
    import ctypes

    trim_threshold, mmap_threshold, one_gib = -1, -3, 1 << 30
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        return
    mallopt(mmap_threshold, one_gib)
    mallopt(trim_threshold, one_gib)


def _terminate(signum: int, frame: object) -> None:
    raise KeyboardInterrupt  # a job scheduler's SIGTERM ends as cleanly as Ctrl-C


def _complain(line: str) -> None:
    print(f"vaeopt: {line}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, like every other mistake; argparse would show the usage first."""
        self.exit(2, f"vaeopt: {message}; see '{self.prog} --help'\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="vaeopt",
        description="Search the invariant VAE whose latent space shows a material's building "
        "blocks, with Optuna.",
    )
    parser.add_argument("--version", action="version", version=f"vaeopt {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    def verb(name: str, function: Any, text: str, *, study: bool = True) -> Any:
        sub = verbs.add_parser(name, help=text, description=text)
        sub.set_defaults(verb=function)
        if study:
            sub.add_argument("study", metavar="STUDY", help=_STUDY)
        return sub

    def storage(sub: Any) -> None:
        sub.add_argument("--storage", metavar="URL", help="Optuna storage (default: a SQLite file)")

    def out(sub: Any, text: str, *, required: bool = False) -> None:
        sub.add_argument("--out", metavar="DIR", type=_folder, help=text, required=required)

    sub = verb("new", _new, "write a commented study folder", study=False)
    sub.add_argument(
        "folder", metavar="NAME", type=_folder, help="folder; its last part is the name"
    )
    sub.add_argument("--image", metavar="FILE", type=Path, help="image to study")

    sub = verb("check", _check, "name all mistakes of a study file; train nothing")
    sub.add_argument("--set", metavar="PATH=VALUE", action="append", default=[], dest="overrides")

    sub = verb("run", _run, "walk once through all stages with fixed settings, no Optuna")
    sub.add_argument(
        "--set",
        metavar="PATH=VALUE",
        action="append",
        default=[],
        dest="overrides",
        help="change a setting, e.g. --set patches.size_px=13",
    )
    out(sub, "write key points, record and model here")

    sub = verb("optimize", _optimize, "create a study or go on with it")
    sub.add_argument("--n-trials", metavar="N", type=_positive, help="finished trials in all")
    sub.add_argument("--timeout", metavar="S", type=_seconds, help="start no trial after S seconds")
    sub.add_argument("--quiet", action="store_true", help="show no progress")
    storage(sub)

    sub = verb("status", _status, "how far a study is")
    storage(sub)

    sub = verb("best", _best, "the best trials, or the Pareto front")
    sub.add_argument("--json", action="store_true", help="for machines")
    storage(sub)

    sub = verb("report", _report, "write one HTML page with tables and figures")
    out(sub, "folder (default: report/ beside the study file)")
    storage(sub)

    sub = verb("export", _export, "write key points, record and model of a trial")
    sub.add_argument("--trial", metavar="N|best", default="best")
    out(sub, "folder to write to", required=True)
    storage(sub)

    sub = verb("replay", _replay, "run a trial again from its record; fails if values differ")
    sub.add_argument("--trial", metavar="N", required=True)
    sub.add_argument(
        "--tolerance",
        metavar="REL",
        type=_tolerance,
        default=1e-6,
        help="relative difference that counts as equal (default: 1e-6)",
    )
    storage(sub)

    sub = verb("dashboard", _dashboard, "serve optuna-dashboard for a study and print its address")
    sub.add_argument("--port", metavar="PORT", type=int, default=8080)
    sub.add_argument("--host", metavar="HOST", default="127.0.0.1")
    storage(sub)

    sub = verb("kinds", _kinds, "plug-ins with their settings, defaults and units", study=False)
    sub.add_argument("family", metavar="FAMILY", nargs="?", help="one family only")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    if not 0 < _real(text) < math.inf:
        raise argparse.ArgumentTypeError(f"expected seconds above 0, got {text!r}")
    return _real(text)


def _tolerance(text: str) -> float:
    if not 0 <= _real(text) < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number from 0, got {text!r}")
    return _real(text)


def _real(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan  # within no limits


def _folder(text: str) -> Path:
    path = Path(text)
    for place in (path, *path.absolute().parents):
        if place.is_file():  # known now, not after the training whose result would go there
            raise argparse.ArgumentTypeError(f"{str(place)!r} is a file, not a folder")
    return path


def _new(arguments: argparse.Namespace) -> int:
    from vaeopt.study.template import write_new_study

    path = write_new_study(arguments.folder, image=arguments.image)
    print(f"wrote {path}")
    print(f"next: vaeopt check {arguments.folder}")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from vaeopt.study.check import check
    from vaeopt.study.file import open_study

    for line in check(open_study(arguments.study, overrides=arguments.overrides)):
        print(line)
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from vaeopt.report.terminal import terminal
    from vaeopt.study.file import open_study
    from vaeopt.study.optimize import run_once
    from vaeopt.study.session import prepare
    from vaeopt.workflow import primitives, rewards_of, write_export

    session = prepare(open_study(arguments.study, overrides=arguments.overrides))
    with terminal() as progress:
        run = run_once(session, progress=progress)
    workflow = session.file.settings.workflow
    values = rewards_of(workflow, run)
    for label, value in values.items():
        print(f"{label:<20} {value:.6g}")
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


def _optimize(arguments: argparse.Namespace) -> int:
    from vaeopt.report.tables import best_frame, format_frame
    from vaeopt.report.terminal import terminal
    from vaeopt.study.file import open_study
    from vaeopt.study.optimize import optimize
    from vaeopt.study.storage import shown_url, storage_url

    file = open_study(arguments.study)
    with terminal(quiet=arguments.quiet) as progress:
        study = optimize(
            file,
            n_trials=arguments.n_trials,
            timeout_s=arguments.timeout,
            storage=arguments.storage,
            progress=progress,
        )
    table = best_frame(study, most=5)
    if not table.empty:
        print("Pareto front" if len(study.directions) > 1 else "best trials")
        print(format_frame(table))
    print(f"study {study.study_name!r} in {shown_url(storage_url(file, arguments.storage))}")
    print(f"next: vaeopt report {arguments.study}")
    return 0


def _load(arguments: argparse.Namespace) -> "tuple[StudyFile, optuna.Study]":
    from vaeopt.study.file import open_study
    from vaeopt.study.storage import load_study

    file = open_study(arguments.study)
    return file, load_study(file, arguments.storage)


def _status(arguments: argparse.Namespace) -> int:
    from vaeopt.study.access import status_lines
    from vaeopt.study.storage import shown_url, storage_url

    file, study = _load(arguments)
    print(f"study     {study.study_name}")
    print(f"storage   {shown_url(storage_url(file, arguments.storage))}")
    for line in status_lines(study, file.settings.optuna.n_trials):
        print(line)
    return 0


def _best(arguments: argparse.Namespace) -> int:
    from vaeopt.report.tables import best_frame, format_frame

    _, study = _load(arguments)
    table = best_frame(study)
    if arguments.json:
        print(
            json.dumps(json.loads(table.to_json(orient="records", double_precision=15)), indent=2)
        )
    elif not table.empty:
        print(format_frame(table))
    if table.empty:
        _complain("no feasible trial yet: none is finished, or all have collapsed")
        return 3
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from vaeopt.report.page import write_report
    from vaeopt.study.session import prepare

    file, study = _load(arguments)
    page = write_report(study, prepare(file), arguments.out or file.folder / "report")
    print(f"wrote {page}")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from vaeopt.study.pareto import pick
    from vaeopt.study.records import record_of, restore
    from vaeopt.study.session import prepare
    from vaeopt.workflow import write_export

    file, study = _load(arguments)
    trial = pick(study, arguments.trial)
    run = restore(trial, prepare(file))
    for path in write_export(run, record_of(study, trial), arguments.out):
        print(f"wrote {path}")
    return 0


def _replay(arguments: argparse.Namespace) -> int:
    from vaeopt.report.terminal import terminal
    from vaeopt.study.optimize import replay
    from vaeopt.study.pareto import pick
    from vaeopt.study.session import prepare
    from vaeopt.study.storage import check_same

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
        _complain(trial + where)
        return 1
    print(f"trial {result.number} repeats")
    return 0


def _dashboard(arguments: argparse.Namespace) -> int:
    from vaeopt.report.dashboard import serve
    from vaeopt.study.storage import storage_url

    file, _ = _load(arguments)
    url = storage_url(file, arguments.storage)
    return serve(url, file.artefacts, host=arguments.host, port=arguments.port)


def _kinds(arguments: argparse.Namespace) -> int:
    from vaeopt.study.kinds import describe

    print("\n".join(describe(arguments.family)))
    return 0
