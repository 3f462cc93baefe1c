"""From the rows of a benchmark to its summary; nothing is rendered or trained."""

from vaeopt.study.space import SearchSpace
from vaeopt.truth.bench import rows_of
from vaeopt.truth.columns import directions_of
from vaeopt.truth.cube import Cube, cube_of
from vaeopt.truth.file import TruthFile
from vaeopt.truth.findings import Summary
from vaeopt.truth.rows import Row
from vaeopt.truth.summary import summarise

__all__ = ["cubes_of", "summary_of"]


def summary_of(file: TruthFile, only: str | None = None) -> Summary:
    """What the finished trainings of a benchmark say; one that is running may be asked, too.

    Args:
        file: of the benchmark.
        only: one family.

    Raises:
        StudyError: no such family, or a broken file of rows.
    """
    cubes = cubes_of(file, only)
    wanted = sum(_size(file, scene.family) for scene in file.scenes(only))
    done = sum(int(cube.trained.sum()) for cube in cubes)
    settings = file.settings
    asked = {reward.label for reward in settings.workflow.values} | {*settings.scores.rank_sums}
    asked |= {f"{name}.{one.label}" for name, view in settings.views.items() for one in view.values}
    return summarise(
        cubes,
        name=settings.name,
        missing=max(0, wanted - done),
        asked=asked,
        target=settings.scores.target,
    )


def cubes_of(file: TruthFile, only: str | None = None) -> list[Cube]:
    """The rows of every scene as arrays; rows that the grid no longer asks for are left out."""
    settings = file.settings
    directions = directions_of(settings.workflow, settings.views, settings.scores)
    cubes = []
    scores = settings.scores
    for scene, found in rows_of(file, only).items():
        if found.header is None:
            continue
        space = settings.study_of(scene).space
        rows = [
            row for row in found.rows.values() if _asked_for(row, space, settings.trainings.seeds)
        ]
        n_classes = len(found.header.facts["classes"])
        cubes.append(
            cube_of(
                scene,
                n_classes,
                rows,
                directions,
                rank_sums=scores.rank_sums,
                target=scores.target,
            )
        )
    return cubes


def _asked_for(row: Row, space: SearchSpace, seeds: int) -> bool:
    grid = space.grid() or {}
    return (
        row.seed < seeds
        and row.params.keys() == grid.keys()
        and all(value in grid[path] for path, value in row.params.items())
    )


def _size(file: TruthFile, family: str) -> int:
    """Trainings on one scan of a family."""
    settings = file.settings
    scene = next(one for one in settings.scenes_of() if one.family == family)
    points = settings.study_of(scene).space.n_points
    return settings.trainings.seeds * (points or 0)
