"""The note of a study: what its values mean and how the dashboard's page is read."""

import hashlib
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from vaeopt.core.settings import Settings
from vaeopt.core.version import __version__
from vaeopt.report.dashboard.glossary import meaning_of
from vaeopt.stages.rewards import Reward
from vaeopt.study.file import StudyFile
from vaeopt.study.results.stored import RESCORED
from vaeopt.study.storage import together

__all__ = ["save_note", "study_note"]

_WRITTEN = "vaeopt:note"
"""system attribute of the study: hash of the note as we wrote it"""
_BETTER = {"minimize": "lower", "maximize": "higher"}


def study_note(file: StudyFile, study: optuna.Study) -> str:
    """The note in Markdown.

    Args:
        file: of the study.
        study: for scores that were computed after the search.
    """
    settings = file.settings
    scores = [*settings.workflow.scores, *_rescored(study)]
    parts = [
        f"# {settings.name}",
        _what(file),
        "## Objectives",
        _values(settings.workflow.rewards),
    ]
    if scores:
        recorded = "Recorded with every trial, but they steer nothing:"
        parts += ["## Scores", recorded, _values(scores)]
    parts += ["## Search space", _space(file), "## How to read the pages", _reading(file)]
    parts += ["## What next", _next(file)]
    return "\n\n".join(parts) + "\n"


def save_note(study: optuna.Study, note: str) -> bool:
    """Write the note into the study, unless somebody has changed or removed it since.

    Returns:
        Whether the study holds this note now.
    """
    from optuna_dashboard import get_note
    from optuna_dashboard import save_note as save

    storage, study_id = study._storage, study._study_id
    there = get_note(study)
    if there == note:
        return True
    written = storage.get_study_system_attrs(study_id).get(_WRITTEN)
    if written != _hash(there) and (there or written is not None):
        return False
    with together(storage):
        save(study, note)
        storage.set_study_system_attr(study_id, _WRITTEN, _hash(note))
    return True


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _what(file: StudyFile) -> str:
    image = file.settings.image
    name = image.dataset or (image.path and str(image.path)) or "image"
    return (
        f"A study of {_code(name)} by vaeopt {__version__}: patches around key points, an "
        "invariant VAE that maps each patch to a few latents, and a mixture whose components are "
        "candidates for the building blocks. Every trial is one choice of the settings below."
    )


def _rescored(study: optuna.Study) -> list[Reward]:
    held = study.user_attrs.get(RESCORED, {}).values()
    return [Reward.from_table(one["reward"]) for one in held]


def _values(rewards: Sequence[Reward]) -> str:
    rows = []
    for reward in rewards:
        meaning = meaning_of(reward)
        rows.append(
            (
                f"**{_cell(reward.label)}**",
                _BETTER[reward.direction],
                _cell(meaning.measures),
                _cell(meaning.values),
                _docs(meaning.page) if meaning.page else "",
            )
        )
    return _table(("name", "better", "what it measures", "values", "more"), rows)


def _space(file: StudyFile) -> str:
    space = file.settings.space
    if not space.entries:
        return "Nothing is searched: all trials have the same settings and other seeds."
    rows = [
        (_code(path), _cell(_range(one)), _cell(_described(file.settings.workflow, path)))
        for path, one in space.distributions.items()
    ]
    count = space.n_points
    of = "infinitely many" if count is None else f"{count:,}"
    return f"{_table(('setting', 'searched', 'what it is'), rows)}\n\n{of} points in all."


def _range(one: BaseDistribution) -> str:
    if isinstance(one, CategoricalDistribution):
        return ", ".join(str(choice) for choice in one.choices)
    assert isinstance(one, IntDistribution | FloatDistribution)
    step = "" if one.step in (None, 1) else f" in steps of {one.step:g}"
    return f"{one.low:g} to {one.high:g}{step}{', even in the logarithm' if one.log else ''}"


def _described(settings: Settings, path: str) -> str:
    """What the settings themselves say of a field."""
    *above, last = path.split(".")
    found: Any = settings
    for part in above:
        found = getattr(found, part, None)
    field = type(found).model_fields.get(last) if isinstance(found, Settings) else None
    return " ".join((field.description or "").split()) if field is not None else ""


def _reading(file: StudyFile) -> str:
    several = len(file.settings.workflow.rewards) > 1
    front = (
        "- **Best trials** are the Pareto front: no other trial is better in every objective. "
        "Which of them is best depends on what you prefer (`vaeopt best --weights`).\n"
        if several
        else "- **Best trial** is the one with the best value. A small lead may be luck: "
        "`vaeopt confirm` trains the leaders again.\n"
    )
    repeats = (
        "- **Repeated parameters** are trained with another seed; the value of the last of them is "
        "the mean of all.\n"
        if file.settings.optuna.duplicates == "replicate"
        else ""
    )
    return (
        "- **Trials marked Infeasible have collapsed**: their latents say nothing, or too little, "
        "of the patches, so their values mean nothing. They are grey, never best, and teach the "
        f"sampler where not to look ({_docs('latent_filter.md')}). Of several objectives the "
        "first healthy trials look grey in the front, too, as colours there go by number.\n"
        f"{front}{repeats}"
        "- **Click a point** to open its trial: parameters, attributes, files and pictures.\n"
        "- **The figures** below the timeline are saved into the study and drawn anew while "
        "`vaeopt dashboard` runs and trials arrive. Collapsed trials are grey there, too.\n"
        f"- **One training is one draw**: small differences are noise "
        f"({_docs('study.md#noise')}). More on this page: {_docs('dashboard.md')}."
    )


def _next(file: StudyFile) -> str:
    where = file.source.parent if file.source is not None else file.folder
    name = where.resolve().name
    return (
        "```sh\n"
        f"vaeopt report {name}                 # one page with all figures, opens offline\n"
        f"vaeopt confirm {name} --top 5        # are the leaders better, or were they lucky?\n"
        f"vaeopt export {name} --trial best --out winner\n"
        "```"
    )


def _docs(page: str) -> str:
    """A link where the package says where its documentation is; else the page's place in it."""
    for entry in metadata.metadata("vaeopt").get_all("Project-URL") or ():
        label, _, url = entry.partition(",")
        if label.strip().lower() == "documentation":
            path, _, anchor = page.partition("#")
            target = f"{url.strip().rstrip('/')}/{path.removesuffix('.md')}.html"
            return f"[{page}]({target}{'#' if anchor else ''}{anchor})"
    return f"`docs/{page}`"


def _code(text: str) -> str:
    return f"`{_cell(text).replace('`', '')}`"


def _cell(text: str) -> str:
    """Safe within a cell of a table."""
    return " ".join(text.replace("|", "\\|").replace("``", "`").split())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
