"""The parts of the page, each as HTML."""

import json
from datetime import datetime

import optuna
import pandas as pd
from optuna.trial import TrialState

import vaeopt
from vaeopt.core.secrets import masked
from vaeopt.report.page.citation import BIBTEX
from vaeopt.report.page.markup import cell, data_block, definitions, details, escape, table
from vaeopt.report.page.words import Facts, found, human, next_steps, sure
from vaeopt.report.panels import Panel
from vaeopt.study.attributes import IDENTITY
from vaeopt.study.fronts.pareto import compromise, finished, front, margin, pick, representatives
from vaeopt.study.guard import accepted_lines
from vaeopt.study.results.access import metric_names, spans
from vaeopt.study.results.records import environment_of, settings_of
from vaeopt.study.session import Session

__all__ = [
    "all_trials",
    "citation",
    "collapsed_table",
    "extremes",
    "header",
    "made_with",
    "panel_html",
    "status_frame",
    "winner_words",
]


def header(
    study: optuna.Study, session: Session, missing: list[int], lost: str, now: datetime
) -> str:
    """Name, what was searched on which image, when, and what is not there."""
    done = finished(study)
    collapsed = sum(margin(trial) > 0 for trial in done)
    repeated = len(done) - len(representatives(study))
    running = len(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))
    more = f", {repeated} averaged with later ones" if repeated else ""
    aims = ", ".join(
        f"{name} ({direction.name.lower()})"
        for name, direction in zip(metric_names(study), study.directions, strict=True)
    )
    image = session.micrograph
    height, width = image.pixels.shape
    size = "" if image.pixel_size_nm is None else f", {human(image.pixel_size_nm)} nm per pixel"
    windows = session.space.windows_px()
    wide = f"{windows[0]}" if windows[0] == windows[1] else f"{windows[0]} to {windows[1]}"
    notices = []
    if running:
        notices.append(
            f"The study is running: {running} trial{'' if running == 1 else 's'} had not ended "
            f"when this page was written, {now:%Y-%m-%d %H:%M %Z}."
        )
    if missing:
        notices.append(
            f"The files of {spans(missing)} are missing or damaged, so there are no pictures of "
            "them. 'vaeopt replay --restore' makes them again."
        )
    if lost:
        notices.append(f"The figures of the winner are left out: {lost}.")
    notices += [f"Accepted: {line}." for line in accepted_lines(study)]
    return (
        f"<header><h1>{escape(study.study_name)}</h1>"
        f"<p>{len(done)} finished trial{'' if len(done) == 1 else 's'}, {collapsed} of them "
        f"collapsed{more}. Objectives: "
        f"{escape(aims)}.</p>"
        f"<p class='meta'>Image {escape(image.name)}: {height} x {width} px{size}; "
        f"{len(session.keypoints)} key points; windows {wide} px. Written "
        f"{now:%Y-%m-%d %H:%M %Z} by vaeopt {vaeopt.__version__}.</p>"
        + "".join(f"<p class='notice'>{escape(line)}</p>" for line in notices)
        + "</header>"
    )


def winner_words(facts: Facts | None, *, picture: bool) -> str:
    """Numbers, sentences and next steps."""
    if facts is None:
        return (
            "<p>Every finished trial collapsed: there is no best one.</p><p>Their reasons stand "
            "below. Lower vae.kl_scale, or loosen latent_filter in a new study.</p>"
        )
    lines = "".join(f"<p>{escape(line)}</p>" for line in found(facts))
    image = ""
    if picture:
        alt = f"Latents of trial {facts.trial}, coloured by component"
        image = (
            f"<figure class='hero'><button type='button' data-trial='{facts.trial}'>"
            f"<img data-picture='{facts.trial}' alt='{alt}'></button>"
            "<figcaption>The latents of the winner, one dot per key point, coloured by component. "
            "Ellipses: 2 sigma.</figcaption></figure>"
        )
    doubts = "".join(f"<li>{escape(line)}</li>" for line in sure(facts))
    steps = "".join(
        f"<li>{escape(step.text)}"
        + (f"<code class='command'>{escape(step.command)}</code>" if step.command else "")
        + "</li>"
        for step in next_steps(facts)
    )
    return (
        f"{_tiles(facts)}<div class='words'><div class='lead'>{lines}</div>{image}</div>"
        f"<div class='pair'><div class='box'><h3>How sure this is</h3><ul>{doubts}</ul></div>"
        f"<div class='box'><h3>What to try next</h3><ul>{steps}</ul></div></div>"
    )


def _tiles(facts: Facts) -> str:
    nm = "" if facts.window_nm is None else f" ({facts.window_nm:.3g} nm)"
    tiles = [
        (str(len(facts.shares)), "component" if len(facts.shares) == 1 else "components"),
        (f"{facts.window_px} px", f"window{nm}"),
        (" + ".join(facts.invariances) or "none", "invariance"),
        *((human(one.value), f"{one.name} ({one.direction})") for one in facts.objectives),
    ]
    inner = "".join(f"<li><b>{escape(b)}</b><span>{escape(s)}</span></li>" for b, s in tiles)
    return f"<ul class='tiles'>{inner}</ul>"


def extremes(study: optuna.Study, frame: pd.DataFrame) -> str:
    """Of several objectives: the compromise, and the best trial of each objective."""
    chosen = compromise(study)
    if chosen is None or len(study.directions) < 2:
        return ""
    rows = [("compromise", chosen.number)]
    ends = front(study)
    for i, (name, direction) in enumerate(zip(metric_names(study), study.directions, strict=True)):
        sign = 1 if direction == optuna.study.StudyDirection.MINIMIZE else -1
        rows.append((f"best {name}", min(ends, key=lambda t: sign * t.values[i]).number))
    by_number = frame.set_index("trial", drop=False)
    params = list(pick(study, str(chosen.number)).params)
    columns = ["trial", *metric_names(study), "components", *params]
    columns = list(dict.fromkeys(c for c in columns if c in frame))
    shown = pd.DataFrame([by_number.loc[number, columns] for _, number in rows])
    shown = shown.infer_objects().reset_index(drop=True)
    shown.insert(0, "which", [word for word, _ in rows])
    caption = "The compromise, and the two ends of the Pareto front."
    if len(study.directions) > 2:
        caption = "The compromise, and the best trial of each objective."
    return f"<h3>Compromise and extremes</h3>{table(shown, caption)}"


def panel_html(panel: Panel, *, trials: bool) -> str:
    """A figure with title and caption; its data stand beside it for the script."""
    height = panel.figure.layout.height or 450
    linked = " data-trials" if trials else ""
    name = escape(panel.name)
    return (
        f"<figure class='panel' id='panel-{name}'><h3>{escape(panel.title)}</h3>"
        f"<div class='plot' data-figure='{name}'{linked} role='img' "
        f"aria-label='{escape(panel.title)}. {escape(panel.caption)}' "
        f"style='min-height:{int(height)}px'></div>"
        f"<figcaption>{escape(panel.caption)}</figcaption></figure>"
        + data_block(f"figure-{panel.name}", str(panel.figure.to_json()))
    )


def status_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """All trials with one word for how they ended, without columns that hold nothing."""

    def word(row: "pd.Series[str]") -> str:
        if row["state"] != "complete":
            return str(row["state"]).replace("fail", "failed")
        if not row["feasible"]:
            return "collapsed"
        if bool(row.get("superseded", False)):
            return "averaged"
        return "front" if row["front"] else "healthy"

    shown = frame.copy()
    shown.insert(1, "status", [word(row) for _, row in frame.iterrows()])
    shown = shown.drop(columns=["state", "feasible", "front"])
    shown = shown.drop(columns=[name for name in ("superseded",) if name in shown])
    reasons = shown.pop("reason")
    shown["reason"] = reasons
    unknown = [name for name in shown if shown[name].isna().all()]
    return shown.drop(columns=unknown).rename(columns={"mean_of": "trainings"})


def collapsed_table(frame: pd.DataFrame) -> str:
    """Which trials collapsed, and why."""
    gone = frame[(frame["state"] == "complete") & ~frame["feasible"].astype(bool)]
    if gone.empty:
        return ""
    return table(gone[["trial", "reason"]], "Trials whose latents are not fit to be scored.")


def all_trials(frame: pd.DataFrame) -> str:
    """Every trial, sortable and filterable."""
    shown = status_frame(frame)
    kinds = [
        k
        for k in ("front", "healthy", "averaged", "collapsed", "failed")
        if k in set(shown["status"])
    ]
    options = "".join(f"<option>{kind}</option>" for kind in kinds)
    return (
        "<div class='tools'><label>Filter <input id='filter-words' type='search' "
        "placeholder='rotation 13'></label><label>Status <select id='filter-status'>"
        f"<option value=''>all</option>{options}</select></label>"
        "<output id='filter-count'></output></div>"
        + table(
            shown,
            "All trials that have ended. A heading sorts, a number opens the trial.",
            mark="status",
        )
    )


def made_with(study: optuna.Study, session: Session) -> str:
    """Settings, versions, hashes and what to cite."""
    chosen = compromise(study)
    identity = study.user_attrs.get(IDENTITY, {})
    settings = session.file.settings
    source = session.file.source
    if source is not None and source.is_file():
        text = source.read_text(encoding="utf-8")
    else:
        text = json.dumps(settings.model_dump(mode="json"), indent=2)
    parts = []
    if chosen is not None:
        parts.append(
            details(
                f"Settings of trial {chosen.number}",
                f"<pre>{escape(masked(settings_of(chosen).model_dump_json(indent=2)))}</pre>",
            )
        )
    parts.append(details("Study file", f"<pre>{escape(masked(text))}</pre>"))
    hashes = [
        ("image sha256", session.micrograph.sha256),
        ("key points sha256", identity.get("keypoints_sha256", "")),
        *((f"{name} sha256", sha) for name, sha in identity.get("plugins", {}).items()),
        ("semantics of the rewards", identity.get("semantics", "")),
        ("seed of the study", settings.optuna.seed),
    ]
    made = [("vaeopt that wrote this page", vaeopt.__version__)]
    if chosen is not None:
        made += [(k, cell(v) or "none") for k, v in environment_of(chosen).items()]
    return (
        "".join(parts)
        + f"<h3>Hashes</h3>{definitions([h for h in hashes if h[1] != ''])}"
        + (f"<h3>Versions{'' if chosen is None else f' (trial {chosen.number})'}</h3>")
        + definitions(made)
    )


def citation() -> str:
    """What to cite, as BibTeX."""
    return (
        "<p>If you use this result, please cite the paper whose method it is, and the software."
        f"</p><pre>{escape(BIBTEX)}</pre>"
    )
