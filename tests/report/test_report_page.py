"""One page that opens without a network and says what the study says."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import optuna
import pandas as pd
import pytest

import vaeopt as vo
from tests.study.tiny import ONE, contents, write_study
from vaeopt.core.errors import StudyError
from vaeopt.report.page import write_report
from vaeopt.study.attributes import REPEAT
from vaeopt.study.file import open_study
from vaeopt.study.fronts.pareto import best, front, margin
from vaeopt.study.optimize import optimize
from vaeopt.study.session import prepare


class Outline(HTMLParser):
    """What a browser would fetch, the headings, and the visible text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.headings: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.alts: list[str | None] = []
        self.text = ""
        self.scripts = 0
        self._open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the sources."""
        if tag not in ("meta", "link", "br", "img", "input", "wbr"):
            self._open.append(tag)
        self.scripts += tag == "script"
        sources = [v or "" for k, v in attrs if k in ("src", "srcset", "href", "data", "action")]
        self.fetched += [source for source in sources if not source.startswith("#")]
        self.links += [source[1:] for source in sources if source.startswith("#")]
        self.ids += [v or "" for k, v in attrs if k == "id"]
        if tag == "img":
            self.alts.append(dict(attrs).get("alt"))

    def handle_endtag(self, tag: str) -> None:
        """Leave the tag."""
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        """Note the text."""
        here = self._open[-1] if self._open else ""
        if here not in ("script", "style"):
            self.text += data + " "
        if re.fullmatch("h[12]", here):
            self.headings.append(data)


def page_of(folder: Path, out: Path) -> tuple[optuna.Study, str]:
    study = vo.load_study(folder)
    return study, write_report(study, prepare(open_study(folder)), out).read_text("utf-8")


@pytest.fixture(scope="module")
def written(
    finished_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[optuna.Study, str, Path]:
    out = tmp_path_factory.mktemp("report") / "deep" / "down"
    return *page_of(finished_folder, out), out


def test_the_page_fetches_nothing(written: tuple[optuna.Study, str, Path]) -> None:
    _, page, out = written
    outline = Outline(page)
    assert outline.fetched == []
    style = page.split("</style>")[0]
    assert "@import" not in style
    assert "url(" not in style
    assert "Plotly.newPlot" in page
    assert page.count("var Plotly") <= 1
    assert len(page) > 1_000_000, "plotly.js is inside"
    assert sorted(p.name for p in out.iterdir()) == ["best.csv", "report.html", "trials.csv"]


def test_every_link_of_the_page_leads_somewhere(written: tuple[optuna.Study, str, Path]) -> None:
    outline = Outline(written[1])
    assert len(outline.links) > 8
    assert set(outline.links) <= set(outline.ids)
    assert len(set(outline.ids)) == len(outline.ids)
    assert outline.alts, "there are pictures"
    assert None not in outline.alts


def test_the_page_says_what_the_study_says(written: tuple[optuna.Study, str, Path]) -> None:
    study, page, _ = written
    text = Outline(page).text
    collapsed = [t for t in study.trials if margin(t) > 0]
    assert f"{len(study.trials)} finished trials, {len(collapsed)} of them collapsed" in text
    assert "fvu_core (minimize), gain (maximize)" in text
    assert "Image image: 48 x 48 px" in text
    identity = study.user_attrs["vaeopt:identity"]
    assert identity["image_sha256"] in text
    assert identity["keypoints_sha256"] in text
    cells = re.findall(r"<td[^>]*>(?:<button[^>]*>)?([^<]*)<", page)
    for trial in study.trials:
        assert f"id='trial-{trial.number}'" in page
        assert f"{trial.values[0]:.4g}" in cells
    for trial in collapsed:
        (reason,) = trial.user_attrs["vaeopt:primitives"]["collapse"]["reasons"]
        assert reason.replace("<", "&lt;") in page
    chosen = best(study)
    assert f"Trial {chosen.number}, the compromise between the objectives," in text
    assert '"size_px": ' + str(chosen.params["patches.size_px"]) in text
    assert 'name = "tiny"' in text, "the study file"
    assert "arXiv:2510.00243" in text
    assert "nan" not in [cell.lower() for cell in cells]


def test_the_page_tells_a_story(written: tuple[optuna.Study, str, Path]) -> None:
    study, page, _ = written
    headings = Outline(page).headings
    assert headings[:2] == ["tiny", f"The compromise: trial {best(study).number}"]
    order = ["Pareto front", "Latents by window and invariance", "All trials"]
    places = [headings.index(title) for title in order]
    assert places == sorted(places)
    assert headings[-3:] == ["All trials", "Settings, versions, hashes", "How to cite"]
    assert len(set(headings)) == len(headings)


def test_every_picture_is_in_the_page_once(written: tuple[optuna.Study, str, Path]) -> None:
    study, page, _ = written
    held = json.loads(page.split("<script type='application/json' id='trials'>")[1].split("</")[0])
    assert len(held) == len(study.trials)
    for card in held.values():
        assert page.count(card["image"]) == 1


def test_the_tables_beside_the_page_hold_all_trials(
    written: tuple[optuna.Study, str, Path],
) -> None:
    study, _, out = written
    trials = pd.read_csv(out / "trials.csv")
    assert trials["trial"].tolist() == [t.number for t in study.trials]
    for column, i in (("fvu_core", 0), ("gain", 1)):
        assert trials[column].tolist() == pytest.approx([t.values[i] for t in study.trials])
    assert pd.read_csv(out / "best.csv")["trial"].tolist() == [t.number for t in front(study)]


def test_a_study_of_one_reward_has_a_page(tmp_path: Path) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=1)
    optimize(folder)
    _, page = page_of(folder, folder / "report")
    headings = Outline(page).headings
    assert headings[:3] == ["tiny", "The best trial: trial 0", "Best trials"]
    assert "Pareto" not in "".join(headings)
    assert "Compromise and extremes" not in page


@pytest.mark.parametrize("n_objectives", [3, 4])
def test_a_study_of_many_rewards_has_a_page(tmp_path: Path, n_objectives: int) -> None:
    kinds = ["reconstruction", "gain", "icl", "bic"][:n_objectives]
    rewards = ", ".join(f'{{ kind = "{kind}" }}' for kind in kinds)
    folder = write_study(tmp_path, rewards=f"[ {rewards} ]", n_trials=3)
    optimize(folder)
    study, page = page_of(folder, folder / "report")
    assert "Pareto front" in Outline(page).headings
    for name in study.metric_names or ():
        assert f"<td>best {name}</td>" in page


def test_a_study_whose_trials_have_all_collapsed_has_a_page(tmp_path: Path) -> None:
    latent_filter = '{ kind = "variance-product", minimum = 1e9 }'
    folder = write_study(tmp_path, latent_filter=latent_filter, n_trials=1)
    optimize(folder)
    _, page = page_of(folder, folder / "report")
    outline = Outline(page)
    assert "Every finished trial collapsed: there is no best one." in outline.text
    assert outline.headings[:2] == ["tiny", "The winner"]
    assert "variance product" in outline.text or "variance-product" in outline.text
    assert set(outline.links) <= set(outline.ids)


def test_a_study_without_a_finished_trial_has_none(tmp_path: Path) -> None:
    folder = write_study(tmp_path)
    optimize(folder, timeout_s=1e-9)
    before = contents(folder)
    with pytest.raises(StudyError, match="has no finished trial yet; run 'vaeopt optimize'"):
        page_of(folder, folder / "report")
    assert contents(folder) == before


def test_without_the_files_of_trials_the_page_says_so(finished_copy: Path) -> None:
    for path in (finished_copy / "artefacts").iterdir():
        path.unlink()
    study, page = page_of(finished_copy, finished_copy / "report")
    text = Outline(page).text
    assert "The files of trials 0-5 are missing or damaged" in text
    assert "The figures of the winner are left out: file latents.npz of trial " in text
    assert f"Trial {best(study).number}, the compromise between the objectives," in text
    assert "<img data-picture" not in page


def test_a_study_that_runs_says_so(finished_copy: Path) -> None:
    study = vo.load_study(finished_copy)
    study.ask()
    _, page = page_of(finished_copy, finished_copy / "report")
    text = Outline(page).text
    assert "The study is running: 1 trial had not ended when this page was written, 20" in text
    assert "1 was still running." in text
    assert "vaeopt status copy" in text


def test_repeats_are_called_trainings(finished_copy: Path) -> None:
    study = vo.load_study(finished_copy)
    first = best(study)
    numbers = [first.number, len(study.trials)]
    repeat = {
        "of": first.number,
        "trials": numbers,
        "own": first.values,
        "margin": 0.0,
        "sd": [0.1, 0.2],
    }
    attrs = {**first.user_attrs, REPEAT: repeat}
    study.add_trial(
        optuna.trial.create_trial(
            values=first.values,
            params=first.params,
            distributions=first.distributions,
            user_attrs=attrs,
            system_attrs={"constraints": [margin(first)]},
        )
    )
    _, page = page_of(finished_copy, finished_copy / "report")
    assert "<button type='button'>trainings</button>" in page
    assert "mean_of" not in page
    assert f"data-status='averaged' id='trial-{first.number}'" in page


def test_words_from_outside_are_shown_not_obeyed(finished_copy: Path, tmp_path: Path) -> None:
    image = finished_copy / "<script>alert(1)<_script>.npy"
    (finished_copy / "image.npy").rename(image)
    text = (finished_copy / "study.toml").read_text().replace("image.npy", image.name)
    (finished_copy / "study.toml").write_text(text)
    _, page = page_of(finished_copy, tmp_path / "report")
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
