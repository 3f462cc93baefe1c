"""One self-contained HTML page for a study: opens offline, needs nothing beside it."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib import resources
from pathlib import Path

import optuna
import plotly.offline

from vaeopt.core.errors import StudyError, VaeoptError
from vaeopt.core.types import WorkflowRun
from vaeopt.report.figures import picks_frame
from vaeopt.report.page import sections
from vaeopt.report.page.cards import Pictures, cards, pictures_of
from vaeopt.report.page.facts import facts_of
from vaeopt.report.page.files import check_png, write_csv, write_png, write_whole
from vaeopt.report.page.grid import GridInfo, draw_grid, grid_frame, grid_html, grid_info
from vaeopt.report.page.markup import anchor, data_block, escape, section, table
from vaeopt.report.panels import Panel, study_panels, winner_panels
from vaeopt.report.tables import best_frame
from vaeopt.study.attributes import IDENTITY
from vaeopt.study.fronts.pareto import compromise, finished
from vaeopt.study.results.access import trials_frame
from vaeopt.study.results.records import restore
from vaeopt.study.session import Session

__all__ = ["write_report"]

_GRID = "Latents by window and invariance"
_GRID_AFTER = ("curves", "number_of_components")  # the paper's order
_GRID_CAPTION = (
    "The best trial of each window (columns) and set of invariances (rows): its latents, one dot "
    "per key point, coloured by component. A colour means the "
    "same component within a picture only."
)


def write_report(
    study: optuna.Study,
    session: Session,
    out: Path,
    *,
    baseline: optuna.Study | None = None,
    png: bool = False,
    csv: bool = False,
) -> Path:
    """Write ``report.html``, ``best.csv`` and ``trials.csv``; returns the page.

    Trials whose files are missing have no picture, and the page says so.

    Args:
        study: at least one finished trial; others may be running.
        session: of the same study file.
        out: folder.
        baseline: a study of the same objectives whose hypervolume is drawn beside, such as one by
            random search.
        png: also write every figure as ``figures/NAME.png``.
        csv: also write the data of every figure as ``figures/NAME.csv``.

    Raises:
        StudyError: nothing is finished yet, the baseline does not fit, the folder cannot be
            written, or pictures cannot be drawn here.
    """
    if png:
        check_png()
    if not finished(study):
        raise StudyError(
            f"study {study.study_name!r} has no finished trial yet", remedy="run 'vaeopt optimize'"
        )
    if baseline is not None:
        _check_baseline(study, baseline)
    with _writing(out):  # known now, not after the work
        out.mkdir(parents=True, exist_ok=True)
    nm = session.micrograph.pixel_size_nm
    panels = study_panels(study, baseline=baseline, pixel_size_nm=nm)
    number, run, lost = _winner(study, session)
    own = [] if run is None or number is None else winner_panels(number, run)
    pictures = pictures_of(study, session.artefacts)
    grid = grid_info(study, nm)
    text = _page(study, session, panels, own, pictures, grid, lost)
    with _writing(out):
        write_whole(out / "best.csv", best_frame(study).to_csv(index=False))
        write_whole(out / "trials.csv", trials_frame(study).to_csv(index=False))
        if csv:
            write_csv([*own, *panels], out / "figures")
            write_whole(out / "figures" / "grid.csv", grid_frame(grid).to_csv(index=False))
        if png:
            write_png([*own, *panels], out / "figures")
            held = io.BytesIO()
            draw_grid(grid, pictures.by_trial).save(held, "PNG")
            write_whole(out / "figures" / "grid.png", held.getvalue())
        write_whole(out / "report.html", text)
    return out / "report.html"


def _check_baseline(study: optuna.Study, baseline: optuna.Study) -> None:
    """Whether values of the two may be drawn on one axis.

    Raises:
        StudyError: it is the same study, has another image, or nothing is finished in it.
    """
    name, setting = baseline.study_name, "--baseline"
    done = finished(baseline)
    if not done:
        raise StudyError(
            f"study {name!r} has no finished trial yet",
            setting=setting,
            remedy="run it with 'vaeopt optimize' first",
        )
    # A copy keeps the times, so that it is known as well.
    if [t.datetime_start for t in done[:1]] == [t.datetime_start for t in finished(study)[:1]]:
        raise StudyError(
            f"study {name!r} is the study itself, or a copy of it",
            setting=setting,
            remedy="name another one, such as the same search with sampler 'random'",
        )
    images = [s.user_attrs.get(IDENTITY, {}).get("image_sha256") for s in (study, baseline)]
    if None not in images and images[0] != images[1]:
        raise StudyError(
            f"study {name!r} has another image than {study.study_name!r}, so their values do not "
            "compare",
            setting=setting,
            remedy="run a random search on the same image",
        )


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise StudyError(
            f"cannot write to {str(out)!r}: {reason}", setting="--out", remedy="name another folder"
        ) from error


def _winner(study: optuna.Study, session: Session) -> tuple[int | None, WorkflowRun | None, str]:
    chosen = compromise(study)
    if chosen is None:
        return None, None, ""
    try:
        return chosen.number, restore(chosen, session), ""
    except VaeoptError as error:
        return chosen.number, None, str(error)


def _page(
    study: optuna.Study,
    session: Session,
    panels: list[Panel],
    own: list[Panel],
    pictures: Pictures,
    grid: GridInfo,
    lost: str,
) -> str:
    frame = trials_frame(study)
    parts = _parts(study, session, panels, own, pictures, grid)
    links = "".join(f"<li><a href='#{anchor(title)}'>{escape(title)}</a></li>" for title in parts)
    body = "".join(section(title, inner) for title, inner in parts.items())
    now = datetime.now().astimezone()
    here = resources.files("vaeopt.report.page")
    style, script = (here.joinpath(name).read_text("utf-8") for name in ("style.css", "script.js"))
    return (
        "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(study.study_name)}</title><style>{style}</style></head><body>"
        "<a class='skip' href='#main'>To the content</a>"
        f"{sections.header(study, session, list(pictures.missing), lost, now)}"
        "<noscript><p class='notice'>Figures need JavaScript; the tables do not.</p></noscript>"
        f"<div class='body'><nav aria-label='Contents'><ol>{links}</ol></nav>"
        f"<main id='main'>{body}</main></div>"
        "<footer>One file, no network needed: send it to whom you like.</footer>"
        f"{_CARD}{data_block('trials', cards(study, frame, pictures))}"
        f"<script>{plotly.offline.get_plotlyjs()}</script><script>{script}</script></body></html>"
    )


_CARD = (
    "<div id='card' role='dialog' aria-label='Trial' aria-live='polite' hidden><img alt=''>"
    "<h4></h4><p></p><table><tbody></tbody></table>"
    "<div class='do'><button type='button' class='row'>Row in the table</button>"
    "<button type='button' class='close'>Close</button></div></div>"
)


def _parts(
    study: optuna.Study,
    session: Session,
    panels: list[Panel],
    own: list[Panel],
    pictures: Pictures,
    grid: GridInfo,
) -> dict[str, str]:
    """Titles and contents, in the order of a story."""
    frame = trials_frame(study)
    facts = facts_of(study, session)
    several = len(study.directions) > 1
    title = "The winner"
    if facts is not None:
        title = f"{'The compromise' if several else 'The best trial'}: trial {facts.trial}"
    words = sections.winner_words(
        facts, picture=facts is not None and facts.trial in pictures.by_trial
    )
    winner = [sections.panel_html(panel, trials=False) for panel in own]
    parts = {title: words + sections.extremes(study, frame) + "".join(winner)}
    best = best_frame(study)
    if not best.empty:
        known = best.drop(columns=[name for name in best if best[name].isna().all()])
        caption = "Trials that no other one beats in all objectives." if several else "The best."
        title = _section(panels, "front", "Pareto front") if several else "Best trials"
        parts[title] = table(known.rename(columns={"mean_of": "trainings"}), caption)
    last = max((i for i, p in enumerate(panels) if p.name.startswith(_GRID_AFTER)), default=-1)
    # A section is not cut in two.
    while 0 <= last < len(panels) - 1 and panels[last + 1].section == panels[last].section:
        last += 1
    shown = _grid_part(grid, pictures) if len(grid.cells) > 1 else ""
    for i, panel in enumerate(panels):
        held = parts.get(panel.section, "")
        parts[panel.section] = held + sections.panel_html(panel, trials=True)
        if i == last and shown:
            parts[_GRID] = shown
    if shown:
        parts.setdefault(_GRID, shown)
    picks = picks_frame(study)
    if len(picks) > 1:
        caption = "The healthy trial that each reward or score would pick by itself."
        title = _section(panels, "picks", "What each reward would pick")
        parts[title] = parts.get(title, "") + table(picks, caption)
    collapsed = sections.collapsed_table(frame)
    if collapsed:
        title = _section(panels, "collapse", "Collapsed trials")
        parts[title] = parts.get(title, "") + collapsed
    parts["All trials"] = sections.all_trials(frame)
    parts["Settings, versions, hashes"] = sections.made_with(study, session)
    parts["How to cite"] = sections.citation()
    return parts


def _section(panels: list[Panel], name: str, other: str) -> str:
    """Where a table about the same as this figure belongs."""
    return next((panel.section for panel in panels if panel.name == name), other)


def _grid_part(grid: GridInfo, pictures: Pictures) -> str:
    return f"<p>{escape(_GRID_CAPTION)}</p>{grid_html(grid, pictures.by_trial)}"
