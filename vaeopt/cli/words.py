"""The words of the command line: verbs, their options, and what each option may be."""

import argparse
import math
from pathlib import Path
from typing import Any, NoReturn

from vaeopt import __version__
from vaeopt.cli import truth, verbs
from vaeopt.core.secrets import masked

__all__ = ["parser"]

_STUDY = "a study folder or its .toml file"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, like every other mistake; argparse would show the usage first."""
        self.exit(2, masked(f"vaeopt: {message}; see '{self.prog} --help'\n"))


def parser() -> argparse.ArgumentParser:
    """Everything that can be typed."""
    words = _Parser(
        prog="vaeopt",
        description="Search the invariant VAE whose latent space shows a material's building "
        "blocks, with Optuna.",
    )
    words.add_argument("--version", action="version", version=f"vaeopt {__version__}")
    verbs_of = words.add_subparsers(title="verbs", metavar="VERB", required=True)

    def verb(name: str, function: Any, text: str, *, study: bool = True) -> Any:
        sub = verbs_of.add_parser(name, help=text, description=text)
        sub.set_defaults(verb=function)
        if study:
            sub.add_argument("study", metavar="STUDY", help=_STUDY)
        return sub

    def storage(sub: Any) -> None:
        sub.add_argument("--storage", metavar="URL", help="Optuna storage (default: a SQLite file)")

    def machines(sub: Any) -> None:
        sub.add_argument("--json", action="store_true", help="for machines")

    def loop(sub: Any) -> None:
        sub.add_argument("--n-trials", metavar="N", type=_positive, help="finished trials in all")
        sub.add_argument(
            "--timeout", metavar="S", type=_seconds, help="start no trial after S seconds"
        )
        sub.add_argument(
            "--trials-at-once", metavar="N", type=_positive, help="trials that train together"
        )
        sub.add_argument("--quiet", action="store_true", help="show no progress")
        machines(sub)

    def accept(sub: Any) -> None:
        sub.add_argument(
            "--accept",
            metavar="NAME,...",
            type=lambda text: text.split(","),
            default=[],
            help="go on although this has changed: sampler, duplicates, plugins",
        )

    def out(sub: Any, text: str, *, required: bool = False) -> None:
        sub.add_argument("--out", metavar="DIR", type=_folder, help=text, required=required)

    sub = verb("new", verbs.new, "write a commented study folder", study=False)
    sub.add_argument(
        "folder", metavar="NAME", type=_folder, help="folder; its last part is the name"
    )
    sub.add_argument("--image", metavar="FILE", type=Path, help="image to study")
    machines(sub)

    sub = verb("check", verbs.check, "name all mistakes of a study file; train nothing")
    sub.add_argument("--set", metavar="PATH=VALUE", action="append", default=[], dest="overrides")
    machines(sub)

    sub = verb("run", verbs.run, "walk once through all stages with fixed settings, no Optuna")
    sub.add_argument(
        "--set",
        metavar="PATH=VALUE",
        action="append",
        default=[],
        dest="overrides",
        help="change a setting, e.g. --set patches.size_px=13",
    )
    out(sub, "write key points, record and model here")
    machines(sub)

    sub = verb("create", verbs.create, "create a study for workers to join; train nothing")
    machines(sub)
    storage(sub)

    sub = verb("optimize", verbs.optimize, "create a study or go on with it")
    loop(sub)
    sub.add_argument(
        "--workers",
        metavar="N",
        type=_positive,
        default=1,
        help="processes that share the trials (default: 1)",
    )
    accept(sub)
    storage(sub)

    sub = verb("worker", verbs.worker, "join a study: run trials until none is left to take")
    loop(sub)
    accept(sub)
    storage(sub)

    sub = verb("status", verbs.status, "how far a study is, wherever it runs")
    sub.add_argument(
        "--watch",
        metavar="S",
        type=_seconds,
        nargs="?",
        const=2.0,
        help="look again every S seconds (default: 2) until it is finished",
    )
    sub.add_argument(
        "--n-trials",
        metavar="N",
        type=_positive,
        help="finished trials in all",
    )
    sub.add_argument(
        "--last",
        metavar="N",
        type=_positive,
        default=20,
        help="finished trials that tell the pace (default: 20)",
    )
    machines(sub)
    storage(sub)

    sub = verb("best", verbs.best, "the best trials, or the Pareto front")
    order = sub.add_mutually_exclusive_group()
    order.add_argument(
        "--weights", metavar="NAME=W,...", help="order by what you prefer, e.g. fvu_core=1,gain=2"
    )
    order.add_argument("--order-by", metavar="LABEL", help="order by any stored score")
    sub.add_argument(
        "--truth",
        action="store_true",
        help="also compare with the truth, where the image is a rendered one",
    )
    machines(sub)
    storage(sub)

    sub = verb(
        "confirm", verbs.confirm, "train the leaders again with fresh seeds and compare them"
    )
    which = sub.add_mutually_exclusive_group()
    which.add_argument(
        "--top", metavar="N", type=_positive, default=5, help="the N best trials (default: 5)"
    )
    which.add_argument("--front", action="store_true", help="the whole Pareto front")
    sub.add_argument(
        "--seeds", metavar="N", type=_positive, default=5, help="trainings of each (default: 5)"
    )
    sub.add_argument("--quiet", action="store_true", help="show no progress")
    machines(sub)
    storage(sub)

    sub = verb("rescore", verbs.rescore, "compute a reward for all finished trials; train nothing")
    sub.add_argument(
        "--reward",
        metavar="KIND",
        required=True,
        help="a kind, or a table such as '{ kind = \"icl\", weight = 0.5 }'",
    )
    sub.add_argument(
        "--set",
        metavar="PATH=VALUE",
        action="append",
        default=[],
        dest="overrides",
        help="fit again with this changed, e.g. --set mixture.space=whiten",
    )
    sub.add_argument(
        "--as",
        metavar="NAME",
        dest="name",
        help="also make a study of this name with the new values, for the dashboard",
    )
    machines(sub)
    storage(sub)

    sub = verb("report", verbs.report, "write one HTML page with tables and figures")
    machines(sub)
    out(sub, "folder (default: report/ beside the study file)")
    sub.add_argument(
        "--baseline",
        metavar="STUDY",
        help="draw the hypervolume of this study too, e.g. the same one by random search",
    )
    sub.add_argument(
        "--csv", action="store_true", help="also write the data of every figure: figures/NAME.csv"
    )
    sub.add_argument(
        "--png", action="store_true", help="also write every figure: figures/NAME.png (kaleido)"
    )
    sub.add_argument("--open", action="store_true", help="open the page in a browser")
    storage(sub)

    sub = verb("export", verbs.export, "write key points, record and model of a trial")
    sub.add_argument("--trial", metavar="N|best", default="best")
    out(sub, "folder to write to", required=True)
    machines(sub)
    storage(sub)

    sub = verb("replay", verbs.replay, "run a trial again from its record; fails if values differ")
    sub.add_argument("--trial", metavar="N", required=True)
    sub.add_argument(
        "--tolerance",
        metavar="REL",
        type=_tolerance,
        default=1e-6,
        help="relative difference that counts as equal (default: 1e-6)",
    )
    sub.add_argument(
        "--restore", action="store_true", help="write its files again if they are lost"
    )
    machines(sub)
    storage(sub)

    sub = verb("copy", verbs.copy, "copy a study to another storage, to go on there")
    sub.add_argument(
        "--to", metavar="URL", help="storage of the copy (default: a SQLite file beside the study)"
    )
    sub.add_argument(
        "--artefacts", metavar="URL", help="copy the files of its trials here (default: nowhere)"
    )
    machines(sub)
    storage(sub)

    sub = verb(
        "dashboard", verbs.dashboard, "serve optuna-dashboard for a study and print its address"
    )
    sub.add_argument(
        "--port", metavar="PORT", type=_port_or_any, default=8080, help="0: any (default: 8080)"
    )
    sub.add_argument("--host", metavar="HOST", default="127.0.0.1")
    sub.add_argument(
        "--no-figures",
        action="store_true",
        help="only look: save neither figures nor a note into the study",
    )
    sub.add_argument("--open", action="store_true", help="open the page in a browser")
    storage(sub)

    sub = verb(
        "proxy", verbs.proxy, "serve the storage to machines that cannot reach the database (gRPC)"
    )
    sub.add_argument("--port", metavar="PORT", type=_port, default=13000)
    sub.add_argument("--host", metavar="HOST", default="127.0.0.1")
    storage(sub)

    sub = verb(
        "truth", truth.truth, "which reward picks what is right, on rendered scans", study=False
    )
    sub.add_argument("folder", metavar="FOLDER", type=Path, help="a folder with truth.toml")
    sub.add_argument(
        "--workers",
        metavar="N",
        type=_positive,
        default=1,
        help="processes that share the trainings (default: 1)",
    )
    sub.add_argument("--only", metavar="FAMILY", help="train on the scans of one family only")
    what = sub.add_mutually_exclusive_group()
    what.add_argument(
        "--keep", action="store_true", help="keep latents, so that they can be rescored"
    )
    what.add_argument(
        "--rescore", action="store_true", help="score latents that were kept anew; train nothing"
    )
    what.add_argument(
        "--summary", action="store_true", help="table and figure of what there is; train nothing"
    )
    sub.add_argument("--png", action="store_true", help="also truth.png and truth.svg (kaleido)")
    sub.add_argument("--quiet", action="store_true", help="show no progress")
    machines(sub)

    sub = verb(
        "kinds", verbs.kinds, "plug-ins with their settings, defaults and units", study=False
    )
    sub.add_argument("family", metavar="FAMILY", nargs="?", help="one family only")
    machines(sub)
    return words


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def _port_or_any(text: str) -> int:
    if text == "0":
        return 0
    try:
        return _port(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}; 0 is any that is free") from None


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 1 to 65535, got {text!r}")
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
