"""What there is to choose from: every plug-in with its settings, defaults and units."""

import inspect
import re
from typing import Any

import vaeopt.study.file  # noqa: F401  # importing it declares all families
from vaeopt.core.errors import StudyError
from vaeopt.core.settings import Plugin, Settings, nearest
from vaeopt.stages.patches import PatchSettings
from vaeopt.stages.vae import VaeSettings
from vaeopt.workflow import STAGES

__all__ = ["describe", "table_of"]

# Stages whose settings are not a choice of kinds.
_PLAIN: dict[str, type[Settings]] = {"patches": PatchSettings, "vae": VaeSettings}


def describe(family: str | None = None) -> list[str]:
    """Lines for the terminal: family, kind, what it does, each setting with default and unit.

    Raises:
        StudyError: no such family.
    """
    lines: list[str] = []
    for name in _families(family):
        lines.append(name)
        if name in _PLAIN:
            lines += [f"    {_first_line(_PLAIN[name])}", *_settings(_PLAIN[name])]
            continue
        base = Plugin.families[name]
        for kind in base.kinds():
            member = base.of_kind(kind)
            lines.append(f"  {kind:<18} {_first_line(member)}")
            lines += _settings(member)
    return lines


def _families(family: str | None) -> list[str]:
    known = sorted({*Plugin.families, *_PLAIN}, key=_place)
    if family is None:
        return known
    if family not in known:
        raise StudyError(f"no family {family!r}; {nearest(family, known)}")
    return [family]


def table_of(family: str | None = None) -> dict[str, Any]:
    """The same for machines: family -> kind -> what it does, and its settings.

    A stage without kinds has the one kind ``""``. A setting has ``required``, ``default`` (null
    where it is required) and ``text``, which says its unit.

    Raises:
        StudyError: no such family.
    """
    found: dict[str, Any] = {}
    for name in _families(family):
        base = Plugin.families.get(name)
        members = {k: base.of_kind(k) for k in base.kinds()} if base else {"": _PLAIN[name]}
        found[name] = {
            kind: {"text": _first_line(member), "settings": _settings_table(member)}
            for kind, member in members.items()
        }
    return found


def _settings_table(cls: type[Settings]) -> dict[str, Any]:
    found = {}
    for name, field in cls.model_fields.items():
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        found[name] = {
            "required": field.is_required(),
            "default": _plain(default),
            "text": " ".join((field.description or "").split()),
        }
    return found


def _plain(default: Any) -> Any:
    if isinstance(default, Settings):
        return default.to_table()
    return [_plain(one) for one in default] if isinstance(default, tuple) else default


def _place(family: str) -> int:
    """Families stand in the order of the data; invariances follow the VAE, the sampler is last."""
    order = [stage.removesuffix("s") if stage == "rewards" else stage for stage in STAGES]
    order.insert(order.index("vae") + 1, "invariance")
    return order.index(family) if family in order else len(order)


def _first_line(cls: type) -> str:
    return (inspect.getdoc(cls) or "").split("\n")[0].replace("``", "")


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
