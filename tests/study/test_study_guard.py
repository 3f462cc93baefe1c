"""A study file that has changed: what is refused, what can be accepted, and what is kept of it."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pytest

import vaeopt as vo
from tests.study.test_study_plugins import REWARD
from tests.study.tiny import ONE, SEARCH, TWO, contents, write_study
from vaeopt.cli import main
from vaeopt.core.errors import ChangedError, StudyError
from vaeopt.stages.rewards import Reward
from vaeopt.study.attributes import ACCEPTED, IDENTITY
from vaeopt.study.file import open_study
from vaeopt.study.guard import accepted_lines, check_same
from vaeopt.study.optimize import optimize
from vaeopt.study.results.confirm import confirm
from vaeopt.study.results.status import status_lines
from vaeopt.study.session import prepare
from vaeopt.study.storage import load_study

Change = Callable[[Path], None]
HEAD = "vaeopt: name: study 'tiny' was started with other settings; give the changed study a new "
HINT = "name, or put the settings back"
PLUGIN = REWARD.format(name="PointsG", kind="points-g")


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kinds that a test declares are gone after it."""
    monkeypatch.setattr(Reward, "registry", dict(Reward.registry))


def _pieces(**changed: Any) -> dict[str, Any]:
    return {"rewards": ONE, "n_trials": 2, "sampler": '"tpe"', **changed}


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A study of two trials."""
    folder = write_study(tmp_path / "begun", **_pieces())
    optimize(folder)
    return folder


def _again(folder: Path, *words: str) -> int:
    return main(["optimize", str(folder), "--n-trials", "3", "--quiet", *words])


# What changes, the lines that say so, and the name that accepts it.
MATRIX: dict[str, tuple[dict[str, Any], list[str], str | None]] = {
    "sampler": ({"sampler": '"random"'}, ["sampler.kind: was tpe, is random"], "sampler"),
    "its settings": (
        {"sampler": '{ kind = "tpe", n_startup_trials = 3 }'},
        ["sampler.n_startup_trials: was 10, is 3"],
        "sampler",
    ),
    "policy": (
        {"optuna": 'duplicates = "skip"'},
        ["duplicates: was replicate, is skip", "max_replicates: was 3, is none"],
        "duplicates",
    ),
    "number": ({"optuna": "max_replicates = 5"}, ["max_replicates: was 3, is 5"], "duplicates"),
    "seed": ({"seed": 4}, ["seed: was 0, is 4"], None),
    "wider": (
        {"search": SEARCH.replace("high = 7", "high = 9")},
        ["search.patches.size_px.high: was 7, is 9"],
        None,
    ),
    "narrower": (
        {"search": SEARCH.replace(', ["rotation", "translation"]', "")},
        ['search.vae.invariances.choices[2]: was ["rotation", "translation"], is none'],
        None,
    ),
    "rewards": (
        {"rewards": TWO},
        ["workflow.rewards[1]: was ", "directions of the rewards: "],
        None,
    ),
    "direction": ({"rewards": '["gain"]'}, ["directions of the rewards: was minimize, is m"], None),
    "workflow": ({"vae": "kl_scale = 0.5"}, ["workflow.vae.kl_scale: was 0.001, is 0.5"], None),
    "key points": (
        {"keypoints": '{ kind = "grid", spacing_px = 7 }'},
        ["keypoints_sha256: was ", "workflow.keypoints.spacing_px: was 6, is 7"],
        None,
    ),
    "image": (
        {"image": 'path = "image.npy"\nclip_percentiles = [2, 90]'},
        ["image_sha256: "],
        None,
    ),
}


@pytest.mark.parametrize("what", MATRIX)
def test_every_difference_has_its_line_and_nothing_is_written(
    what: str, begun: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed, lines, name = MATRIX[what]
    write_study(begun, **_pieces(**changed))
    before = contents(begun)
    assert _again(begun) == 2
    head, *said = capsys.readouterr().err.splitlines()
    remedy = "" if name is None else f", or go on with --accept {name}"
    assert head == HEAD + HINT + remedy
    for line in lines:
        assert any(one.startswith(f"vaeopt: {line}") for one in said), said
    assert contents(begun) == before


@pytest.mark.parametrize("what", MATRIX)
def test_only_what_leaves_values_comparable_can_be_accepted(
    what: str, begun: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed, _, name = MATRIX[what]
    write_study(begun, **_pieces(**changed))
    before = contents(begun)
    status = _again(begun, "--accept", "sampler,duplicates,plugins")
    assert status == (2 if name is None else 0)
    if name is None:
        assert contents(begun) == before
        return
    study = load_study(open_study(begun))
    (note,) = study.user_attrs[ACCEPTED]
    assert (note["name"], note["from_trial"]) == (name, 2)
    assert datetime.fromisoformat(note["when"]).tzinfo is not None
    assert note["was"] != note["is"]
    (line,) = accepted_lines(study)
    assert line.startswith(f"{name} changed from trial 2 on: ")
    assert f"accepted  {line}" in status_lines(study, 3)
    assert len(study.trials) == 3
    assert _again(begun) == 0, "it is the study's from then on"
    write_study(begun, **_pieces())
    assert _again(begun) == 2, "and going back is a change too"


def test_all_differences_are_named_at_once(begun: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(begun, **_pieces(seed=1, sampler='"random"', vae="kl_scale = 0.5"))
    assert _again(begun, "--accept", "sampler") == 2
    head, *said = capsys.readouterr().err.splitlines()
    assert head == HEAD + HINT
    assert {line.split(":")[1].strip() for line in said} >= {
        "seed",
        "sampler.kind",
        "workflow.vae.kl_scale",
    }
    assert ACCEPTED not in load_study(open_study(begun)).user_attrs


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("seed", "a changed seed cannot be accepted: it decides which points are fitted"),
        ("smapler", "'smapler' cannot be accepted; did you mean 'sampler'?"),
        ("search", "'search' cannot be accepted; known: duplicates, plugins, sampler"),
        ("sampler,", "'' cannot be accepted; known: duplicates, plugins, sampler"),
    ],
)
def test_a_name_that_cannot_be_accepted(
    name: str, words: str, begun: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _again(begun, "--accept", name) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"vaeopt: --accept: {words}")


def test_accepting_what_has_not_changed_leaves_no_trace(begun: Path) -> None:
    assert _again(begun, "--accept", "plugins,sampler") == 0
    assert ACCEPTED not in load_study(open_study(begun)).user_attrs


# ---- code of plug-ins


@pytest.fixture
def with_plugin(tmp_path: Path) -> Path:
    folder = tmp_path / "with-plugin"
    folder.mkdir()
    (folder / "mine.py").write_text(PLUGIN)
    rewards = '[ { kind = "points-g" } ]'
    optimize(write_study(folder, **_pieces(head='plugins = ["mine.py"]', rewards=rewards)))
    return folder


def test_changed_code_of_a_plugin_is_refused_until_it_is_accepted(
    with_plugin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (with_plugin / "mine.py").write_text(PLUGIN + "\n# a comment\n")
    assert _again(with_plugin) == 2
    head, line = capsys.readouterr().err.splitlines()
    assert head.endswith("or go on with --accept plugins")
    assert line.startswith("vaeopt: plugins.mine.py: was ")
    with pytest.raises(ChangedError, match=r"plugins\.mine\.py"):
        confirm(with_plugin, seeds=1)
    assert _again(with_plugin, "--accept", "plugins") == 0
    assert _again(with_plugin) == 0


def test_a_study_that_does_not_know_its_plugins_goes_on(with_plugin: Path) -> None:
    _forget(with_plugin, "plugins")
    (with_plugin / "mine.py").write_text(PLUGIN + "\n# a comment\n")
    assert _again(with_plugin) == 0


def test_a_confirmation_survives_what_was_accepted(with_plugin: Path) -> None:
    confirm(with_plugin, top=1, seeds=1)
    (with_plugin / "mine.py").write_text(PLUGIN + "\n# a comment\n")
    optimize(with_plugin, n_trials=3, accept=["plugins"])
    assert confirm(with_plugin, top=1, seeds=2).failed == 0


# ---- studies from before


def _forget(folder: Path, *parts: str) -> optuna.Study:
    """As if the study had begun before these were part of its identity."""
    study = load_study(open_study(folder))
    identity = {k: v for k, v in study.user_attrs[IDENTITY].items() if k not in parts}
    study.set_user_attr(IDENTITY, identity)
    return study


@pytest.mark.parametrize(
    ("optuna_piece", "accept", "status"),
    [("", (), 2), ('duplicates = "allow"', (), 0), ("", ("--accept", "duplicates"), 0)],
)
def test_a_study_without_a_policy_had_allowed_duplicates(
    optuna_piece: str,
    accept: Sequence[str],
    status: int,
    begun: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _forget(begun, "duplicates", "max_replicates")
    write_study(begun, **_pieces(optuna=optuna_piece))
    assert _again(begun, *accept) == status
    said = capsys.readouterr().err
    assert ("duplicates: was allow, is replicate" in said) == (status == 2)


@pytest.mark.parametrize("pieces", [{"sampler": '"grid"'}, {"search": ""}], ids=["grid", "empty"])
def test_where_there_is_no_policy_none_was_missed(pieces: dict[str, Any], tmp_path: Path) -> None:
    folder = write_study(tmp_path, **_pieces(**pieces))
    optimize(folder)
    _forget(folder, "duplicates", "max_replicates")
    assert _again(folder) == 0


# ---- verbs that read


def test_what_only_steers_does_not_stop_verbs_that_ask_for_nothing(begun: Path) -> None:
    write_study(begun, **_pieces(sampler='"random"', optuna='duplicates = "allow"'))
    session = prepare(open_study(begun))
    check_same(load_study(open_study(begun)), session)
    assert main(["replay", str(begun), "--trial", "0"]) == 0
    assert main(["rescore", str(begun), "--reward", "bic"]) == 0
    assert confirm(begun, top=1, seeds=1).failed == 0
    for verb in ("best", "status", "report"):
        assert main([verb, str(begun)]) == 0


def test_what_changes_values_does(begun: Path) -> None:
    write_study(begun, **_pieces(vae="kl_scale = 0.5"))
    with pytest.raises(StudyError, match="was started with other settings"):
        vo.confirm(begun, seeds=1)
    assert main(["replay", str(begun), "--trial", "0"]) == 2
    assert main(["rescore", str(begun), "--reward", "bic"]) == 2
    for verb in ("best", "status"):
        assert main([verb, str(begun)]) == 0, "reading is allowed"
