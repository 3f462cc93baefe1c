"""The truth file: every mistake at once, named where it stands."""

from pathlib import Path

import pytest

from tests.truth.tiny import FAMILIES, truth_folder, truth_text
from vaeopt.core.errors import SettingsError, StudyError
from vaeopt.truth import Scene, open_truth


def lines_of(text: str, place: Path) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        open_truth(truth_folder(place, text))
    return refused.value.lines


def test_scenes_are_the_product_of_families_presets_and_seeds(tmp_path: Path) -> None:
    families = (
        '{ dataset = "lattice", difficulty = ["easy", "hard"], window_px = [5] }',
        '{ dataset = "noise", window_px = [7] }',
    )
    file = open_truth(truth_folder(tmp_path, truth_text(seeds="[3, 4]", families=families)))
    names = [scene.name for scene in file.scenes()]
    assert names == [
        *("lattice-easy-3", "lattice-easy-4", "lattice-hard-3", "lattice-hard-4"),
        *("noise-medium-3", "noise-medium-4"),
    ]
    assert [scene.name for scene in file.scenes("noise")] == names[4:]


def test_the_grid_of_a_scene_is_a_study_with_the_windows_of_its_family(tmp_path: Path) -> None:
    file = open_truth(truth_folder(tmp_path))
    study = file.study(Scene("lattice", "medium", 1)).settings
    assert study.space.grid() == {"patches.size_px": [5, 9], "vae.latent_dim": [1, 2]}
    assert (study.image.dataset, study.image.difficulty, study.image.seed) == (
        *("lattice", "medium"),
        1,
    )


def test_key_points_and_percentiles_may_differ_between_families(tmp_path: Path) -> None:
    own = (
        '{ dataset = "lattice", window_px = [5], clip_percentiles = [5, 90], '
        'keypoints = { kind = "grid", spacing_px = 9 } }',
        FAMILIES[1],
    )
    file = open_truth(truth_folder(tmp_path, truth_text(families=own)))
    first, second = (file.study(scene).settings for scene in file.scenes())
    assert (first.workflow.keypoints.kind, second.workflow.keypoints.kind) == ("grid", "given")
    assert first.image.clip_percentiles == (5, 90)
    assert second.image.clip_percentiles == (1, 99)


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    text = truth_text(
        seeds="[1, 1]",
        families=(
            '{ dataset = "latice", window_px = [5] }',
            '{ dataset = "noise", difficulty = ["mediun"], window_px = [0] }',
        ),
    )
    lines = lines_of(text, tmp_path)
    assert any(line.startswith("scenes.families.1.window_px.0: ") for line in lines)
    lines = lines_of(text.replace("[0]", "[5]"), tmp_path)
    assert [line.split(": ")[0] for line in lines] == [
        "scenes.seeds",
        "scenes.families.0.dataset",
        "scenes.families.1.difficulty",
    ]
    assert "did you mean 'lattice'?" in lines[1]
    assert "did you mean 'medium'?" in lines[2]


@pytest.mark.parametrize(
    ("search", "told"),
    [
        ('"vae.kl_scale" = { low = 1e-4, high = 1e-2, log = true }', "finitely many values"),
        ('"patches.size_px" = { choices = [5, 7] }', "give window_px to each of them"),
        ('"vae.latent_dims" = { choices = [1, 2] }', "did you mean 'latent_dim'?"),
        ('"vae.latent_dim" = 3', "expected a table"),
        ('"vae.latent_dim" = { choices = [0] }', "0 is not allowed"),
    ],
)
def test_a_search_that_is_no_grid_is_refused(search: str, told: str, tmp_path: Path) -> None:
    (line,) = lines_of(truth_text(search=search), tmp_path)
    assert line.startswith("search.")
    assert told in line


@pytest.mark.parametrize(
    ("scores", "place", "told"),
    [
        ("rank_sums = { a = ['gain', 'gian'] }", "scores.rank_sums.a", "no column 'gian'"),
        ("rank_sums = { gain = ['icl', 'bic'] }", "scores.rank_sums.gain", "another name"),
    ],
)
def test_columns_that_do_not_exist_are_refused(
    scores: str, place: str, told: str, tmp_path: Path
) -> None:
    (line,) = lines_of(truth_text(scores=scores), tmp_path)
    assert line.startswith(f"{place}: ")
    assert told in line


def test_a_number_of_components_outside_the_mixture_is_refused(tmp_path: Path) -> None:
    lines = lines_of(truth_text(mixture='{ kind = "gmm", components = [1, 3] }'), tmp_path)
    assert lines == ["scores.components: [3, 4] must lie within workflow.mixture.components [1, 3]"]


def test_no_file_and_no_family_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="does not exist; give a folder with a truth"):
        open_truth(tmp_path)
    file = open_truth(truth_folder(tmp_path))
    with pytest.raises(StudyError, match="--only: no family 'cards'"):
        file.scenes("cards")
    (tmp_path / "truth.toml").write_text("name = ")
    with pytest.raises(StudyError, match="is not valid TOML"):
        open_truth(tmp_path)


def test_rewards_of_a_plugin_become_columns(tmp_path: Path) -> None:
    text = truth_text(rest="").replace('name = "tiny"', 'name = "tiny"\nplugins = ["own.py"]')
    (tmp_path / "own.py").write_text(
        "from typing import ClassVar\n"
        "from vaeopt.stages.rewards import Reward\n"
        'class Own(Reward, kind="own-truth-test"):\n'
        '    direction = "maximize"\n'
        "    label: ClassVar[str] = 'own'\n"
        "    def __call__(self, run):\n"
        "        return 1.0\n"
        "    def structureless(self, run):\n"
        "        return 0.0\n"
    )
    from vaeopt.stages.rewards import Reward
    from vaeopt.truth.columns import columns_of

    try:
        settings = open_truth(truth_folder(tmp_path, text)).settings
        labels = [one.label for one in columns_of(settings.workflow, settings.scores)]
    finally:
        Reward.registry.pop("own-truth-test", None)
    assert "own" in labels
