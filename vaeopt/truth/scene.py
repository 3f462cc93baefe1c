"""One scene made ready: its truth, what all its trainings share, and its grid."""

import itertools
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from vaeopt.core.errors import DataError, VaeoptError
from vaeopt.core.seeds import Seeds
from vaeopt.datasets import RenderedScan, render
from vaeopt.stages.rewards.base import SEMANTICS
from vaeopt.study.session import Session, prepare, what_counts
from vaeopt.truth.file import Scene, TruthFile
from vaeopt.truth.rows import Header, configuration
from vaeopt.workflow import Workflow

__all__ = ["ReadyScene", "Task", "identity_of", "image_of", "ready"]

VERSION = 2
"""of the metrics of the truth: rows of different versions never mix"""
_SCORING = ("latents", "latent_filter", "density_filter", "mixture", "bayesian")


@dataclass(frozen=True)
class Task:
    """One training of one configuration."""

    params: tuple[tuple[str, Any], ...]
    seed: int

    @property
    def key(self) -> str:
        """That of its row."""
        return f"{configuration(dict(self.params))}#{self.seed}"


@dataclass(frozen=True)
class ReadyScene:
    """A scene and everything that its trainings share."""

    file: TruthFile
    scene: Scene
    scan: RenderedScan
    session: Session

    @property
    def tasks(self) -> Iterator[Task]:
        """All trainings, every configuration once before any is trained again."""
        return tasks_of(self.session, self.file.settings.trainings.seeds)

    def workflow(self, task: Task) -> Workflow:
        """The settings of a training."""
        return self.session.space.settings_for(dict(task.params))

    def seeds(self, task: Task) -> Seeds:
        """The randomness of a training: it depends on nothing but scene, settings and number."""
        number = zlib.crc32(f"{self.scene.name} {task.key}".encode())
        return Seeds(self.file.settings.trainings.seed, number)

    @property
    def header(self) -> Header:
        """First line of the file of this scene."""
        points, scan = self.session.keypoints.yx_px, self.scan
        classes = scan.classes_at(points)
        facts = {
            "classes": list(scan.class_names),
            "counts": [int((classes == label).sum()) for label in range(scan.n_classes)],
            "keypoints": len(points),
            "length_px": scan.length_px,
            "windows_px": list(self.session.space.windows_px()),
            "image": image_of(self.file, self.scene),
        }
        return Header(scene=self.scene, identity=self.identity(), facts=facts)

    def identity(self) -> dict[str, Any]:
        """What must not change: ``training`` ever, ``scoring`` unless all is scored again."""
        whole = self.session.identity()
        rendered = {name: whole[name] for name in ("image_sha256", "keypoints_sha256")}
        rendered["comparison"] = asdict(self.session.comparison)
        return identity_of(self.file, self.scene, rendered)


def identity_of(file: TruthFile, scene: Scene, rendered: Mapping[str, Any]) -> dict[str, Any]:
    """What must not change, as the file has it now; nothing is rendered.

    Args:
        file: of the benchmark.
        scene: one of its scenes.
        rendered: what only the image knows: ``image_sha256``, ``keypoints_sha256`` and, of the
            ``comparison``, the number of points that are fitted.
    """
    settings, study = file.settings, file.study(scene).settings
    workflow = what_counts(study.workflow)
    for name in ("rewards", "scores"):
        del workflow[name]
    scoring = {name: workflow.pop(name) for name in _SCORING}
    searched = sorted(study.space.entries)
    for path in searched:  # their values stand in the rows
        *parents, leaf = path.split(".")
        place: Any = {**workflow, **scoring}
        for part in parents:
            place = place[part]
        place.pop(leaf, None)
    smallest, largest = study.space.windows_px()
    given = {"core_px": smallest, "largest_window_px": largest, "seed": study.optuna.seed}
    return {
        "training": {
            "image_sha256": rendered["image_sha256"],
            "keypoints_sha256": rendered["keypoints_sha256"],
            "workflow": workflow,
            "search": searched,
            "comparison": {**rendered["comparison"], **given},
            "seed": study.optuna.seed,
        },
        "scoring": {
            "version": VERSION,
            "semantics": SEMANTICS,
            **scoring,
            "views": {name: _behind_the_encoder(view) for name, view in settings.views.items()},
            "plugins": {
                name: sha256((file.folder / name).read_bytes()).hexdigest()
                for name in settings.plugins
            },
        },
    }


def image_of(file: TruthFile, scene: Scene) -> dict[str, Any]:
    """What is done to the image of a scene after it was rendered."""
    image = file.settings.study_of(scene).image
    return {"clip_percentiles": list(image.clip_percentiles)}


def ready(file: TruthFile, scene: Scene) -> ReadyScene:
    """Render, find the key points and fix what all trainings share. Writes nothing.

    Raises:
        DataError: whatever would make trainings fail, with the name of the scene.
    """
    try:
        session = prepare(file.study(scene))
        scan = render(scene.family, seed=scene.seed, difficulty=scene.difficulty)
    except VaeoptError as error:
        raise DataError(
            f"scene {scene.name!r}: {error.message}", setting=error.setting, remedy=error.remedy
        ) from error
    return ReadyScene(file, scene, scan, session)


def tasks_of(session: Session, seeds: int) -> Iterator[Task]:
    """The whole grid, window by window, so that trainings that share patches follow each other."""
    grid = session.space.grid()
    assert grid is not None  # checked in the settings
    for seed in range(seeds):
        for values in itertools.product(*grid.values()):
            yield Task(tuple(zip(grid, values, strict=True)), seed)


def _behind_the_encoder(view: Workflow) -> Mapping[str, Any]:
    table = what_counts(view)
    return {name: table[name] for name in ("latents", "density_filter", "mixture", "bayesian")}
