"""Words, not work: help and version answer without the heavy libraries."""

import re
import subprocess
import sys

import pytest

from vaeopt import __version__
from vaeopt.cli import main

VERBS = [
    "new",
    "check",
    "run",
    "create",
    "optimize",
    "worker",
    "status",
    "best",
    "confirm",
    "rescore",
    "report",
    "export",
    "replay",
    "copy",
    "dashboard",
    "proxy",
    "truth",
    "kinds",
]


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    with pytest.raises(SystemExit) as left:
        main(argv)
    out, err = capsys.readouterr()
    assert left.value.code == 0
    assert err == ""
    return out


def test_help_lists_the_verbs_in_the_order_of_use(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "--help")
    assert re.findall(r"^    (\w+)(?: |$)", text, flags=re.MULTILINE) == VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, verb, "--help")
    assert text.startswith(f"usage: vaeopt {verb} ")
    description = text.split("\n\n")[1]
    assert len(description.split()) >= 4
    assert ("STUDY" in text) == (verb not in ("new", "truth", "kinds"))


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "--version") == f"vaeopt {__version__}\n"


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
from vaeopt.cli import main
try:
    main(["--help"])
except SystemExit:
    pass
heavy = {"torch", "optuna", "sklearn", "plotly", "pandas", "scipy", "numpy", "pydantic", "h5py"}
print("loaded:", sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(  # noqa: S603  # this Python, on the lines above
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert "usage: vaeopt" in done.stdout
    assert done.stdout.splitlines()[-1] == "loaded: []"
