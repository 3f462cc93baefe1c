"""The verb of the truth benchmark."""

import argparse
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from vaeopt.cli.answer import answer, as_json

if TYPE_CHECKING:
    from vaeopt.truth import Summary, TruthFile

__all__ = ["truth"]


def truth(arguments: argparse.Namespace) -> int:
    """Train what is missing of a benchmark, and say which reward picks what is right."""
    from vaeopt.cli.verbs import complain
    from vaeopt.report.grid_terminal import grid_terminal
    from vaeopt.report.page.files import check_png
    from vaeopt.report.truth_table import short_lines
    from vaeopt.truth import open_truth, rescore, summary_of, train

    if arguments.png:
        check_png()  # before any work
    file = open_truth(arguments.folder)
    failures = []
    options = {"workers": arguments.workers, "only": arguments.only}
    if arguments.rescore:
        with grid_terminal(quiet=arguments.quiet, what="rescored") as progress:
            rescore(file, **options, progress=progress)
    elif not arguments.summary:
        with grid_terminal(quiet=arguments.quiet) as progress:
            failures = train(file, **options, kept=arguments.keep, progress=progress)
    summary = summary_of(file, arguments.only)
    files = _written(file, summary, pictures=arguments.png)
    lines = [*short_lines(summary), *(f"wrote {path}" for path in files)]
    if summary.missing:
        command = f"vaeopt truth {quote(str(arguments.folder))}"
        if arguments.only:
            command += f" --only {quote(arguments.only)}"
        lines.append(f"{summary.missing} trainings are missing: {command}")
    answer(arguments, {**summary.to_table(), "files": files}, lines)
    if failures:
        complain(f"{len(failures)} trainings failed; the same command tries them again")
        return 1
    return 0


def _written(file: "TruthFile", summary: "Summary", *, pictures: bool) -> list[Path]:
    """Table, numbers and figure of the benchmark."""
    from vaeopt.report.figures.truth import draw_truth, truth_info
    from vaeopt.report.page.files import write_pictures, write_whole
    from vaeopt.report.truth_table import markdown
    from vaeopt.truth.rows import rounded

    figure = draw_truth(truth_info(summary))
    page = figure.to_html(include_plotlyjs=True, full_html=True)
    contents = {
        "table.md": markdown(summary),
        "summary.json": as_json(rounded(summary.to_table()), indent=1) + "\n",
        "truth.html": page,
    }
    files = [file.folder / name for name in contents]
    for path, content in zip(files, contents.values(), strict=True):
        write_whole(path, content)
    if pictures:
        drawn = {file.folder / f"truth.{kind}": figure for kind in ("png", "svg")}
        write_pictures(drawn)
        files += drawn
    return files
