"""The truth file: scenes, grid and trainings of a benchmark, checked to its last line."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    Field,
    PositiveInt,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from vaeopt.core.errors import Mistake, SettingsError, StudyError
from vaeopt.core.settings import Settings, Tuple, nearest
from vaeopt.datasets import RENDERED
from vaeopt.stages.keypoints import KeypointDetector
from vaeopt.stages.micrograph import ImageSettings
from vaeopt.stages.rewards.reconstruction import Reconstruction
from vaeopt.study.file import (
    OptunaSettings,
    StudyFile,
    StudySettings,
    load_plugins,
    read_table,
)
from vaeopt.study.space import SearchEntry, SearchSpace, flatten
from vaeopt.truth.columns import ScoreSettings, check_columns, columns_of
from vaeopt.workflow import Workflow

__all__ = [
    "WINDOW",
    "Family",
    "Scene",
    "Scenes",
    "Trainings",
    "TruthFile",
    "TruthSettings",
    "open_truth",
]

TRUTH_TOML = "truth.toml"
WINDOW = "patches.size_px"
Seed = Annotated[int, Field(ge=0)]


class Family(Settings):
    """A family of rendered scans, at some difficulties, with the windows that are tried on it."""

    dataset: str
    """name of a rendered data set"""
    difficulty: Annotated[tuple[str, ...], Tuple, Field(min_length=1)] = ("medium",)
    """its presets; each is a scene"""
    window_px: Annotated[tuple[PositiveInt, ...], Tuple, Field(min_length=1)]
    """windows of the grid [px]"""
    keypoints: KeypointDetector | None = None
    """other key points than those of the workflow"""
    clip_percentiles: Annotated[tuple[float, float], Tuple] | None = None
    """other percentiles than those of the scenes [%]"""


class Scenes(Settings):
    """Every family at every difficulty with every seed."""

    seeds: Annotated[tuple[Seed, ...], Tuple, Field(min_length=1)]
    """of the images; what is tuned on one set of them is judged on another"""
    families: Annotated[tuple[Family, ...], Tuple, Field(min_length=1)]
    """one table each"""
    clip_percentiles: Annotated[tuple[float, float], Tuple] = (1.0, 99.0)
    """grey values below and above these percentiles are cut [%]"""


class Trainings(Settings):
    """How often every configuration is trained."""

    seeds: Annotated[int, Field(ge=1, le=1000)] = 2
    """trainings of every configuration on every scene, each with its own seed"""
    seed: Seed = 0
    """all randomness of training n of a configuration on a scene derives from it"""
    at_once: PositiveInt = 1
    """trainings that are begun together; more than 1 pays on a GPU"""


class TruthSettings(Settings):
    """A whole benchmark."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    """of the benchmark in its table and figure"""
    plugins: Annotated[tuple[str, ...], Tuple] = ()
    """Python files beside the truth file that declare kinds of your own; they are executed"""
    scenes: Scenes
    workflow: Workflow = Workflow()
    search: dict[str, SearchEntry] = Field(default_factory=dict)
    """dotted path of a workflow setting: what it may be; windows stand with the families"""
    trainings: Trainings = Trainings()
    scores: ScoreSettings = ScoreSettings()
    views: dict[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,39}$")], Workflow] = Field(
        default_factory=dict
    )
    """by name: other filters, mixtures and rewards behind the same trainings, as the paper's"""

    @field_validator("search", mode="wrap")
    @classmethod
    def _search_is_finite(
        cls, value: object, handler: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        if not isinstance(value, Mapping):
            return handler(value)
        workflow = info.data.get("workflow")
        entries: dict[str, SearchEntry] = {}
        mistakes: list[Mistake] = []
        for path, entry in flatten(value).items():
            if path == WINDOW:
                text = "windows differ between families; give window_px to each of them"
                mistakes.append(Mistake((path,), text))
                continue
            try:
                made = entry if isinstance(entry, SearchEntry) else _entry(entry)
                entries[path] = made
                if workflow is not None:
                    _expect_finite(workflow, path, made)
            except SettingsError as error:
                mistakes += error.below(path).mistakes
        if mistakes:
            raise SettingsError(mistakes)
        return handler(entries)

    @model_validator(mode="after")
    def _scenes_hold(self) -> Self:
        mistakes = [Mistake(("scenes", *m.path), m.message) for m in self._scene_mistakes()]
        mistakes += check_columns(self.workflow, self.views, self.scores)
        if mistakes:
            raise SettingsError(mistakes)
        return self

    def _scene_mistakes(self) -> Iterator[Mistake]:
        if len(set(self.scenes.seeds)) < len(self.scenes.seeds):
            yield Mistake(("seeds",), "holds the same seed twice")
        seen: set[tuple[str, str]] = set()
        for i, family in enumerate(self.scenes.families):
            place = ("families", i)
            if family.dataset not in RENDERED:
                hint = nearest(family.dataset, RENDERED)
                yield Mistake((*place, "dataset"), f"no rendered data set; {hint}")
                continue
            for difficulty in family.difficulty:
                if (family.dataset, difficulty) in seen:
                    yield Mistake((*place, "difficulty"), f"{difficulty!r} is asked for twice")
                seen.add((family.dataset, difficulty))
                try:
                    self._image(family, difficulty, self.scenes.seeds[0])
                except SettingsError as error:
                    yield from error.below(*place).mistakes
            try:
                SearchSpace.build(self.workflow, {WINDOW: _choices(family.window_px)})
            except SettingsError as error:
                for mistake in error.mistakes:
                    yield Mistake((*place, "window_px"), mistake.message)

    def _image(self, family: Family, difficulty: str, seed: int) -> ImageSettings:
        clip = family.clip_percentiles or self.scenes.clip_percentiles
        return ImageSettings(
            dataset=family.dataset, difficulty=difficulty, seed=seed, clip_percentiles=clip
        )

    def scenes_of(self) -> list["Scene"]:
        """All scenes, seeds of one family and difficulty side by side."""
        return [
            Scene(family=family.dataset, difficulty=difficulty, seed=seed)
            for family in self.scenes.families
            for difficulty in family.difficulty
            for seed in self.scenes.seeds
        ]

    def study_of(self, scene: "Scene") -> StudySettings:
        """The study whose search space is the grid on this scene, and all that its trials share."""
        family = next(
            one
            for one in self.scenes.families
            if one.dataset == scene.family and scene.difficulty in one.difficulty
        )
        columns = columns_of(self.workflow, self.scores)
        table = self.workflow.to_table()
        # One that can be computed on every scene; all others may stay empty.
        first = Reconstruction()
        scores = [column for column in columns if column.label != first.label]
        table |= {"rewards": [first.to_table()], "scores": [each.to_table() for each in scores]}
        table["patches"] |= {"size_px": family.window_px[0]}
        if family.keypoints is not None:
            table["keypoints"] = family.keypoints.to_table()
        return StudySettings(
            name=scene.name,
            image=self._image(family, scene.difficulty, scene.seed),
            plugins=self.plugins,
            workflow=Workflow(**table),
            search={WINDOW: _choices(family.window_px), **self.search},
            optuna=OptunaSettings(seed=self.trainings.seed),
        )


@dataclass(frozen=True)
class Scene:
    """One rendered scan."""

    family: str
    difficulty: str
    seed: int

    @property
    def name(self) -> str:
        """``cards-medium-101``: of its file of rows, too."""
        return f"{self.family}-{self.difficulty}-{self.seed}"


@dataclass(frozen=True)
class TruthFile:
    """Settings of a benchmark and the folder that its rows belong to."""

    settings: TruthSettings
    folder: Path
    source: Path | None = None
    """the file, where the settings are what stands in it"""

    @property
    def rows(self) -> Path:
        """Folder of the finished trainings, one file per scene."""
        return self.folder / "rows"

    @property
    def latents(self) -> Path:
        """Folder of latents that are kept."""
        return self.folder / "latents"

    def study(self, scene: Scene) -> StudyFile:
        """The grid on one scene as a study; it has no database."""
        return StudyFile(self.settings.study_of(scene), self.folder)

    def scenes(self, only: str | None = None) -> list[Scene]:
        """All scenes, or those of one family.

        Raises:
            StudyError: no such family in the file.
        """
        scenes = self.settings.scenes_of()
        if only is None:
            return scenes
        found = [scene for scene in scenes if scene.family == only]
        if not found:
            known = {scene.family for scene in scenes}
            raise StudyError(
                f"no family {only!r} in {TRUTH_TOML}; {nearest(only, known)}", setting="--only"
            )
        return found


def open_truth(path: str | Path) -> TruthFile:
    """Read and check a truth file.

    Args:
        path: a folder with ``truth.toml``, or a ``.toml`` file.

    Raises:
        StudyError: no such file, or not TOML.
        SettingsError: every mistake in it.
    """
    file = Path(path)
    if file.is_dir():
        file = file / TRUTH_TOML
    if not file.is_file():
        raise StudyError(
            f"truth file {str(file)!r} does not exist",
            remedy="give a folder with a truth.toml (docs/truth.md shows one)",
        )
    table = read_table(file)
    load_plugins(table.get("plugins", ()), file.parent)
    return TruthFile(TruthSettings(**table), file.parent, file)


def _choices(values: tuple[int, ...]) -> SearchEntry:
    return SearchEntry(choices=list(values))


def _entry(entry: object) -> SearchEntry:
    if isinstance(entry, Mapping):
        return SearchEntry(**entry)
    text = f"expected a table such as {{ choices = [1, 2] }}, got {entry!r}"
    raise SettingsError([Mistake((), text)])


def _expect_finite(workflow: Workflow, path: str, entry: SearchEntry) -> None:
    """One path of the grid: it must exist and have few values.

    Raises:
        SettingsError: without the path.
    """
    try:
        space = SearchSpace.build(workflow, {path: entry})
    except SettingsError as error:
        raise SettingsError(Mistake(m.path[1:], m.message) for m in error.mistakes) from None
    if space.values_of(path) is None:
        text = "a grid needs finitely many values: give choices, or a step"
        raise SettingsError([Mistake((), text)])
