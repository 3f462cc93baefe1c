"""One page that opens without a network and says what the study says."""

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
        self.text = ""
        self.scripts = 0
        self._open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the sources."""
        if tag not in ("meta", "link", "br"):
            self._open.append(tag)
        self.scripts += tag == "script"
        self.fetched += [v or "" for k, v in attrs if k in ("src", "href", "data", "action")]

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
        if re.fullmatch("h[1-3]", here):
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
    assert "@import" not in page.split("</style>")[0]
    assert "Plotly.newPlot" in page
    assert len(page) > 1_000_000, "plotly.js is inside"
    assert outline.scripts > 5
    assert sorted(p.name for p in out.iterdir()) == ["best.csv", "report.html", "trials.csv"]


def test_the_page_says_what_the_study_says(written: tuple[optuna.Study, str, Path]) -> None:
    study, page, _ = written
    text = Outline(page).text
    collapsed = [t for t in study.trials if margin(t) > 0]
    assert f"{len(study.trials)} finished trials, {len(collapsed)} of them collapsed" in text
    assert "fvu_core (minimize), gain (maximize)" in text
    assert "Image image: 48 x 48 px" in text
    assert study.user_attrs["vaeopt:identity"]["image_sha256"][:16] in text
    cells = re.findall(r"<td>([^<]*)</td>", page)
    for trial in front(study):
        assert str(trial.number) in cells
        assert f"{trial.values[0]:.4g}" in cells
    for trial in collapsed:
        (reason,) = trial.user_attrs["vaeopt:primitives"]["collapse"]["reasons"]
        assert reason.replace("<", "&lt;") in cells
    chosen = best(study)
    assert f"Trial {chosen.number}: " in text
    assert '"size_px": ' + str(chosen.params["patches.size_px"]) in text


def test_the_page_has_its_parts_in_order(written: tuple[optuna.Study, str, Path]) -> None:
    study, page, _ = written
    assert Outline(page).headings == [
        "tiny",
        "Pareto front",
        "History",
        "Against the window",
        "What each reward would pick",
        "Collapsed trials",
        f"The compromise on the front: trial {best(study).number}",
        "Latents",
        "Components on the image",
        "What the components look like",
        "Training",
        "Settings of this trial",
    ]


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
    assert headings[:3] == ["tiny", "Best trials", "History"]
    assert "The best trial: trial 0" in headings
    assert "Pareto" not in "".join(headings)


def test_a_study_whose_trials_have_all_collapsed_has_a_page(tmp_path: Path) -> None:
    latent_filter = '{ kind = "variance-product", minimum = 1e9 }'
    folder = write_study(tmp_path, latent_filter=latent_filter, n_trials=1)
    optimize(folder)
    _, page = page_of(folder, folder / "report")
    outline = Outline(page)
    assert "Every finished trial collapsed: there is no best one." in outline.text
    assert outline.headings == ["tiny", "Pareto front", "History", "Collapsed trials"]


def test_a_study_without_a_finished_trial_has_none(tmp_path: Path) -> None:
    folder = write_study(tmp_path)
    optimize(folder, timeout_s=1e-9)
    before = contents(folder)
    with pytest.raises(StudyError, match="has no finished trial yet; run 'vaeopt optimize'"):
        page_of(folder, folder / "report")
    assert contents(folder) == before


def test_nothing_is_written_where_the_files_of_the_best_trial_are_gone(
    finished_copy: Path,
) -> None:
    for path in (finished_copy / "artefacts").iterdir():
        path.unlink()
    before = contents(finished_copy)
    with pytest.raises(StudyError, match="put the artefacts back"):
        page_of(finished_copy, finished_copy / "report")
    assert contents(finished_copy) == before


def test_words_from_outside_are_shown_not_obeyed(finished_copy: Path, tmp_path: Path) -> None:
    image = finished_copy / "<script>alert(1)<_script>.npy"
    (finished_copy / "image.npy").rename(image)
    text = (finished_copy / "study.toml").read_text().replace("image.npy", image.name)
    (finished_copy / "study.toml").write_text(text)
    _, page = page_of(finished_copy, tmp_path / "report")
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
