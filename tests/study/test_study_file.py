"""The study file: what it says, and all that is wrong with it at once."""

import copy
import datetime
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.study.tiny import SEARCH, study_text, write_study
from vaeopt.core.errors import SettingsError, StudyError
from vaeopt.study.asking.samplers import Tpe
from vaeopt.study.file import StudyFile, StudySettings, open_study


def mistakes(folder: Path, *overrides: str) -> dict[str, str]:
    """Dotted path to message, of all mistakes of a study file."""
    with pytest.raises(SettingsError) as caught:
        open_study(folder, overrides=overrides)
    lines = [str(mistake).partition(": ") for mistake in caught.value.mistakes]
    found = {path: message for path, _, message in lines}
    assert len(found) == len(lines), "one mistake per path here"
    return found


def test_a_good_file_gives_its_settings_and_its_folder(tmp_path: Path) -> None:
    file = open_study(write_study(tmp_path / "s", seed=3))
    assert file.folder == tmp_path / "s"
    assert file.database == tmp_path / "s" / "tiny.db"
    assert file.settings.optuna.seed == 3
    assert file.settings.workflow.vae.width == 8
    assert list(file.settings.search) == ["patches.size_px", "vae.invariances"]
    assert file.settings.directions == ["minimize", "maximize"]
    assert open_study(tmp_path / "s" / "study.toml") == file


def test_settings_made_in_python_are_taken_as_they_are(tmp_path: Path) -> None:
    settings = open_study(write_study(tmp_path / "s")).settings
    file = open_study(settings, folder=tmp_path)
    assert file == StudyFile(settings, tmp_path)
    assert open_study(file) is file
    with pytest.raises(StudyError, match="overrides need a study file"):
        open_study(settings, overrides=["seed=1"])


def test_what_is_left_out_has_a_default() -> None:
    settings = StudySettings(name="x", image={"dataset": "ferroelectric-domains"})  # type: ignore[arg-type]
    assert settings.search == {}
    assert settings.optuna.sampler == Tpe()
    assert settings.space.n_points == 1


def test_all_mistakes_of_a_file_are_named_at_once(tmp_path: Path) -> None:
    write_study(
        tmp_path,
        name="two words",
        keypoints='{ kind = "gird" }',
        patches='{ size_px = "5" }',
        vae="epocs = 3, invariances = ['rotaton']",
        rewards='[ { kind = "gain", wieght = 1 }, { kind = "reconstruktion" } ]',
        search="""
"patches.size_px" = { low = 5, high = 8, step = 2 }
"patches.size" = { low = 5, high = 7 }
"vae.latent_dim" = { low = 0, high = 65 }
"vae.width" = { low = 8, high = 4 }
"vae.depth" = { lo = 1, high = 2 }
"vae.kl_scale" = { low = "a", high = 1 }
"rewards.0.metric" = { choices = ["mse"] }
""",
        sampler='{ kind = "nsga2", population_size = 1 }',
        n_trials=0,
        seed=-1,
    )
    with pytest.raises(SettingsError) as caught:
        open_study(tmp_path)
    lines = [str(mistake) for mistake in caught.value.mistakes]
    expected = [
        "name: string should match pattern",
        "workflow.keypoints.kind: unknown kind 'gird'; did you mean 'grid'? (known: ",
        "workflow.patches.size_px: input should be a valid integer, got '5'",
        "workflow.vae.invariances: unknown invariance 'rotaton'; did you mean 'rotation'?",
        "workflow.vae.epocs: unknown setting; did you mean 'epochs'? (known: ",
        "workflow.rewards.0.wieght: unknown setting; did you mean 'weight'? (known: weight)",
        "workflow.rewards.1.kind: unknown kind 'reconstruktion'; did you mean 'reconstruction'?",
        "search.patches.size_px: high 8 is not low plus a whole number of steps; use 7",
        "search.vae.width: impossible range: low 8 is above high 4",
        "search.vae.depth.lo: unknown setting; did you mean 'low'? (known: ",
        "search.vae.kl_scale.low: expected a finite number, got 'a'",
        "search.vae.latent_dim: 0 is not allowed: input should be greater than or equal to 1",
        "search.vae.latent_dim: 65 is not allowed: input should be less than or equal to 64",
        "search.patches.size: no such setting; did you mean 'size_px'? (known: size_px)",
        "search.rewards.0.metric: a reward must stay the same within a study",
        "optuna.sampler.population_size: input should be greater than or equal to 2, got 1",
        "optuna.n_trials: input should be greater than 0, got 0",
        "optuna.seed: input should be greater than or equal to 0, got -1",
    ]
    unmatched = [e for e in expected if not any(line.startswith(e) for line in lines)]
    assert unmatched == []
    assert len(lines) == len(expected), "and nothing else"


def test_a_wrong_name_does_not_hide_a_wrong_search_path(tmp_path: Path) -> None:
    write_study(tmp_path, name="-", search='"mixture.tool" = { low = 0.1, high = 1 }')
    found = mistakes(tmp_path)
    assert sorted(found) == ["name", "search.mixture.tool"]
    assert "did you mean 'tol'" in found["search.mixture.tool"]


def test_settings_of_an_unknown_kind_are_not_judged_by_those_of_another(tmp_path: Path) -> None:
    search = '"keypoints.threshold" = { low = 0.1, high = 0.2 }'
    write_study(tmp_path, keypoints='{ kind = "local-maximum" }', search=search)
    assert list(mistakes(tmp_path)) == ["workflow.keypoints.kind"]


@pytest.mark.parametrize(
    ("entry", "path", "message"),
    [
        ('"patches.size_px" = {}', "patches.size_px", "give low and high, or choices"),
        ('"patches.size_px" = 3', "patches.size_px", "expected a table such as"),
        ('"patches.size_px" = { low = 3 }', "patches.size_px", "give low and high"),
        ("[search.vae]", "vae", "give low and high, or choices"),
        (
            '"patches.size_px" = { chioces = [5, 7] }',
            "patches.size_px.chioces",
            "unknown setting; did you mean 'choices'?",
        ),
        ("vae.epocs = { low = 1, high = 2 }", "vae.epocs", "did you mean 'epochs'?"),
        ('"patches.size_px" = { low = true, high = 7 }', "patches.size_px.low", "finite number"),
        ('"vae.kl_scale" = { low = 0.1, high = inf }', "vae.kl_scale.high", "finite number"),
        ('"vae.kl_scale" = { low = nan, high = 1 }', "vae.kl_scale.low", "finite number"),
        ('"vae.kl_scale" = { low = 0.1, high = 1, step = 0 }', "vae.kl_scale", "step must be"),
        (
            '"vae.kl_scale" = { low = 0.1, high = 1, log = true, step = 0.1 }',
            "vae.kl_scale",
            "log needs low above 0 and no step",
        ),
        ('"vae.kl_scale" = { low = 0, high = 1, log = true }', "vae.kl_scale", "log needs low"),
        (
            '"patches.size_px" = { low = 5, high = 7, step = 0.5 }',
            "patches.size_px",
            "step must be one too, got 0.5",
        ),
        (
            '"patches.size_px" = { low = 5, high = 10, step = 2.5 }',
            "patches.size_px",
            "step must be one too, got 2.5",
        ),
        (
            '"patches.size_px" = { low = 5.0, high = 7 }',
            "patches.size_px",
            "5.0 is not allowed: input should be a valid integer",
        ),
        (
            '"patches.size_px" = { low = 5, high = 7, choices = [5] }',
            "patches.size_px",
            "either choices or low and high",
        ),
        ('"patches.size_px" = { choices = [] }', "patches.size_px", "choices is empty"),
        ('"patches.size_px" = { choices = [5, 5] }', "patches.size_px", "the same value twice"),
        ('"vae.kl_scale" = { choices = [1, 1.0] }', "vae.kl_scale.choices", "means the same"),
        (
            '"vae.invariances" = { choices = ["none", []] }',
            "vae.invariances.choices",
            "means the same",
        ),
        ('"vae.kl_scale" = { choices = [2020-01-01] }', "vae.kl_scale", "choices must be words"),
        ('"patches.size_px" = { choices = [5, 2] }', "patches.size_px", "2 is not allowed"),
        ('"vae.invariances" = { low = 1, high = 2 }', "vae.invariances", ""),
        ('"keypoints.kind" = { choices = ["grid"] }', "keypoints.kind", "cannot be searched"),
        ('"vae.device" = { choices = ["cpu"] }', "vae.device", "cannot be searched"),
        (
            '"density_filter.device" = { choices = ["cpu"] }',
            "density_filter.device",
            "cannot be searched",
        ),
        ('"mixture.max_points" = { low = 10, high = 20 }', "mixture.max_points", "cannot be"),
        ('"vae" = { low = 1, high = 2 }', "vae", "is a table; search one of its settings"),
        ('"vea.width" = { low = 1, high = 2 }', "vea.width", "did you mean 'vae'?"),
        ('"name" = { choices = ["a"] }', "name", "no such setting"),
        ('"vae.width.x" = { low = 1, high = 2 }', "vae.width.x", "no such setting"),
        (
            '"mixture.components" = { choices = [[1, 3], [2, 3]] }',
            "mixture.components",
            "[2, 3] is not allowed: reward 'gain' needs K = 1 in the grid",
        ),
    ],
)
def test_a_wrong_search_entry_is_named(tmp_path: Path, entry: str, path: str, message: str) -> None:
    write_study(tmp_path, search=entry)
    with pytest.raises(SettingsError) as caught:
        open_study(tmp_path)
    lines = [str(mistake) for mistake in caught.value.mistakes]
    assert all(line.startswith(f"search.{path}: ") for line in lines), lines
    assert message in lines[0]


@pytest.mark.parametrize(
    ("pieces", "path", "message"),
    [
        ({"image": 'path = "a"\ndataset = "b"'}, "image", "give either path or dataset"),
        ({"image": "seed = 0"}, "image", "give either path or dataset"),
        ({"head": "nmae = 3"}, "nmae", "did you mean 'name'?"),
        ({"rewards": "[]"}, "workflow.rewards", "at least 1"),
        ({"rewards": '["gain", "gain"]'}, "workflow.rewards.1", "'gain' is asked for twice"),
        ({"rewards": "[3]"}, "workflow.rewards.0", "expected a table with a kind, got 3"),
        ({"rewards": "[{}]"}, "workflow.rewards.0.kind", "is required and missing; known: "),
        ({"components": "[2, 3]"}, "workflow.mixture.components", "start components at 1"),
        ({"components": "[3, 1]"}, "workflow.mixture", "two rising numbers"),
        ({"sampler": '"tpee"'}, "optuna.sampler.kind", "did you mean 'tpe'?"),
        ({"sampler": '{ kind = "grid", order_seed = -1 }'}, "optuna.sampler.order_seed", "0"),
        ({"sampler": '"grid"', "search": ""}, "search", "'grid' has nothing to search"),
        (
            {"sampler": '"brute-force"', "search": '"vae.kl_scale" = { low = 0.1, high = 1 }'},
            "search.vae.kl_scale",
            "needs finitely many values: give a step",
        ),
    ],
)
def test_a_wrong_setting_is_named(
    tmp_path: Path, pieces: dict[str, str], path: str, message: str
) -> None:
    write_study(tmp_path, **pieces)
    with pytest.raises(SettingsError) as caught:
        open_study(tmp_path)
    lines = [str(mistake) for mistake in caught.value.mistakes]
    assert any(line.startswith(path) and message in line for line in lines), lines


NONSENSE: list[Any] = [
    *(3, -1, 0, 1.5, True, float("nan"), float("inf"), 10**400),
    *("x", "", "a\nb", "\x00", "../x"),
    *([], [1, "a"], [[1]], {}, {"a": 1}, {"kind": "x"}, {"kind": 3}),
    datetime.date(2020, 1, 1),
]


def _places(table: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    inside = dict(enumerate(table)) if isinstance(table, list) else table
    for key, value in inside.items() if isinstance(inside, dict) else ():
        yield from _places(value, (*path, key))


@pytest.mark.parametrize("top", ["name", "image", "plugins", "workflow", "search", "optuna"])
def test_whatever_stands_in_a_file_it_is_a_study_or_a_named_mistake(
    top: str, tmp_path: Path
) -> None:
    text = (write_study(tmp_path, head="plugins = []") / "study.toml").read_text()
    good = tomllib.loads(text)
    good["workflow"] = open_study(tmp_path).settings.workflow.to_table()
    refused = 0
    for path in _places({top: good[top]}):
        for value in NONSENSE:
            table = copy.deepcopy(good)
            place = table
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = value
            try:
                StudySettings(**table)
            except SettingsError as error:
                refused += 1
                for mistake in error.mistakes:
                    assert str(mistake).startswith(top), (path, value)
    assert refused > 0


def test_search_keys_need_no_quotes(tmp_path: Path) -> None:
    quoted = open_study(write_study(tmp_path / "quoted", search=SEARCH))
    bare = SEARCH.replace('"patches.size_px"', "patches.size_px").replace(
        '"vae.invariances"', "vae.invariances"
    )
    assert '"patches' not in bare
    assert open_study(write_study(tmp_path / "bare", search=bare)).settings == quoted.settings


def test_overrides_change_settings(tmp_path: Path) -> None:
    write_study(tmp_path, search="")
    file = open_study(
        tmp_path,
        overrides=[
            "patches.size_px=9",
            "vae.invariances=rotation+translation",
            "workflow.vae.kl_scale=0.5",
            "keypoints = local-maxima",
            "mixture.components=[1, 4]",
            'name="other"',
            "optuna.n_trials=7",
            "latent_filter={ kind = 'geomean' }",
        ],
    )
    workflow = file.settings.workflow
    assert workflow.patches.size_px == 9
    assert workflow.vae.invariances == ("rotation", "translation")
    assert workflow.vae.kl_scale == 0.5
    assert workflow.keypoints.kind == "local-maxima"
    assert workflow.to_table()["mixture"]["components"] == [1, 4]
    assert workflow.latent_filter.kind == "geomean"
    assert (file.settings.name, file.settings.optuna.n_trials) == ("other", 7)
    assert open_study(tmp_path).settings.name == "tiny", "the file is left alone"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("vae.epocs=3", "workflow.vae.epocs: unknown setting; did you mean 'epochs'?"),
        ("patches.size_px=big", "workflow.patches.size_px: input should be a valid integer"),
        ("optuna.sampler=tpee", "optuna.sampler.kind: unknown kind 'tpee'"),
        ("patches.size_px", "cannot understand --set 'patches.size_px'"),
        ("=3", "cannot understand --set '=3'"),
        ("patches.size_px.x=3", "--set patches.size_px.x: 'size_px' is not a table"),
        ("rewards.0.weight=3", "'rewards' is not a table"),
        ("name=", "name: string should match pattern"),
    ],
)
def test_a_wrong_override_is_named(tmp_path: Path, override: str, message: str) -> None:
    write_study(tmp_path)
    with pytest.raises((SettingsError, StudyError)) as caught:
        open_study(tmp_path, overrides=[override])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"name = ", "study.toml is not valid TOML"),
        (b"[image\n", "study.toml is not valid TOML"),
        (b'name = "a"\nname = "b"', "study.toml is not valid TOML"),
        (b'name = "\xff"', "study.toml cannot be read"),
        (b"", "name: is required and missing; image: is required and missing"),
    ],
)
def test_a_file_that_is_no_study_is_refused(tmp_path: Path, text: bytes, message: str) -> None:
    (tmp_path / "study.toml").write_bytes(text)
    with pytest.raises((StudyError, SettingsError)) as caught:
        open_study(tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_place_without_a_study_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text(study_text())
    with pytest.raises(StudyError, match=r"holds no study\.toml"):
        open_study(tmp_path)
    with pytest.raises(StudyError, match="does not exist"):
        open_study(tmp_path / "nowhere")
    with pytest.raises(StudyError, match=r"neither a folder nor a \.toml file"):
        open_study(tmp_path / "notes.txt")
