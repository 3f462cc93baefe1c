"""From the rows of a benchmark to its summary; nothing is rendered or trained."""

from vaeopt.study.space import SearchSpace
from vaeopt.truth.bench import rows_of
from vaeopt.truth.columns import directions_of
from vaeopt.truth.cube import cube_of
from vaeopt.truth.file import TruthFile
from vaeopt.truth.findings import Summary
from vaeopt.truth.rows import Row, refuse_changes
from vaeopt.truth.scene import identity_of, image_of
from vaeopt.truth.summary import summarise

__all__ = ["summary_of"]


def summary_of(file: TruthFile, only: str | None = None) -> Summary:
    """What the finished trainings of a benchmark say; one that is running may be asked, too.

    Rows that the grid no longer asks for are left out, and rows that were made with other settings
    than those of the file are refused, as far as it can be told without rendering.

    Args:
        file: of the benchmark.
        only: one family.

    Raises:
        StudyError: no such family, a broken file of rows, or settings that have changed since.
    """
    settings = file.settings
    scores, seeds = settings.scores, settings.trainings.seeds
    directions = directions_of(settings.workflow, settings.views, scores)
    cubes, missing = [], 0
    for scene, found in rows_of(file, only).items():
        if found.header is not None:
            now = identity_of(file, scene, found.header.identity["training"])
            refuse_changes(found, now, image=image_of(file, scene))
        space = settings.study_of(scene).space
        rows = [row for row in found.rows.values() if _asked_for(row, space, seeds)]
        missing += seeds * (space.n_points or 0) - len(rows)
        if found.header is None:
            continue
        cubes.append(
            cube_of(
                scene,
                len(found.header.facts["classes"]),
                rows,
                directions,
                rank_sums=scores.rank_sums,
                target=scores.target,
            )
        )
    asked = {reward.label for reward in settings.workflow.values} | {*scores.rank_sums}
    asked |= {f"{name}.{one.label}" for name, view in settings.views.items() for one in view.values}
    return summarise(cubes, name=settings.name, missing=missing, asked=asked, target=scores.target)


def _asked_for(row: Row, space: SearchSpace, seeds: int) -> bool:
    grid = space.grid() or {}
    return (
        row.seed < seeds
        and row.params.keys() == grid.keys()
        and all(value in grid[path] for path, value in row.params.items())
    )
