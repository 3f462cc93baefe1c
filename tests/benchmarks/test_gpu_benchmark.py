"""The script that measures a GPU, as far as it can be tried without one."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vaeopt.stages.vae.model import build
from vaeopt.stages.vae.settings import VaeSettings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks" / "gpu"
SECTIONS = ["machine", "checks", "sweep", "peer", "steps", "equality", "scoring"]
INVARIANCES = {"none": "none", "r": "rotation", "rt": "rotation+translation"}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Modules of the benchmark by name, as the script imports them; forgotten afterwards."""
    monkeypatch.syspath_prepend(FOLDER)
    before = set(sys.modules)
    yield importlib.import_module
    ours = {path.stem for path in FOLDER.glob("*.py")}
    for name in ours & (set(sys.modules) - before):
        del sys.modules[name]


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(FOLDER / "run.py"), *words]
    return subprocess.run(  # noqa: S603  # our own script
        command, env=environment, capture_output=True, text=True, check=False
    )


# ---- from end to end ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any], list[Path]]:
    """What a run of tiny size prints and stores, and all that it leaves."""
    folder = tmp_path_factory.mktemp("results")
    done = _run("--smoke", "--out", str(folder))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    stored = json.loads((folder / "smoke.json").read_text(encoding="utf-8"))
    return done.stdout, stored, sorted(folder.iterdir())


def test_every_section_runs_and_nothing_of_it_fails(smoke: Any) -> None:
    _, stored, files = smoke
    assert [path.name for path in files] == ["smoke.json"]
    assert list(stored["sections"]) == SECTIONS
    for name, section in stored["sections"].items():
        assert section["finished"] is True, name
        assert "failed" not in section, name
        assert "left_out" not in section, name


def test_a_smoke_run_says_that_it_has_no_figures(smoke: Any) -> None:
    printed, stored, _ = smoke
    assert stored["smoke"] is True
    assert "SMOKE on" in printed
    assert "Tiny sizes: these are no figures." in printed


def test_every_engine_precision_and_model_is_timed(smoke: Any) -> None:
    rows = smoke[1]["sections"]["steps"]["rows"]
    seen = {(row["model"], row["engine"], row["precision"], row["members"]) for row in rows}
    stacked = {
        (model, engine, precision, members)
        for model in INVARIANCES
        for engine in ("auto", "fast")
        for precision in ("bf16", "float32")
        for members in (1, 2)
    }
    assert seen == stacked | {(model, "reference", "float32", 1) for model in INVARIANCES}
    assert all(0 < row["us"][1] <= row["us"][0] <= row["us"][2] for row in rows)


def test_curves_agree_with_those_of_the_processor(smoke: Any) -> None:
    curves = smoke[1]["sections"]["checks"]["curves"]
    assert len(curves) == len(INVARIANCES) * 2 * 2
    assert all(row["agrees"] and row["largest_difference"] < 1e-3 for row in curves)


def test_the_sweep_has_all_its_trials_and_stages(smoke: Any) -> None:
    sweep = smoke[1]["sections"]["sweep"]
    assert [row["trainings"] for row in sweep["trainings"]] == [3, 3]
    study = sweep["study"]
    assert study["trials"] == 3
    assert {"vae", "encode", "mixture", "bayesian", "rest"} <= set(study["stages_s"])
    assert sum(study["stages_s"].values()) == pytest.approx(study["seconds"])


def test_ends_of_trainings_are_compared_score_by_score(smoke: Any) -> None:
    rows = smoke[1]["sections"]["equality"]["rows"]
    scores = {row["score"] for row in rows}
    assert {"loss", "icl_paper", "nll", "elbo"} <= scores
    # On the processor, float32 is beside itself.
    assert all(row["difference"] == 0 for row in rows if row["precision"] == "float32")


def test_figures_are_refused_without_a_gpu(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    done = _run("--only", "machine", "--out", str(tmp_path))
    assert done.returncode == 1
    assert "no GPU is there" in done.stderr
    assert list(tmp_path.iterdir()) == []


# ---- floors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", INVARIANCES)
@pytest.mark.parametrize("size_px", [3, 8])
def test_floors_count_the_weights_of_the_model(script: Any, model: str, size_px: int) -> None:
    built = build(VaeSettings(invariances=INVARIANCES[model]), size_px, seed=0)  # type: ignore[arg-type]
    floor = script("floors").step_floor(model, size_px)
    assert floor.n_weights == sum(weight.numel() for weight in built.parameters())
    assert floor.weight_bytes == 24 * floor.n_weights  # weight and two moments, in and out


def test_floors_of_a_vanilla_model_are_the_operations_of_its_products(script: Any) -> None:
    settings = VaeSettings(invariances=(), engine="reference")
    built = build(settings, 5, seed=0)
    patches, noise = torch.rand(128, 25), torch.randn(128, 2)
    with FlopCounterMode(display=False) as counter:
        built.loss_sum(patches, noise).backward()  # type: ignore[no-untyped-call]
    assert script("floors").step_floor("none", 5).operations == counter.get_total_flops()


def test_floors_of_a_spatial_model_are_those_counted_by_hand(script: Any) -> None:
    floor = script("floors").step_floor("rt", 2, batch=3, width=4, latent_dim=2)
    # Encoder, multiply-adds of one patch: 4 pixels to 4 units, twice; 4 x 4, three times; two heads
    # from 4 units to 3 codes and 2 latents, three times.
    assert floor.encoder_operations == 2 * 3 * (2 * 16 + 3 * 16 + 3 * 2 * 20)
    # Decoder: at each of 4 pixels 2 coordinates to 4 units, twice; 4 x 4 in two layers, three
    # times; 4 units to a logit, three times; and once 2 latents to 4 units, three times.
    assert floor.decoder_operations == 2 * 3 * (4 * (2 * 8 + 3 * 32 + 3 * 4) + 3 * 8)
    assert floor.operations == floor.encoder_operations + floor.decoder_operations
    assert floor.tanh == 3 * (2 * 4 + 4 * 3 * 4)
    # 4 pixels, 5 draws and the number of the patch, of each of 3 patches.
    assert floor.batch_bytes == 3 * (4 * 4 + 4 * 5 + 8)


def test_the_floor_of_the_sweep_is_the_sum_of_its_trainings(script: Any) -> None:
    floors = script("floors")
    one = floors.step_floor("r", 13).operations
    every = floors.sweep_operations(patches=128, epochs=1)
    assert one < every
    assert every == sum(
        floors.step_floor(model, size).operations
        for model in INVARIANCES
        for size in (3, 5, 7, 9, 11, 13, 15, 17, 20)
    )
    assert floors.sweep_operations(patches=256, epochs=3) == 6 * every


# ---- the file and the tables -------------------------------------------------------------------


def test_rows_are_written_at_once_and_other_sections_are_kept(script: Any, tmp_path: Path) -> None:
    common, path = script("common"), tmp_path / "device.json"
    common.Section(common.Store(path), "first", 60).put(value=1)
    section = common.Section(common.Store(path), "second", 60)
    section.row("rows", {"us": 2})
    section.attempt("third", lambda: 1 // 0)
    stored = json.loads(path.read_text())["sections"]
    assert stored["first"] == {"value": 1}
    assert stored["second"]["rows"] == [{"us": 2}]
    assert stored["second"]["failed"][0]["what"] == "third"
    common.Store(path).clear("first")
    assert list(json.loads(path.read_text())["sections"]) == ["second"]


def test_a_section_without_time_says_what_it_leaves_out(script: Any, tmp_path: Path) -> None:
    common = script("common")
    section = common.Section(common.Store(tmp_path / "device.json"), "steps", -1.0)
    assert not section.has_time("rt 20 px")
    assert section.rows("left_out") == [{"what": "rt 20 px"}]


def test_what_went_wrong_is_listed(script: Any) -> None:
    sections = {
        "checks": {
            "finished": True,
            "tests": {"which_failed": ["test_a"]},
            "curves": [{"model": "rt", "precision": "bf16", "agrees": False}],
        },
        "steps": {"finished": False, "error": "stopped after 9 s"},
        "peer": {"finished": True, "failed": [{"what": "r", "error": "no"}]},
        "sweep": {"finished": True, "left_out": [{"what": "study"}]},
        "machine": {"finished": True},
    }
    found = script("run").wrong({"sections": sections})
    assert [line.split(":")[0] for line in found] == ["checks", "checks", "steps", "peer", "sweep"]


def test_the_empty_form_has_floors_and_no_figures(script: Any) -> None:
    text = script("tables").render([])
    assert "2.20 PFLOP" in text
    assert text.count("not measured") == 4
    assert "SMOKE" not in text


def test_bars_are_told_from_the_slowest_configuration(script: Any) -> None:
    def row(px: int, who: str, times: float) -> dict[str, Any]:
        return {"model": "rt", "window_px": px, "who": who, "times_faster": [times, 0, 0]}

    rows = [
        *(row(8, "pyroVED, svi.step", 1.0), row(8, "ours, bf16 x 1", 30.0)),
        *(row(8, "ours, float32 x 1", 9.0), row(20, "ours, bf16 x 1", 21.0)),
        row(8, "ours, bf16 x 27", 120.0),
    ]
    tables = script("tables")
    assert tables._slowest(rows, stacked=False) == "21.0 x to 30.0 x"
    assert tables._slowest(rows, stacked=True) == "120.0 x to 120.0 x"


def test_the_page_has_the_tables_of_what_is_stored(script: Any) -> None:
    run = script("run")
    stored = [json.loads(path.read_text()) for path in run._stored()]
    page = run.README.read_text(encoding="utf-8")
    inside = page.split(run._BEGIN)[1].split(run._END)[0]
    assert inside.strip() == script("tables").render(stored), "run: benchmarks/gpu/run.py --table"
    assert bool(stored) is not ("No figure of a GPU has been measured yet" in page)


def test_results_from_elsewhere_are_taken_in_section_by_section(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = script("run")
    monkeypatch.setattr(run, "RESULTS", tmp_path / "results")
    for part, section in (("one", "machine"), ("two", "steps")):
        (tmp_path / part).mkdir()
        found = {"device": "D", "smoke": False, "sections": {section: {"finished": True}}}
        (tmp_path / part / "d.json").write_text(json.dumps(found))
    run.take_in([tmp_path / "one" / "d.json", tmp_path / "two" / "d.json"])
    stored = json.loads((tmp_path / "results" / "d.json").read_text())
    assert list(stored["sections"]) == ["machine", "steps"]
    tiny = tmp_path / "smoke.json"
    tiny.write_text(json.dumps({"smoke": True, "sections": {}}))
    with pytest.raises(SystemExit, match="no results"):
        run.take_in([tiny])
