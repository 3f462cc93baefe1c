"""One self-contained HTML page for a study: opens offline, needs nothing beside it."""

import html
from pathlib import Path

import optuna
import plotly.graph_objects as go
import plotly.io

import vaeopt
from vaeopt.core.errors import StudyError
from vaeopt.core.types import WorkflowRun
from vaeopt.report import figures
from vaeopt.report.figures import curves_info, draw_curves, picks_frame
from vaeopt.report.tables import best_frame
from vaeopt.study.fronts.pareto import compromise, finished
from vaeopt.study.guard import accepted_lines
from vaeopt.study.results.access import metric_names, trials_frame
from vaeopt.study.results.records import restore, settings_of
from vaeopt.study.session import Session

__all__ = ["write_report"]

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; }
h1 { margin-bottom: 0 } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc }
table { border-collapse: collapse; font-size: .85rem; display: block; overflow-x: auto }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #ddd; text-align: right }
pre { background: #f5f5f5; padding: 1rem; overflow-x: auto; font-size: .85rem }
.lead { font-size: 1.1rem }
"""


def write_report(
    study: optuna.Study, session: Session, out: Path, *, baseline: optuna.Study | None = None
) -> Path:
    """Write ``report.html``, ``best.csv`` and ``trials.csv``; returns the page.

    Args:
        study: at least one finished trial.
        session: of the same study file.
        out: folder.
        baseline: a study of the same objectives whose hypervolume is drawn beside, such as one by
            random search.

    Raises:
        StudyError: nothing is finished yet, or the baseline has other objectives.
    """
    if not finished(study):
        raise StudyError(
            f"study {study.study_name!r} has no finished trial yet", remedy="run 'vaeopt optimize'"
        )
    parts = [_head(study, session), *_study_part(study, baseline)]
    chosen = compromise(study)
    if chosen is not None:
        run = restore(chosen, session)
        parts += _winner_part(study, chosen.number, run)
        parts += [
            "<h2>Settings of this trial</h2>",
            _pre(settings_of(chosen).model_dump_json(indent=2)),
        ]
    out.mkdir(parents=True, exist_ok=True)
    best_frame(study).to_csv(out / "best.csv", index=False)
    trials_frame(study).to_csv(out / "trials.csv", index=False)
    script = plotly.offline.get_plotlyjs()
    page = out / "report.html"
    page.write_text(
        "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'>"
        f"<title>{html.escape(study.study_name)}</title><style>{_STYLE}</style>"
        f"<script>{script}</script></head><body>{''.join(parts)}</body></html>",
        encoding="utf-8",
    )
    return page


def _head(study: optuna.Study, session: Session) -> str:
    trials = trials_frame(study)
    done = trials[trials["state"] == "complete"]
    collapsed = int((~done["feasible"]).sum())
    count = int((done["mean_of"] > 1).sum()) if "mean_of" in done else 0
    repeated = f", {count} with the parameters of another, so that they are means" if count else ""
    aims = ", ".join(
        f"{name} ({direction.name.lower()})"
        for name, direction in zip(metric_names(study), study.directions, strict=True)
    )
    image = session.micrograph
    height, width = image.pixels.shape
    size = "" if image.pixel_size_nm is None else f", {image.pixel_size_nm:.4g} nm per pixel"
    windows = session.space.windows_px()
    return (
        f"<h1>{html.escape(study.study_name)}</h1>"
        f"<p class='lead'>{len(done)} finished trials, {collapsed} of them collapsed{repeated}. "
        f"Objectives: {html.escape(aims)}.</p>"
        f"<p>Image {html.escape(image.name)}: {height} x {width} px{size}; "
        f"{len(session.keypoints)} key points; windows {windows[0]} to {windows[1]} px; "
        f"vaeopt {vaeopt.__version__}; image sha256 {image.sha256[:16]}.</p>"
        + "".join(f"<p>Accepted: {html.escape(line)}.</p>" for line in accepted_lines(study))
    )


def _study_part(study: optuna.Study, baseline: optuna.Study | None) -> list[str]:
    several = len(study.directions) > 1
    table = best_frame(study)
    parts = ["<h2>Pareto front</h2>" if several else "<h2>Best trials</h2>"]
    if table.empty:
        parts.append("<p>Every finished trial collapsed: there is no best one.</p>")
    else:
        parts.append(table.to_html(index=False, float_format=lambda v: f"{v:.4g}", border=0))
    if several:
        parts.append(_figure(figures.draw_front(figures.front_info(study))))
    parts.append("<h2>History</h2>")
    for i in range(len(study.directions)):
        parts.append(_figure(figures.draw_history(figures.history_info(study, i))))
    if several or baseline is not None:
        parts.append(_figure(figures.hypervolume(study, baseline)))
    curves = curves_info(study)
    if curves.curves:
        parts += [
            "<h2>Against the window</h2>",
            "<p>Feasible trials only. The loss is the training loss in nats per patch; it grows "
            "with the number of pixels.</p>",
            _figure(draw_curves(curves)),
        ]
    picks = picks_frame(study)
    if len(picks) > 1:
        parts.append("<h2>What each reward would pick</h2>")
        parts.append(picks.to_html(index=False, float_format=lambda v: f"{v:.4g}", border=0))
    reasons = trials_frame(study).query("state == 'complete' and not feasible")
    if not reasons.empty:
        parts.append("<h2>Collapsed trials</h2>")
        parts.append(reasons[["trial", "reason"]].to_html(index=False, border=0))
    return parts


def _winner_part(study: optuna.Study, number: int, run: WorkflowRun) -> list[str]:
    title = "The compromise on the front" if len(study.directions) > 1 else "The best trial"
    best = run.mixture.best
    count = 0 if best is None else best.n_components
    found = run.latents.reconstruction
    words = (
        f"Trial {number}: {count} components; windows of {run.vae.window_px} px; "
        f"{100 * (1 - found.fvu):.0f} % of the variance of the patches is explained; "
        f"{100 * float(run.mixture.kept.mean()):.0f} % of the key points passed the density filter."
    )
    return [
        f"<h2>{title}: trial {number}</h2><p>{words}</p>",
        "<h3>Latents</h3>",
        _figure(figures.draw_latents(figures.latents_info(run))),
        "<h3>Components on the image</h3>",
        _figure(figures.draw_map(figures.map_info(run))),
        "<h3>What the components look like</h3>",
        _figure(figures.components(run)),
        "<h3>Training</h3>",
        _figure(figures.training(run)),
    ]


def _figure(figure: go.Figure) -> str:
    return str(plotly.io.to_html(figure, include_plotlyjs=False, full_html=False))


def _pre(text: str) -> str:
    return f"<pre>{html.escape(text)}</pre>"
