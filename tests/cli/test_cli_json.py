"""One JSON document on standard output, whatever the verb."""

import json
import re
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd
import pytest

import vaeopt as vo
from tests.study.tiny import N_TRIALS, ONE, contents, write_study
from vaeopt.cli import main
from vaeopt.cli.answer import as_json, plain
from vaeopt.cli.words import parser
from vaeopt.study.fronts.pareto import front

PAGE = Path(__file__).parents[2] / "docs" / "terminal.md"
STATE = {
    "accepted", "best", "collapsed", "directions", "done", "ended_early", "failed", "failures",
    "finished", "front", "interrupted", "left_s", "paced_over", "repeats", "running",
    "seconds_per_trial", "storage", "study", "time", "trials_per_hour", "verdict", "wanted",
    "without_files", "workers",
}  # fmt: skip
KEYS = {
    "new": {"files"},
    "check": {
        "device", "image", "largest_window_px", "models", "n_fit", "n_keypoints", "points",
        "rewards", "search", "study", "warnings",
    },
    "run": {"collapsed", "components", "files", "seconds", "settings", "study", "values"},
    "create": STATE | {"created"},
    "optimize": STATE,
    "worker": STATE,
    "status": STATE,
    "best": {"trials", "truth", "verdict"},
    "report": {"folder", "page"},
    "confirm": set(),
    "rescore": {"direction", "label", "reward", "scores", "settings", "skipped", "study"},
    "export": {"files", "study", "trial"},
    "replay": {"different", "elsewhere", "recorded", "repeated", "repeats", "study", "trial"},
    "copy": {"files", "finished", "source", "study", "target", "trials"},
}  # fmt: skip


def refuse(word: str) -> None:
    raise AssertionError(f"{word} is not JSON")


def parsed(text: str) -> Any:
    return json.loads(text, parse_constant=refuse)


def test_every_verb_answers_with_one_document(
    finished_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study, fresh = str(finished_copy), str(write_study(tmp_path / "fresh", rewards=ONE))
    commands = [
        ["new", str(tmp_path / "new")],
        ["check", study],
        ["run", study, "--out", str(tmp_path / "run")],
        ["create", fresh],
        ["worker", fresh, "--n-trials", "1"],
        ["optimize", fresh, "--n-trials", "2"],
        ["status", study],
        ["best", study],
        ["confirm", study, "--top", "2", "--seeds", "2"],
        ["rescore", study, "--reward", "rate", "--as", "rated"],
        ["report", study, "--out", str(tmp_path / "report")],
        ["export", study, "--out", str(tmp_path / "export")],
        ["replay", study, "--trial", "0"],
        ["copy", study, "--to", f"sqlite:///{tmp_path}/copy.db"],
        ["kinds"],
    ]
    for command in commands:
        assert main([*command, "--json"]) == 0, command
        found = parsed(capsys.readouterr().out)
        if KEYS.get(command[0]):
            assert found.keys() == KEYS[command[0]], command
        for path in found["files"] if isinstance(found, dict) and command[0] == "run" else []:
            assert Path(path).is_file()


def test_the_page_names_every_key() -> None:
    text = PAGE.read_text(encoding="utf-8")
    keys = set().union(*KEYS.values())
    assert [key for key in sorted(keys) if f"`{key}`" not in text] == []


def test_every_verb_that_ends_has_json_and_the_page_says_so() -> None:
    (verbs,) = (a.choices for a in parser()._actions if isinstance(a.choices, dict))
    servers = {"dashboard", "proxy"}
    have = {name for name, sub in verbs.items() if "--json" in sub.format_help()}
    assert have == set(verbs) - servers
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in sorted(have) if not re.search(rf"`[\w ,|]*\b{name}\b", text)] == []


def test_the_state_of_a_study_is_what_is_stored(
    finished_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(finished_folder)
    assert main(["status", str(finished_folder), "--json", "--n-trials", "10"]) == 0
    found = parsed(capsys.readouterr().out)
    study = vo.load_study(finished_folder)
    assert (found["finished"], found["wanted"], found["done"]) == (N_TRIALS, 10, False)
    assert found["front"] == [
        {"trial": t.number, "values": dict(zip(["fvu_core", "gain"], t.values, strict=True))}
        for t in front(study)
    ]
    assert found["directions"] == {"fvu_core": "minimize", "gain": "maximize"}
    assert found["left_s"] is None, "nobody works on it"
    assert found["without_files"] == []
    assert contents(finished_folder) == before


def test_an_error_leaves_standard_output_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(write_study(tmp_path))
    for command in (["status", folder], ["best", folder], ["run", folder, "--set", "vae.wide=1"]):
        assert main([*command, "--json"]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert len(err.splitlines()) == 1


def test_kinds_say_what_each_setting_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kinds", "density_filter", "--json"]) == 0
    found = parsed(capsys.readouterr().out)
    assert found["density_filter"]["quantile"]["settings"]["drop"].keys() == {
        "required",
        "default",
        "text",
    }
    assert main(["kinds", "vae", "--json"]) == 0
    assert parsed(capsys.readouterr().out)["vae"][""]["settings"]["latent_dim"]["default"] == 2


def test_numbers_become_json() -> None:
    held = {
        "a": np.float64("nan"),
        1: np.int64(3),
        "c": (np.float32(0.5), True, None),
        "d": PurePath("x/y"),
        "e": pd.DataFrame({"n": [1, 2], "v": [float("inf"), 2.5], "s": ["x", None]}),
    }
    assert plain(held) == {
        "a": None,
        "1": 3,
        "c": [0.5, True, None],
        "d": "x/y",
        "e": [{"n": 1, "v": None, "s": "x"}, {"n": 2, "v": 2.5, "s": None}],
    }
    assert as_json([float("-inf")], indent=None) == "[null]"
    with pytest.raises(TypeError, match="object is not for JSON"):
        plain(object())
