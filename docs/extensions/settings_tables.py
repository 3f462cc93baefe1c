"""Settings in the reference: a table of the fields under the docstring of the class.

Also the directive ``kinds``, which documents all built-in members of a family.
"""

import inspect
import re
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.parsing import nested_parse_to_nodes

import vaeopt.study.file  # noqa: F401  # importing it declares all families
from vaeopt.core.settings import Plugin, Settings


def _one_line(text: object) -> str:
    return re.sub(r"\s+", " ", str(text)).strip()


def _type(annotation: Any, metadata: list[Any]) -> str:
    """A type and its limits, as one says them: ``int, 3 or more, at most 512``."""
    inner: list[Any] = []
    if get_origin(annotation) is Annotated:
        annotation, *inner = get_args(annotation)
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    if choices:
        shown = ", ".join(f"``{_toml(choice)}``" for choice in choices)
    elif inspect.isclass(annotation) and not get_args(annotation):
        shown = annotation.__name__
    elif get_origin(annotation) in (Union, UnionType):
        shown = " or ".join(_type(one, []) for one in get_args(annotation) if one is not NoneType)
    elif get_origin(annotation) is tuple:
        parts = [one for one in get_args(annotation) if one is not ...]
        many = "list of " if ... in get_args(annotation) else f"list of {len(parts)}: "
        shown = many + ", ".join(dict.fromkeys(_type(one, []) for one in parts))
    else:
        shown = str(annotation).rpartition(".")[2]
    words = {"ge": "{:g} or more", "gt": "above {:g}", "le": "at most {:g}", "lt": "below {:g}"}
    limits = [
        said.format(getattr(one, name))
        for one in [*inner, *metadata]
        for name, said in words.items()
        if getattr(one, name, None) is not None
    ]
    return ", ".join([shown, *limits])


def _toml(value: object) -> str:
    """A value as a study file has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    return str(value)


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "none"
    if isinstance(value, Plugin):
        return f"``{_toml(value.kind)}``"
    if isinstance(value, Settings):
        short = _toml(value.to_table())
        return f"``{short}``" if len(short) < 60 else "its defaults"
    if isinstance(value, tuple):
        value = [one.kind if isinstance(one, Plugin) else one for one in value]
    return f"``{_toml(value)}``"


def table(cls: type[Settings]) -> list[str]:
    """Lines of reStructuredText."""
    if not cls.model_fields:
        return []
    rows = [".. list-table::", "   :header-rows: 1", "   :class: settings", "   :widths: auto", ""]
    rows += ["   * - setting", "     - type", "     - default", "     - meaning"]
    for name, field in cls.model_fields.items():
        rows += [
            f"   * - ``{name}``",
            f"     - {_type(field.annotation, field.metadata)}",
            f"     - {_default(field)}",
            f"     - {_one_line(field.description or '')}",
        ]
    return ["", *rows, ""]


def _is_settings(obj: object) -> bool:
    return inspect.isclass(obj) and issubclass(obj, Settings)


def _describe(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    if _is_settings(obj):
        lines += table(obj)


def _signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, args: str | None, returns: str | None
) -> tuple[str, None] | None:
    """Settings are made from their fields, by keyword: the table says which."""
    return ("", None) if _is_settings(obj) else None


def _skip(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Members that pydantic has put there, and fields, which stand in the table."""
    return True if name.startswith("model_") or name == "_abc_impl" else None


_attributes: dict[str, list[str]] = {}


def _keep(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    if what in ("attribute", "property"):
        _attributes[name] = list(lines)


def _give_back(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Napoleon takes what stands before a colon for a type; attributes here have theirs."""
    lines[:] = _attributes.pop(name, lines)


class Kinds(SphinxDirective):
    """All built-in members of a family, each under its kind."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """One section per kind."""
        family = Plugin.families[self.arguments[0]]
        found: list[nodes.Node] = []
        for kind in family.kinds():
            cls = family.of_kind(kind)
            section = nodes.section(ids=[nodes.make_id(f"{family.family}-{kind}")], names=[])
            section += nodes.title("", "", nodes.literal("", kind))
            lines = [f".. autoclass:: {cls.__module__}.{cls.__qualname__}", ""]
            section += nested_parse_to_nodes(self.state, "\n".join(lines))
            found.append(section)
        return found


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to autodoc."""
    app.connect("autodoc-process-docstring", _keep, priority=100)
    app.connect("autodoc-process-docstring", _give_back, priority=900)
    app.connect("autodoc-process-docstring", _describe, priority=950)
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-skip-member", _skip)
    app.add_directive("kinds", Kinds)
    return {"parallel_read_safe": True}
