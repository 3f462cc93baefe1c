"""A study made ready: image loaded, key points found once, constants fixed."""

import hashlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vaeopt.core.errors import DataError
from vaeopt.core.types import Comparison, KeyPoints, Micrograph
from vaeopt.stages.keypoints import KeypointDetector, detect
from vaeopt.stages.micrograph import load
from vaeopt.stages.rewards.base import SEMANTICS, with_parts
from vaeopt.study.artefacts.store import Artefacts, artefacts_of
from vaeopt.study.file import StudyFile
from vaeopt.study.space import SearchSpace
from vaeopt.workflow import COMPUTING, StageCache, Workflow, comparison_for

if TYPE_CHECKING:
    from vaeopt.study.illustration import Illustrator

__all__ = ["Session", "prepare", "what_counts"]


@dataclass(frozen=True)
class Session:
    """Everything that the trials of one study share."""

    file: StudyFile
    micrograph: Micrograph
    keypoints: KeyPoints
    """of the settings as written; trials that search the detector find their own"""
    space: SearchSpace
    comparison: Comparison
    cache: StageCache
    artefacts: Artefacts
    warnings: tuple[str, ...] = ()
    """scores that will be left empty, and why"""
    illustrator: "Illustrator | None" = None
    """draws the pictures of trials; nobody does if left out"""

    def identity(self) -> dict[str, Any]:
        """What must not change while a study goes on, JSON-ready."""
        settings = self.file.settings
        averages = settings.optuna.duplicates == "replicate"
        return {
            "semantics": SEMANTICS,
            "image_sha256": self.micrograph.sha256,
            "keypoints_sha256": hashlib.sha256(
                np.ascontiguousarray(self.keypoints.yx_px).tobytes()
            ).hexdigest(),
            "workflow": what_counts(settings.workflow),
            "search": {path: entry.to_table() for path, entry in settings.search.items()},
            "sampler": settings.optuna.sampler.to_table(),
            "seed": settings.optuna.seed,
            "duplicates": settings.optuna.duplicates,
            "max_replicates": settings.optuna.max_replicates if averages else None,
            "plugins": {
                name: hashlib.sha256((self.file.folder / name).read_bytes()).hexdigest()
                for name in settings.plugins
            },
            "comparison": asdict(self.comparison),
        }


def what_counts(workflow: Workflow) -> dict[str, Any]:
    """The settings that must not change; the same study may move to another machine."""
    table = workflow.to_table()
    table["vae"].pop("engine")
    for stage in COMPUTING:
        table[stage].pop("device", None)  # a plug-in may have none
    return table


def prepare(file: StudyFile) -> Session:
    """Load the image, find the key points and fix what all trials share. Writes nothing.

    Raises:
        VaeoptError: everything that would make trials fail later.
    """
    settings = file.settings
    artefacts = artefacts_of(file)
    micrograph = load(settings.image, folder=file.folder)
    space = settings.space
    smallest, largest = space.windows_px()
    cache = StageCache()

    def find(detector: KeypointDetector) -> KeyPoints:
        return cache.get(
            "keypoints",
            (detector, largest),
            lambda: detect(detector, micrograph, largest_window_px=largest, folder=file.folder),
        )

    found = [find(workflow.keypoints) for workflow in space.corners("keypoints.")]
    # The mixture fit must be possible at the largest latent dimension and number of components.
    fewest = min(len(keypoints) for keypoints in found)
    demanding = min(
        space.corners("density_filter."),
        key=lambda workflow: workflow.density_filter.count(fewest),
    )
    if "vae.latent_dim" in space.entries:
        most = max(space.entries["vae.latent_dim"].ends)
        demanding = demanding.with_values({"vae.latent_dim": most})
    if "mixture.components" in space.entries:
        longest = max(space.entries["mixture.components"].ends, key=lambda ends: int(ends[1]))
        demanding = demanding.with_values({"mixture.components": longest})
    comparison = comparison_for(
        demanding,
        fewest,
        windows_px=(smallest, largest),
        seed=settings.optuna.seed,
    )
    as_written = find(settings.workflow.keypoints)
    empty: list[str] = []
    for keypoints in found:
        for reward in settings.workflow.values:
            try:
                for part in with_parts(reward):
                    part.check(micrograph, keypoints, comparison)
            except DataError as error:
                if reward in settings.workflow.rewards:
                    raise
                empty.append(f"scores: {reward.label} will be left empty: {error}")
    return Session(file, micrograph, as_written, space, comparison, cache, artefacts, tuple(empty))
