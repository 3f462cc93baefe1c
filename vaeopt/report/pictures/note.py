"""The note of a trial: what was trained, what came out, what was filtered and why."""

import math

from vaeopt.core.types import WorkflowRun
from vaeopt.report.pictures.words import length_text, percent, shares_of
from vaeopt.stages.rewards import Reward
from vaeopt.study.illustration import Subject
from vaeopt.study.results.records import environment
from vaeopt.workflow import Score

__all__ = ["note"]

_COMPONENTS = 10  # that are listed
_EMBEDDED = ("01_latents.png", "04_map.png")  # the others stand below as artifacts


def note(subject: Subject) -> str:
    """GitHub's Markdown without mathematics; kept short, as a storage is asked for all at once."""
    lines = [*_verdict(subject), "", "| | |", "|---|---|"]
    lines += [f"| {_cell(name)} | {_cell(text)} |" for name, text in _rows(subject)]
    for name, why in subject.failed.items():
        lines += ["", f"Picture {name} was not drawn: {_cell(why)}"]
    for name in _EMBEDDED:
        if name in subject.pictures:  # paragraphs: side by side they are wider than the page
            lines += ["", f"![{name}]({subject.pictures[name]})"]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _verdict(subject: Subject) -> list[str]:
    run = subject.run
    collapsed = [one for one in run.members if not one.collapse.feasible]
    if not collapsed:
        found = shares_of(run)
        count = len(found.components)
        if found.failure:
            return [f"**No components:** {found.failure}."]
        return [f"**{count} component{'' if count == 1 else 's'}**"]
    reasons = list(dict.fromkeys(text for one in collapsed for text in one.collapse.reasons))
    which = "" if len(run.members) == 1 else f" in {len(collapsed)} of {len(run.members)} trainings"
    return [f"**Collapsed{which}:** {'; '.join(reasons)}. It does not compete."]


def _rows(subject: Subject) -> list[tuple[str, str]]:
    workflow, run = subject.workflow, subject.run
    vae, found = run.vae.config, shares_of(run)
    rows = [
        ("window", length_text(run.vae.window_px, run.micrograph.pixel_size_nm)),
        ("invariances", " + ".join(vae["invariances"]) or "none"),
        ("latents", f"{run.latents.latent_dim}, KL scale {vae['kl_scale']:.3g}"),
        ("training", _training(run)),
        ("trained on", _place(subject)),
    ]
    rows += [_told(r, v, subject) for r, v in zip(workflow.rewards, subject.told, strict=True)]
    rows += [(f"{s.label} (score)", _score(subject.scores.get(s.label))) for s in workflow.scores]
    if subject.mean_of:
        numbers = ", ".join(map(str, subject.mean_of))
        rows.append(("repeated", f"objectives are means over trials {numbers}"))
    rows.append(
        (
            "reconstruction",
            f"{percent(1 - run.latents.reconstruction.fvu)} of the variance of the patches",
        )
    )
    kept = run.mixture.kept
    rows.append(
        (
            "density filter",
            f"{workflow.density_filter.kind}: {int(kept.sum())} of {len(kept)} patches kept "
            f"({percent(1 - found.filtered)})",
        )
    )
    rows.append(("latent filter", f"{workflow.latent_filter.kind}, {_margin(run)}"))
    if len(found.components):
        pairs = list(zip(found.components.tolist(), found.share.tolist(), strict=True))
        shares = [f"{k}: {percent(share)}" for k, share in pairs[:_COMPONENTS]]
        more = "" if len(pairs) <= _COMPONENTS else f", and {len(pairs) - _COMPONENTS} more"
        rows.append(("components", ", ".join(shares) + more))
    return rows


def _training(run: WorkflowRun) -> str:
    loss = run.vae.loss_nats
    text = f"{len(loss)} epochs"
    if len(loss) and math.isfinite(loss[-1]):
        text += f", loss {loss[-1]:.5g} nats per patch"
    if run.vae.diverged:
        text += ", **diverged**: the weights are those of the last good epoch"
    if run.vae.stopped:
        text += ", **stopped early**: its latents had collapsed for good"
    if run.replicates:
        text += f"; {len(run.members)} trainings with other seeds"
    return text


def _place(subject: Subject) -> str:
    around = environment(subject.workflow)
    threads = f"{around['threads']} thread{'' if around['threads'] == 1 else 's'}"
    where = around["gpu"] or f"{around['machine']}, {threads}"
    seconds = subject.run.seconds
    spent = sum(value for one in subject.run.members for value in one.seconds.values())
    train = sum(one.seconds.get("vae", 0.0) for one in subject.run.members)
    parts = f" ({train:.3g} s of it training)" if "vae" in seconds else ""
    return f"{where}: {around['decoder']}, {around['precision']}; {spent:.3g} s{parts}"


def _told(reward: Reward, value: float, subject: Subject) -> tuple[str, str]:
    own = subject.scores.get(reward.label)
    text = f"**{value:.5g}**"
    if own is not None and subject.mean_of:
        text += f"; this training {own.value:.5g}"
    if own is not None and own.n > 1:
        text += f" \N{PLUS-MINUS SIGN} {own.sd:.2g} ({own.n} values)"
    return f"{reward.label} ({reward.direction})", text


def _score(score: Score | None) -> str:
    if score is None:
        return "could not be computed"
    spread = f" \N{PLUS-MINUS SIGN} {score.sd:.2g}" if score.n > 1 else ""
    return f"{score.value:.5g}{spread}"


def _margin(run: WorkflowRun) -> str:
    worst = max(one.collapse.margin for one in run.members)
    if worst > 0:
        return f"failed by a factor of {10**worst:.3g}"
    return f"passed with a factor of {10**-worst:.3g} to spare"
