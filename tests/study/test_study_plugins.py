"""Plug-ins: Python files beside a study that declare kinds of their own."""

from pathlib import Path

import pytest

from tests.study.tiny import write_study
from vaeopt.cli import main
from vaeopt.core.errors import SettingsError, StudyError
from vaeopt.stages.rewards import Reward
from vaeopt.study.file import open_study
from vaeopt.study.fronts.pareto import finished
from vaeopt.study.optimize import optimize

REWARD = '''\
"""A reward of my own."""

from typing import ClassVar, Literal

from pydantic import PositiveInt

from vaeopt import Reward, WorkflowRun


class {name}(Reward, kind="{kind}"):
    """Number of key points, times a factor."""

    direction: ClassVar[Literal["minimize", "maximize"]] = "maximize"
    factor: PositiveInt = 2
    """by which the number is multiplied"""

    @property
    def label(self) -> str:
        return "points"

    def __call__(self, run: WorkflowRun) -> float:
        return self.factor * float(len(run.keypoints))

    def structureless(self, run: WorkflowRun) -> float:
        return 0.0
'''


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kinds that a test declares are gone after it."""
    monkeypatch.setattr(Reward, "registry", dict(Reward.registry))


def test_a_reward_beside_the_study_works_end_to_end(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(REWARD.format(name="PointsE", kind="points-e"))
    rewards = '[ "reconstruction", { kind = "points-e", factor = 3 } ]'
    write_study(tmp_path, head='plugins = ["mine.py"]', rewards=rewards)
    study = optimize(tmp_path, n_trials=2)
    names = study.metric_names
    assert names == ["fvu_core", "points"]
    for trial in finished(study):
        assert trial.values[1] == 3 * trial.user_attrs["vaeopt:primitives"]["n_keypoints"]
    assert "points-e" in Reward.kinds()
    assert len(finished(optimize(tmp_path, n_trials=3))) == 3, "a second session loads it again"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (None, "plug-in file 'mine.py' does not exist beside the study file"),
        ("import no_such_module_here", "failed: ModuleNotFoundError: No module named"),
        ("def (", "failed: SyntaxError"),
        ("1 / 0", "failed: ZeroDivisionError"),
        (REWARD.format(name="Other", kind="gain"), "kind 'gain' is declared twice"),
        (REWARD.format(name="Gain", kind="gain"), "kind 'gain' is declared twice"),
    ],
)
def test_a_plugin_that_does_not_work_is_named(
    tmp_path: Path, code: str | None, message: str
) -> None:
    if code is not None:
        (tmp_path / "mine.py").write_text(code)
    write_study(tmp_path, head='plugins = ["mine.py"]')
    built_in = Reward.of_kind("gain")
    with pytest.raises((StudyError, SettingsError)) as caught:
        open_study(tmp_path)
    assert message in str(caught.value)
    assert Reward.of_kind("gain") is built_in


def _without(first: str, last: str | None) -> str:
    """The reward with the lines between these left out."""
    text = REWARD.format(name="Part", kind="part")
    return text[: text.index(first)] + ("" if last is None else text[text.index(last) :])


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (_without("    @property", "    def __call__"), "lacks label"),
        (_without("    def __call__", "    def structureless"), "lacks __call__"),
        (_without("    def structureless", None), "lacks structureless"),
        (_without("    direction", "    factor"), "lacks direction"),
        (_without("    @property", None), "lacks __call__, label, structureless"),
    ],
)
def test_a_reward_that_is_not_whole_ends_with_one_line(
    code: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(code)
    write_study(tmp_path, head='plugins = ["mine.py"]', rewards='[ "part" ]')
    assert main(["check", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    where = "vaeopt: workflow.rewards.0.kind: kind 'part' is not whole: class Part "
    assert line == where + message


def test_a_direction_must_be_one_of_two(tmp_path: Path) -> None:
    code = REWARD.format(name="Up", kind="up").replace('= "maximize"', '= "up"')
    (tmp_path / "mine.py").write_text(code)
    write_study(tmp_path, head='plugins = ["mine.py"]', rewards='[ "up" ]')
    with pytest.raises(SettingsError, match=r"Up\.direction: expected 'minimize' or 'maximize'"):
        open_study(tmp_path)
    assert "up" not in Reward.kinds()


@pytest.mark.parametrize("value", ['"mine.py"', "[3]", "3"])
def test_plugins_must_be_a_list_of_names(tmp_path: Path, value: str) -> None:
    write_study(tmp_path, head=f"plugins = {value}")
    with pytest.raises(SettingsError, match="plugins"):
        open_study(tmp_path)


def test_a_plugin_must_be_python(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x = 1")
    write_study(tmp_path, head='plugins = ["mine.txt"]')
    with pytest.raises(StudyError, match="is not a Python file"):
        open_study(tmp_path)
