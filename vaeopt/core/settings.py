"""Settings (pydantic, frozen, nothing unknown accepted) and the plug-ins built on them.

A plug-in is one class: its fields are the settings, their schema is the schema of its TOML table,
and its methods are the code. Declaring it with ``kind=`` registers it in its family::

    class NeighbourAgreement(Reward, kind="neighbour-agreement"):
        k: PositiveInt = 6
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from vaeopt.core.errors import Mistake, SettingsError

__all__ = ["Plugin", "Settings", "Tuple", "nearest"]


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint for a word that is not known: the nearest known one, or all of them.

    >>> nearest("rotaton", ["rotation", "scale"])
    "did you mean 'rotation'? (known: rotation, scale)"
    """
    options = sorted(known)
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.6)
    guess = f"did you mean {close[0]!r}? " if close else ""
    everything = ", ".join(options) if options else "none"
    return f"{guess}(known: {everything})" if guess else f"known: {everything}"


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


# TOML and JSON have lists only; strict pydantic would refuse them where a tuple is meant.
Tuple = BeforeValidator(_as_tuple)


class Settings(BaseModel):
    """Base of all settings: immutable, strict types, and an unknown name is an error."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
    )

    if not TYPE_CHECKING:  # keep pydantic's typed constructor for type checkers

        def __init__(self, /, **data: Any) -> None:
            try:
                super().__init__(**data)
            except ValidationError as error:
                raise SettingsError(_mistakes(type(self), error)) from None

    def to_table(self) -> dict[str, Any]:
        """Plain JSON-ready table from which the same settings can be made again."""
        return self.model_dump(mode="json")


def _mistakes(cls: type[Settings], error: ValidationError) -> list[Mistake]:
    """Every mistake behind a pydantic error, nested ones included, in our words."""
    found: list[Mistake] = []
    for item in error.errors(include_url=False):
        path = tuple(item["loc"])
        inner = item.get("ctx", {}).get("error")
        if isinstance(inner, SettingsError):
            found.extend(inner.below(*path).mistakes)
        elif item["type"] == "extra_forbidden":
            hint = nearest(str(path[-1]), cls.model_fields)
            found.append(Mistake(path, f"unknown setting; {hint}"))
        elif item["type"] == "missing":
            found.append(Mistake(path, "is required and missing"))
        else:
            text = str(inner) if inner is not None else item["msg"]
            got = item["input"]
            shown = f", got {got!r}" if isinstance(got, str | int | float | bool | list) else ""
            found.append(Mistake(path, f"{text[:1].lower()}{text[1:]}{shown}"))
    return found


def _source(cls: type) -> tuple[str, str]:
    """Where a class was written."""
    return cls.__module__, cls.__qualname__


class Plugin(Settings):
    """A member of a family, chosen by ``kind`` in a study file.

    A family is a direct subclass declared with ``family=``; its members are declared with
    ``kind=`` (and, where a second name is in use in the field, ``aliases=``).
    """

    family: ClassVar[str] = ""
    kind: ClassVar[str] = ""
    registry: ClassVar[dict[str, type["Plugin"]]] = {}
    families: ClassVar[dict[str, type["Plugin"]]] = {}

    def __init_subclass__(
        cls,
        *,
        family: str | None = None,
        kind: str | None = None,
        aliases: tuple[str, ...] = (),
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        if family is not None:
            cls.family = family
            cls.registry = {}
            Plugin.families[family] = cls
        if kind is not None:
            cls.kind = kind
            for name in (kind, *aliases):
                other = cls.registry.get(name)
                # The same class seen again (a plug-in file loaded twice) replaces itself.
                if other is not None and _source(other) != _source(cls):
                    raise SettingsError(
                        [Mistake((cls.family,), f"kind {name!r} is declared twice")]
                    )
                cls.registry[name] = cls

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler, /
    ) -> CoreSchema:
        # A field annotated with the family takes any member, also one declared later.
        if cls.__dict__.get("family"):  # the base of a family
            return core_schema.no_info_plain_validator_function(
                cls.from_table,
                serialization=core_schema.plain_serializer_function_ser_schema(
                    lambda member: member.to_table(), return_schema=core_schema.dict_schema()
                ),
            )
        return handler(source)

    @classmethod
    def kinds(cls) -> list[str]:
        """Names of the members of this family, aliases left out."""
        return sorted({member.kind for member in cls.registry.values()})

    @classmethod
    def of_kind(cls, kind: str) -> type[Self]:
        """The member of this family called ``kind``; ``elbo_H`` means ``elbo-h``.

        Raises:
            SettingsError: no such member; lists the known ones and the nearest.
        """
        kind = kind if kind in cls.registry else kind.replace("_", "-").lower()
        if kind not in cls.registry:
            raise SettingsError(
                [Mistake(("kind",), f"unknown kind {kind!r}; {nearest(kind, cls.registry)}")]
            )
        member = cls.registry[kind]
        assert issubclass(member, cls)  # a registry holds members of its family only
        return member

    @classmethod
    def from_table(cls, table: object) -> Self:
        """Make the member that a table (or just the name of a kind) asks for."""
        if isinstance(table, cls):
            return table
        if isinstance(table, str):
            table = {"kind": table}
        if not isinstance(table, Mapping):
            message = (
                f"expected a table with a kind, got {table!r}; known: {', '.join(cls.kinds())}"
            )
            raise SettingsError([Mistake((), message)])
        rest = dict(table)
        kind = rest.pop("kind", None)
        if not isinstance(kind, str):
            message = f"is required and missing; known: {', '.join(cls.kinds())}"
            raise SettingsError([Mistake(("kind",), message)])
        member = cls.of_kind(kind)
        lacking = member.lacking()
        if lacking:
            message = f"kind {kind!r} is not whole: class {member.__name__} lacks "
            raise SettingsError([Mistake(("kind",), message + ", ".join(lacking))])
        return member(**rest)

    @classmethod
    def lacking(cls) -> list[str]:
        """What the family declares and this class does not give: methods and class variables."""
        variables = {name for name in cls.__class_vars__ if not hasattr(cls, name)}
        return sorted(variables | cls.__abstractmethods__)

    def to_table(self) -> dict[str, Any]:
        """Plain table, ``kind`` first."""
        return {"kind": self.kind, **super().to_table()}
