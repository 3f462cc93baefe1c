"""How right the picks of a study are."""

import shutil
from pathlib import Path
from statistics import fmean

import optuna
import pytest

import vaeopt as vo
from tests.study.tiny import contents, write_study
from vaeopt.core.errors import StudyError
from vaeopt.datasets import render
from vaeopt.report.truth_lines import truth_lines
from vaeopt.study.asking.repeats import mean_of
from vaeopt.study.attributes import IDENTITY
from vaeopt.study.fronts.pareto import best
from vaeopt.study.optimize import optimize
from vaeopt.truth import JudgedStudy, judged_study, truth_of

REWARDS = '[ { kind = "descriptor-ami" } ]\nscores = [ { kind = "reconstruction" } ]'
LATTICE = 'dataset = "lattice"\nseed = 1'


def folder_of(place: Path, image: str, n_trials: int) -> Path:
    folder = write_study(
        place,
        image=image,
        keypoints='"given"',
        rewards=REWARDS,
        components="[1, 6]",
        search='"patches.size_px" = { choices = [9, 13] }',
        n_trials=n_trials,
    )
    optimize(folder)
    return folder


def judged(folder: Path, pick: int | None = None) -> tuple[optuna.Study, JudgedStudy]:
    study = vo.load_study(folder)
    number = best(study).number if pick is None else pick
    return study, judged_study(vo.open_study(folder), study, pick=number)


@pytest.fixture(scope="module")
def lattice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of atoms: three trials of two windows, so that one is a mean."""
    return folder_of(tmp_path_factory.mktemp("judged") / "lattice", LATTICE, 3)


def test_every_trial_is_compared_and_nothing_is_written(lattice: Path) -> None:
    before = contents(lattice)
    _, found = judged(lattice)
    scan = render("lattice", seed=1)
    assert list(found.classes) == list(scan.class_names)
    assert found.truths == {n: truth_of(vo.load_trial(lattice, n), scan) for n in range(3)}
    assert found.without_files == []
    assert contents(lattice) == before


def test_picks_are_configurations_and_regret_is_to_the_best_of_them(lattice: Path) -> None:
    study, found = judged(lattice)
    assert [one.by for one in found.picks] == ["pick", "descriptor_ami", "fvu_core", "truth"]
    pick, by_reward, _, truth = found.picks
    assert pick.trial == by_reward.trial == best(study).number
    for one in found.picks:
        of = mean_of(study.trials[one.trial])
        ari = [found.truths[n].ari_true_k for n in of]
        assert one.ari_true_k == pytest.approx(fmean(x for x in ari if x is not None))
        assert truth.ari_true_k is not None
        assert one.ari_true_k is not None
        assert one.regret is not None
        assert one.regret == pytest.approx(truth.ari_true_k - one.ari_true_k)
        assert one.regret >= 0
    assert truth.regret == 0
    repeated = [trial.number for trial in study.trials if len(mean_of(trial)) > 1]
    assert repeated, "three trials of two windows"


def test_lines_say_what_is_there_and_what_the_pick_is_worth(lattice: Path) -> None:
    _, found = judged(lattice)
    first, table, sentence, verdict = truth_lines(found)
    assert first.startswith(f"truth: {len(found.classes)} building blocks (")
    assert table.splitlines()[0].split()[:4] == ["trial", "ARI", "(K", "="]
    assert table.splitlines()[1].endswith(", ".join(["pick", "descriptor_ami"])) or (
        "pick, descriptor_ami, " in table
    )
    assert sentence.startswith(f"trial {found.picks[0].trial}: adjusted Rand index ")
    right = "right" if found.verdict_right else "wrong"
    assert verdict == f"the verdict on structure is {right}"


def test_a_negative_control_has_a_verdict_and_no_index(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "noise", 'dataset = "noise"', 1)
    _, found = judged(folder, pick=0)
    assert found.picks[0].by == "pick"
    assert all(one.ari_true_k is None and one.regret is None for one in found.picks)
    assert "truth" not in [one.by for one in found.picks]
    lines = truth_lines(found)
    assert lines[0].startswith("truth: one building block (")
    assert lines[1:] == ["the verdict on structure is right"]
    assert found.verdict_right is True


def test_trials_without_files_are_named(lattice: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(lattice, tmp_path / "copy"))
    study = vo.load_study(folder)
    for artifact_id in study.trials[0].user_attrs["vaeopt:files"].values():
        for path in folder.rglob(artifact_id):
            path.unlink()
    _, found = judged(folder, pick=0)
    assert found.without_files == [0]
    assert 0 not in found.truths
    assert truth_lines(found)[-1] == "not compared, files missing or damaged: trial 0"
    shutil.rmtree(folder / "artefacts")
    (folder / "artefacts").mkdir()
    with pytest.raises(StudyError, match=r"no trial of study 'tiny' has its files.*--restore"):
        judged(folder)


def test_only_rendered_images_have_a_truth(finished_folder: Path) -> None:
    with pytest.raises(
        StudyError,
        match=r"--truth: nobody knows the truth of image 'image.npy'; only rendered .*lattice",
    ):
        judged(finished_folder)


def test_another_image_than_the_trials_saw_is_refused(lattice: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(lattice, tmp_path / "copy"))
    study = vo.load_study(folder)
    assert study.user_attrs[IDENTITY]["image_sha256"]
    text = (folder / "study.toml").read_text().replace("seed = 1", "seed = 2", 1)
    (folder / "study.toml").write_text(text)
    with pytest.raises(StudyError, match="not the one that the trials have seen"):
        judged(folder)
