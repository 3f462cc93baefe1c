"""What a user can fix: one line that names the setting and the remedy, exit status 2."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vaeopt.core.secrets import masked

__all__ = [
    "ChangedError",
    "DataError",
    "Mistake",
    "SettingsError",
    "StudyError",
    "VaeoptError",
]


class VaeoptError(Exception):
    """Something that the user can put right.

    Args:
        message: what was expected and what came, without a final full stop.
        setting: dotted path of the setting to change, where there is one.
        remedy: what to do about it, without a final full stop.
    """

    def __init__(
        self, message: str, *, setting: str | None = None, remedy: str | None = None
    ) -> None:
        self.message = message
        self.setting = setting
        self.remedy = remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        """One line: ``setting: message; remedy``."""
        head = f"{self.setting}: " if self.setting else ""
        tail = f"; {self.remedy}" if self.remedy else ""
        return masked(" ".join(f"{head}{self.message}{tail}".split()))

    @property
    def lines(self) -> list[str]:
        """What the command line says: one line per thing that is wrong."""
        return [str(self)]


class DataError(VaeoptError):
    """An image, a table or a data set that cannot be used as asked."""


class StudyError(VaeoptError):
    """A study, a trial or a storage that cannot be used as asked."""


@dataclass(frozen=True)
class Mistake:
    """One wrong setting: where it stands and what is wrong with it."""

    path: tuple[str | int, ...]
    message: str

    def __str__(self) -> str:
        """``dotted.path: message``."""
        where = ".".join(str(part) for part in self.path)
        return f"{where}: {self.message}" if where else self.message

    def below(self, *prefix: str | int) -> "Mistake":
        """The same mistake seen from ``prefix`` further up."""
        return Mistake((*prefix, *self.path), self.message)


class ChangedError(StudyError):
    """A study whose settings are no longer those that it was started with; carries them all."""

    def __init__(
        self,
        message: str,
        differences: Iterable[Mistake],
        *,
        setting: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.differences: Sequence[Mistake] = tuple(differences)
        self._head = str(VaeoptError(message, setting=setting, remedy=remedy))
        named = "; ".join(str(difference) for difference in self.differences)
        super().__init__(f"{message}: {named}", setting=setting, remedy=remedy)

    @property
    def lines(self) -> list[str]:
        """What is wrong and what to do, then every difference."""
        return [self._head, *(str(difference) for difference in self.differences)]


# A ValueError too, so that pydantic collects it beside the mistakes of sibling fields.
class SettingsError(VaeoptError, ValueError):
    """Settings that do not hold; carries every mistake that was found, not only the first."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes: Sequence[Mistake] = tuple(mistakes)
        super().__init__("; ".join(str(mistake) for mistake in self.mistakes))

    @property
    def lines(self) -> list[str]:
        """Every mistake."""
        return [str(mistake) for mistake in self.mistakes]

    def below(self, *prefix: str | int) -> "SettingsError":
        """The same mistakes seen from ``prefix`` further up."""
        return SettingsError(mistake.below(*prefix) for mistake in self.mistakes)
