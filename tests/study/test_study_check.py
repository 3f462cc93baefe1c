"""A check walks through a study without training; a new study passes it; kinds are listed."""

import re
import tomllib
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.study.tiny import contents, stripes, write_study
from vaeopt.core.errors import DataError, StudyError
from vaeopt.core.settings import Plugin
from vaeopt.stages.keypoints import detect
from vaeopt.stages.rewards.descriptor_ami import STRUCTURE
from vaeopt.study.check import check
from vaeopt.study.file import open_study
from vaeopt.study.kinds import describe
from vaeopt.study.session import prepare
from vaeopt.study.template import write_new_study


def test_a_check_says_what_a_study_will_see_and_writes_nothing(tmp_path: Path) -> None:
    write_study(tmp_path, search='"patches.size_px" = { low = 5, high = 9, step = 2 }')
    before = contents(tmp_path)
    lines = list(check(open_study(tmp_path)))
    text = "\n".join(lines)
    assert lines[0] == "image       image: 48 x 48 px"
    assert "key points  36, with room for 9 px" in text
    assert "mixture     fitted to 33 points in every trial" in text
    assert "search      1 settings, 3 points" in text
    assert "rewards     fvu_core (minimize), gain (maximize)" in text
    assert [line.split()[1] for line in lines if line.startswith("model ")] == ["5", "9"]
    assert lines[-1] == "study 'tiny' is fine"
    assert contents(tmp_path) == before


def test_a_check_says_that_a_space_is_endless_and_warns(tmp_path: Path) -> None:
    search = '"keypoints.spacing_px" = { low = 5, high = 6 }\n'
    search += '"vae.kl_scale" = { low = 0.1, high = 1 }'
    write_study(tmp_path, search=search)
    lines = list(check(open_study(tmp_path)))
    assert any("infinitely many points" in line for line in lines)
    assert any(line.startswith("warning     keypoints.spacing_px") for line in lines)


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ({"search": '"patches.size_px" = { low = 5, high = 99 }'}, "does not fit the image"),
        ({"components": "[1, 20]"}, "fewer than the 60 that its largest number of components"),
        (
            {"search": '"mixture.components" = { choices = [[1, 3], [1, 20]] }'},
            "fewer than the 60 that its largest number of components",
        ),
        (
            {"search": '"vae.latent_dim" = { low = 2, high = 40 }'},
            "fewer than the 82 that its largest number of components",
        ),
        (
            {"search": '"density_filter.drop" = { low = 0.1, high = 0.95 }'},
            "leave 4 for the mixture fit",
        ),
        (
            {
                "keypoints": '{ kind = "local-maxima" }',
                "search": '"keypoints.threshold" = { low = 0.1, high = 1.0 }',
            },
            "found 0 key points",
        ),
        ({"keypoints": '{ kind = "csv", path = "none.csv" }'}, "cannot be read as CSV"),
    ],
)
def test_what_would_make_trials_fail_is_found(
    tmp_path: Path, pieces: dict[str, str], message: str
) -> None:
    write_study(tmp_path, **pieces)
    with pytest.raises(DataError) as caught:
        list(check(open_study(tmp_path)))
    assert message in str(caught.value)


def test_all_trials_fit_as_many_points_as_the_strictest_filter_leaves(tmp_path: Path) -> None:
    search = '"density_filter.drop" = { choices = [0.1, 0.5] }'
    session = prepare(open_study(write_study(tmp_path, search=search)))
    assert session.comparison.n_fit == len(session.keypoints) // 2 + len(session.keypoints) % 2


def test_key_points_keep_room_for_the_largest_window(tmp_path: Path) -> None:
    session = prepare(
        open_study(write_study(tmp_path, search='"patches.size_px" = { low = 5, high = 31 }'))
    )
    assert session.comparison.largest_window_px == 31
    assert session.comparison.core_px == 5
    assert session.keypoints.yx_px.min() >= 15
    assert session.keypoints.yx_px.max() <= 32


def test_key_points_are_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []

    def counted(*args: object, **kwargs: object) -> object:
        calls.append(args)
        return detect(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr("vaeopt.study.session.detect", counted)
    prepare(open_study(write_study(tmp_path)))
    assert len(calls) == 1


def test_identity_does_not_depend_on_place_or_device(tmp_path: Path) -> None:
    first = prepare(open_study(write_study(tmp_path / "a"))).identity()
    again = prepare(open_study(write_study(tmp_path / "b"))).identity()
    elsewhere = [
        "vae.device=auto",
        "density_filter={kind='quantile',device='cpu'}",
        "bayesian={kind='bgmm',device='cpu'}",
    ]
    moved = prepare(open_study(tmp_path / "b", overrides=elsewhere)).identity()
    other = prepare(open_study(tmp_path / "b", overrides=["vae.width=9"])).identity()
    assert first == again == moved != other


@pytest.mark.parametrize("name", ["plain", "two words", 'quo"te', "ünïcode", "_x", "...", "a#b"])
def test_a_new_study_passes_the_check_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    image = tmp_path / f"{name} {{1}}.npy"
    np.save(image, stripes(128))
    path = write_new_study(tmp_path / "studies" / name, image=image)
    file = open_study(path.parent, overrides=["search={}", "keypoints=grid"])
    assert list(check(file))[-1].endswith("is fine")
    assert file.settings.image.path == f"../../{image.name}"
    search = open_study(path).settings.search
    assert "vae.invariances" in search


def test_a_new_study_has_the_demo_image_where_none_is_given(tmp_path: Path) -> None:
    path = write_new_study(tmp_path / "demo", image=None)
    table = tomllib.loads(path.read_text())
    assert table["name"] == "demo"
    assert table["image"]["dataset"] == "ferroelectric-domains"
    workflow = open_study(path).settings.workflow
    assert table["workflow"]["preset"] == "thorough"
    assert [reward.label for reward in workflow.rewards] == ["descriptor_ami"]
    labels = ["fvu_core", "gain", "rate", "spatial_kappa", "rotation_ami"]
    assert [reward.label for reward in workflow.scores] == labels
    assert f"below {STRUCTURE:g}" in path.read_text()


def test_what_a_new_study_says_of_a_pareto_front_holds(tmp_path: Path) -> None:
    path = write_new_study(tmp_path / "demo", image=None)
    (shown,) = re.findall(r"^# (\[ .+ \])", path.read_text(), re.MULTILINE)
    two = open_study(path, overrides=[f"rewards={shown}", "scores=[]"]).settings.workflow
    assert [reward.label for reward in two.rewards] == ["fvu_core", "descriptor_ami"]


def test_a_new_study_of_a_scan_names_its_channels(tmp_path: Path) -> None:
    scan = tmp_path / "scan.h5"
    with h5py.File(scan, "w") as file:
        for name in ('He said "no"', "AmplitudeRetrace", "Phase\\1"):
            file[name] = stripes(32)
    path = write_new_study(tmp_path / "s", image=scan)
    assert open_study(path).settings.image.channel == "AmplitudeRetrace"
    assert "one of: " in path.read_text()
    strange = tmp_path / "strange.h5"
    with h5py.File(strange, "w") as file:
        file['He said "no" \\ yes'] = stripes(32)
    path = write_new_study(tmp_path / "t", image=strange)
    assert open_study(path).settings.image.channel == 'He said "no" \\ yes'


def test_a_new_study_overwrites_nothing(tmp_path: Path) -> None:
    write_study(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(StudyError, match="exists; choose another name"):
        write_new_study(tmp_path, image=None)
    with pytest.raises(DataError, match="does not exist"):
        write_new_study(tmp_path / "other", image=tmp_path / "none.npy")
    assert contents(tmp_path) == before


def test_kinds_lists_every_member_with_every_setting() -> None:
    text = "\n".join(describe())
    for family, base in Plugin.families.items():
        assert f"\n{family}\n" in f"\n{text}\n"
        only = "\n".join(describe(family))
        assert only in text
        for kind in base.kinds():
            member = base.of_kind(kind)
            assert f"  {kind} " in only
            assert all(f"    {name} = " in only for name in member.model_fields)


def test_kinds_shows_defaults_and_units() -> None:
    lines = describe("keypoints")
    assert any(line.split()[:3] == ["sigma_px", "=", "3.0"] and "[px]" in line for line in lines)
    assert any(line.split()[:3] == ["path", "=", "required"] for line in lines)
    assert any('invariances = ["rotation"]' in line for line in describe("vae"))


def test_an_unknown_family_is_refused_with_the_nearest() -> None:
    with pytest.raises(StudyError, match="no family 'rewards'; did you mean 'reward'"):
        describe("rewards")
