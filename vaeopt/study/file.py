"""The study file: one TOML table that holds a whole study, checked to its last line."""

import importlib.util
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from vaeopt.core.errors import Mistake, SettingsError, StudyError
from vaeopt.core.settings import Settings, Tuple
from vaeopt.stages.micrograph import ImageSettings
from vaeopt.study.asking.samplers import Sampler, Tpe
from vaeopt.study.space import SearchEntry, SearchSpace, flatten
from vaeopt.workflow import Workflow

__all__ = [
    "OptunaSettings",
    "StudyFile",
    "StudySettings",
    "load_plugins",
    "open_study",
    "parse_assignment",
    "read_table",
]

STUDY_TOML = "study.toml"
_SOURCE = "__vaeopt_source__"
# Stages whose settings depend on a kind: nothing can be said of them while that is wrong.
_OF_A_KIND = ("keypoints.", "latent_filter.", "density_filter.", "mixture.")


class OptunaSettings(Settings):
    """How the search is run."""

    sampler: Sampler = Tpe()
    n_trials: PositiveInt = 50
    """finished trials at which the study ends, counted over all sessions"""
    trials_at_once: PositiveInt = 1
    """trials that are asked for together and trained together; more than 1 pays on a GPU"""
    duplicates: Literal["replicate", "skip", "allow"] = "replicate"
    """what becomes of parameters that were tried before: trained again with another seed and
    averaged, drawn anew, or taken as they come"""
    max_replicates: PositiveInt = 3
    """under ``replicate``: trials with the same parameters at the most"""
    timeout_s: PositiveFloat | None = None
    """longest time of one session [s]; trials that are running are finished"""
    seed: Annotated[int, Field(ge=0)] = 0
    """all randomness of trial n derives from (seed, n)"""
    storage: str | None = None
    """Optuna storage URL; a SQLite file beside the study file if left out"""
    artefacts: str | None = None
    """URL of the place for the files of trials; a folder beside the study file if left out"""
    figures: Literal["none", "best", "all"] = "all"
    """which trials get pictures: none, those that no finished one dominates, or all"""


class StudySettings(Settings):
    """A whole study."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    """of the study in the storage and of its database file"""
    image: ImageSettings
    plugins: Annotated[tuple[str, ...], Tuple] = ()
    """Python files beside the study file that declare kinds of your own; they are executed"""
    workflow: Workflow = Workflow()
    search: dict[str, SearchEntry] = Field(default_factory=dict)
    """dotted path of a workflow setting: what it may be"""
    optuna: OptunaSettings = OptunaSettings()

    @field_validator("search", mode="wrap")
    @classmethod
    def _search_holds(
        cls, value: object, handler: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        """Every mistake of every entry, also where other parts of the file are wrong."""
        if not isinstance(value, Mapping):
            return handler(value)
        entries: dict[str, SearchEntry] = {}
        mistakes: list[Mistake] = []
        for path, entry in flatten(value).items():
            if not isinstance(entry, Mapping | SearchEntry):
                text = f"expected a table such as {{ low = 1, high = 4 }}, got {entry!r}"
                mistakes.append(Mistake((path,), text))
                continue
            try:
                entries[path] = entry if isinstance(entry, SearchEntry) else SearchEntry(**entry)
            except SettingsError as error:
                mistakes += error.below(path).mistakes
        workflow = info.data.get("workflow")
        sure = entries
        if workflow is None:
            workflow = Workflow()
            sure = {p: e for p, e in entries.items() if not p.startswith(_OF_A_KIND)}
        try:
            SearchSpace.build(workflow, sure)
        except SettingsError as error:
            mistakes += error.mistakes
        if mistakes:
            raise SettingsError(mistakes)
        return handler(entries)

    @model_validator(mode="after")
    def _sampler_can_walk(self) -> Self:
        space, sampler = self.space, self.optuna.sampler
        if sampler.finite_space and not self.search:
            text = f"sampler {sampler.kind!r} has nothing to search"
            raise SettingsError([Mistake(("search",), text)])
        if sampler.finite_space and space.grid() is None:
            open_ended = [p for p in space.distributions if space.values_of(p) is None]
            text = f"sampler {sampler.kind!r} needs finitely many values: give a step"
            raise SettingsError([Mistake(("search", path), text) for path in open_ended])
        return self

    @property
    def space(self) -> SearchSpace:
        """The checked search space."""
        return SearchSpace.build(self.workflow, self.search)

    @property
    def directions(self) -> list[Literal["minimize", "maximize"]]:
        """Direction of every reward, in order."""
        return [reward.direction for reward in self.workflow.rewards]


@dataclass(frozen=True)
class StudyFile:
    """Study settings and the folder that relative paths and outputs belong to."""

    settings: StudySettings
    folder: Path
    source: Path | None = None
    """the file, where the settings are what stands in it"""

    @property
    def database(self) -> Path:
        """The default SQLite file."""
        return self.folder / f"{self.settings.name}.db"

    @property
    def artefacts(self) -> Path:
        """Where the files of trials are kept, or wait until they are sent."""
        return self.folder / "artefacts"


def open_study(
    study: str | Path | StudySettings | StudyFile,
    *,
    overrides: Sequence[str] = (),
    folder: str | Path | None = None,
) -> StudyFile:
    """Read and check a study.

    Args:
        study: a folder with ``study.toml``, a ``.toml`` file, or settings made in Python.
        overrides: ``path=value`` assignments below ``[workflow]`` (or with a full path), values
            in TOML.
        folder: where relative paths and outputs of settings made in Python belong; the current
            folder if left out.

    Raises:
        StudyError: no such file, or not TOML.
        SettingsError: every mistake in it.
    """
    if isinstance(study, StudyFile):
        return study
    if isinstance(study, StudySettings):
        if overrides:
            raise StudyError("overrides need a study file", remedy="change the settings themselves")
        return StudyFile(study, Path(folder or "."))
    path = _find(Path(study))
    table = read_table(path)
    for assignment in overrides:
        _assign(table, assignment)
    load_plugins(table.get("plugins", ()), path.parent)
    return StudyFile(StudySettings(**table), path.parent, None if overrides else path)


def _find(path: Path) -> Path:
    if path.is_dir():
        if (path / STUDY_TOML).is_file():
            return path / STUDY_TOML
        raise StudyError(
            f"folder {str(path)!r} holds no {STUDY_TOML}",
            remedy="give a study folder or a .toml file, or make one with 'vaeopt new'",
        )
    if not path.is_file():
        raise StudyError(
            f"study {str(path)!r} does not exist", remedy="make one with 'vaeopt new NAME'"
        )
    if path.suffix != ".toml":
        raise StudyError(f"{str(path)!r} is neither a folder nor a .toml file")
    return path


def read_table(path: Path) -> dict[str, Any]:
    """The table in a TOML file.

    Raises:
        StudyError: not TOML, or not to be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{path.name} is not valid TOML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path.name} cannot be read: {error}") from error


def parse_assignment(text: str) -> tuple[str, Any]:
    """Dotted path and value of one ``path=value``; the value is TOML, or else a word.

    Raises:
        StudyError: not of this form.

    >>> parse_assignment("mixture.components = [1, 6]"), parse_assignment("latents=sample")
    (('mixture.components', [1, 6]), ('latents', 'sample'))
    """
    path, sign, value = text.partition("=")
    if not sign or not path.strip():
        raise StudyError(
            f"cannot understand --set {text!r}", remedy="write --set patches.size_px=13"
        )
    try:
        return path.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return path.strip(), value.strip()  # a bare word: --set vae.invariances=rotation


def _assign(table: dict[str, Any], assignment: str) -> None:
    """Apply one ``path=value``; paths that do not start at a top-level name start at workflow."""
    path, value = parse_assignment(assignment)
    parts = path.split(".")
    if parts[0] not in StudySettings.model_fields:
        parts = ["workflow", *parts]
    for part in parts[:-1]:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            raise StudyError(f"--set {path}: {part!r} is not a table")
        table = inner
    table[parts[-1]] = value


def load_plugins(names: object, folder: Path) -> None:
    """Execute the user's plug-in files; declaring a class registers its kind.

    Args:
        names: as the file has them; something else than file names is left to the settings.
        folder: where they stand.

    Raises:
        StudyError: a file that does not exist or fails.
        SettingsError: a kind that is declared twice.
    """
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return  # the settings will say what is wrong with it
    for name in names:
        path = folder / name
        if not path.is_file():
            raise StudyError(
                f"plug-in file {name!r} does not exist beside the study file", setting="plugins"
            )
        module_name = f"vaeopt_plugin_{path.stem}"
        source = f"{path.resolve()}\n{path.read_bytes()!r}"
        if getattr(sys.modules.get(module_name), _SOURCE, None) == source:
            continue  # run once: classes made anew would not be those of settings made before
        spec = importlib.util.spec_from_file_location(module_name, path)
        if spec is None or spec.loader is None:
            raise StudyError(f"plug-in file {name!r} is not a Python file", setting="plugins")
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except SettingsError:
            raise
        except Exception as error:
            raise StudyError(
                f"plug-in file {name!r} failed: {type(error).__name__}: {error}", setting="plugins"
            ) from error
        setattr(module, _SOURCE, source)
