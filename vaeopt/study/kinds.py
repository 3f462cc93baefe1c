"""What there is to choose from: every plug-in with its settings, defaults and units."""

import inspect
import re

import vaeopt.study.file  # noqa: F401  # importing it declares all families
from vaeopt.core.errors import StudyError
from vaeopt.core.settings import Plugin, Settings, nearest
from vaeopt.stages.patches import PatchSettings
from vaeopt.stages.vae import VaeSettings

__all__ = ["describe"]


def describe(family: str | None = None) -> list[str]:
    """Lines for the terminal: family, kind, what it does, each setting with default and unit.

    Raises:
        StudyError: no such family.
    """
    plain: dict[str, type[Settings]] = {"patches": PatchSettings, "vae": VaeSettings}
    known = [*Plugin.families, *plain]
    if family is not None and family not in known:
        raise StudyError(f"no family {family!r}; {nearest(family, known)}")
    lines: list[str] = []
    for name, base in Plugin.families.items():
        if family in (None, name):
            lines.append(f"{name}")
            for kind in base.kinds():
                member = base.of_kind(kind)
                lines.append(f"  {kind:<18} {_first_line(member)}")
                lines += _settings(member)
    for name, settings in plain.items():
        if family in (None, name):
            lines += [name, f"  {'':<18} {_first_line(settings)}", *_settings(settings)]
    return lines


def _first_line(cls: type) -> str:
    return (inspect.getdoc(cls) or "").split("\n")[0]


def _settings(cls: type[Settings]) -> list[str]:
    lines = []
    for name, field in cls.model_fields.items():
        default = "required" if field.is_required() else _shown(field.default)
        text = re.sub(r"\s+", " ", field.description or "")
        lines.append(f"    {name} = {default}".ljust(34) + f"  {text}".rstrip())
    return lines


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return "[" + ", ".join(_shown(v) for v in value) + "]"
    if isinstance(value, str):
        return f'"{value}"'
    if hasattr(value, "model_dump"):
        inner = ", ".join(f"{k} = {_shown(v)}" for k, v in value.model_dump().items())
        return "{ " + inner + " }"
    return str(value)
