"""The loop of a benchmark: what is missing is trained, in one process or in several."""

import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing import get_context
from os import environ
from pathlib import Path
from typing import Protocol

from vaeopt.core.errors import StudyError
from vaeopt.study.processes.division import thread_share
from vaeopt.study.processes.lifeline import inherit, lifeline
from vaeopt.truth.columns import directions_of
from vaeopt.truth.file import Scene, TruthFile, open_truth
from vaeopt.truth.kept import kept_file
from vaeopt.truth.rows import Row, SceneRows, claimed, configuration, read_rows, refuse_changes
from vaeopt.truth.scene import ReadyScene, Task, image_of, ready
from vaeopt.truth.work import Failure, rescored, trained

__all__ = ["GridProgress", "SilentGrid", "rescore", "rows_of", "train"]

_HELD = 2  # scenes that a process keeps ready: it goes from one to the next


class GridProgress(Protocol):
    """Told of what happens; the methods of :class:`SilentGrid` are a start."""

    def preparing(self, done: int, total: int) -> None:
        """After each scene that is made ready before the first training."""

    def started(self, done: int, total: int) -> None:
        """Before the first training; ``done`` of ``total`` are finished already."""

    def note(self, line: str) -> None:
        """Something to know, as soon as it is known."""

    def finished(self, scene: str, row: Row) -> None:
        """After each training; the row is on the disk."""


class SilentGrid:
    """Shows nothing."""

    def preparing(self, done: int, total: int) -> None:
        """Nothing."""

    def started(self, done: int, total: int) -> None:
        """Nothing."""

    def note(self, line: str) -> None:
        """Nothing."""

    def finished(self, scene: str, row: Row) -> None:
        """Nothing."""


@dataclass(frozen=True)
class _Job:
    """Trainings on one scene that are begun together."""

    scene: Scene
    tasks: tuple[Task, ...]
    kept: bool = False
    again: bool = False
    """score latents that were kept, instead of training"""


Outcome = list[Row | Failure]


def rows_of(file: TruthFile, only: str | None = None) -> dict[Scene, SceneRows]:
    """What is finished, scene by scene; nothing is written.

    Raises:
        StudyError: no such family, or a broken file.
    """
    return {scene: read_rows(_path(file, scene)) for scene in file.scenes(only)}


def train(
    file: TruthFile,
    *,
    workers: int = 1,
    only: str | None = None,
    kept: bool = False,
    progress: GridProgress | None = None,
) -> list[Failure]:
    """Train what is missing and keep a row of each; returns what failed.

    Args:
        file: of the benchmark.
        workers: processes that share the trainings.
        only: one family.
        kept: also keep the latents of everything that is trained now.
        progress: told of what happens.

    Raises:
        VaeoptError: settings that do not fit, other settings than those of the rows that are
            there, or a process that died.
    """
    show: GridProgress = progress or SilentGrid()
    scenes = file.scenes(only)
    with ExitStack() as stack:
        found: dict[Scene, SceneRows] = {}
        grids: dict[Scene, list[Task]] = {}
        for number, scene in enumerate(scenes, start=1):
            stack.enter_context(claimed(_path(file, scene)))
            found[scene] = read_rows(_path(file, scene), repair=True)
            scene_ready = ready(file, scene)
            now, image = scene_ready.identity(), image_of(file, scene)
            refuse_changes(found[scene], now, image=image)
            grids[scene] = list(scene_ready.tasks)
            if found[scene].header is None:
                found[scene].begin(scene_ready.header)
            show.preparing(number, len(scenes))
        missing = {s: [t for t in grids[s] if t.key not in found[s].rows] for s in scenes}
        jobs = list(_jobs(missing, file.settings.trainings.at_once, kept))
        total = sum(map(len, grids.values()))
        show.started(total - sum(map(len, missing.values())), total)
        _tell_of_columns(file, found, show)
        failures: list[Failure] = []
        for job, outcome in _done(file, jobs, workers):
            for one in outcome:
                if isinstance(one, Failure):
                    failures.append(one)
                    show.note(f"{job.scene.name} {one.task.key}: {one.reason}")
                    continue
                found[job.scene].append(one)
                show.finished(job.scene.name, one)
        for scene in scenes:
            _in_order(found[scene], grids[scene])
    return failures


def rescore(
    file: TruthFile,
    *,
    workers: int = 1,
    only: str | None = None,
    progress: GridProgress | None = None,
) -> None:
    """Compute every column and the truth anew from latents that were kept; nothing is trained.

    Raises:
        VaeoptError: rows without latents, or latents of other trainings than these settings ask
            for.
    """
    show: GridProgress = progress or SilentGrid()
    scenes = file.scenes(only)
    with ExitStack() as stack:
        found: dict[Scene, SceneRows] = {}
        jobs: list[_Job] = []
        headers = {}
        for number, scene in enumerate(scenes, start=1):
            path = _path(file, scene)
            stack.enter_context(claimed(path))
            found[scene] = read_rows(path, repair=True)
            scene_ready = ready(file, scene)
            headers[scene] = scene_ready.header
            now, image = scene_ready.identity(), image_of(file, scene)
            refuse_changes(found[scene], now, parts=("training",), image=image)
            tasks = _to_rescore(scene_ready, found[scene])
            _expect_kept(file, scene, tasks)
            jobs += [_Job(scene, (task,), again=True) for task in tasks]
            show.preparing(number, len(scenes))
        show.started(0, len(jobs))
        fresh: dict[Scene, dict[str, Row]] = {scene: {} for scene in scenes}
        for job, (row,) in _done(file, jobs, workers):
            assert isinstance(row, Row)
            row = replace(row, seconds=found[job.scene].rows[row.key].seconds)
            fresh[job.scene][row.key] = row
            show.finished(job.scene.name, row)
        for scene in scenes:
            if found[scene].header is not None:
                found[scene].header = headers[scene]
                order = [job.tasks[0].key for job in jobs if job.scene == scene]
                found[scene].rewrite(fresh[scene][key] for key in order)


def _path(file: TruthFile, scene: Scene) -> Path:
    return file.rows / f"{scene.name}.jsonl"


def _jobs(missing: Mapping[Scene, Sequence[Task]], at_once: int, kept: bool) -> Iterator[_Job]:
    """Every configuration on every scene once before any is trained again."""
    for seed in sorted({task.seed for tasks in missing.values() for task in tasks}):
        for scene, tasks in missing.items():
            again = [task for task in tasks if task.seed == seed]
            for i in range(0, len(again), at_once):
                yield _Job(scene, tuple(again[i : i + at_once]), kept=kept)


def _in_order(rows: SceneRows, grid: Sequence[Task]) -> None:
    """A file that is complete has the order of the grid, however many processes have made it."""
    keys = [task.key for task in grid if task.key in rows.rows]
    others = [key for key in rows.rows if key not in set(keys)]
    if len(keys) == len(grid) and [*keys, *others] != list(rows.rows):
        rows.rewrite([rows.rows[key] for key in (*keys, *others)])


def _tell_of_columns(file: TruthFile, found: Mapping[Scene, SceneRows], show: GridProgress) -> None:
    """Columns that rows of an earlier start do not have."""
    settings = file.settings
    columns = directions_of(settings.workflow, settings.views, settings.scores)
    old = [row for rows in found.values() for row in rows.rows.values()]
    lacking = sorted({name for row in old for name in columns if name not in row.scores})
    if lacking:
        show.note(
            f"finished trainings have no {', '.join(lacking)}; --rescore computes them where "
            "latents were kept"
        )


def _to_rescore(scene: ReadyScene, found: SceneRows) -> list[Task]:
    """Trainings behind all rows, in the order of the grid; those of more seeds than now come last.

    Raises:
        StudyError: rows of configurations that are not in the grid, so that nothing tells how their
            latents are to be scored; they would be lost.
    """
    grid = list(scene.tasks)
    asked = {task.key: task for task in grid}
    known = {configuration(dict(task.params)): task.params for task in grid}
    others = [row for key, row in found.rows.items() if key not in asked]
    outside = sum(configuration(row.params) not in known for row in others)
    if outside:
        raise StudyError(
            f"{outside} of {len(found.rows)} rows of {scene.scene.name!r} are of configurations "
            "that are not in the grid",
            setting="--rescore",
            remedy="restore the grid that they were trained in, and all are scored anew",
        )
    return [
        *(task for key, task in asked.items() if key in found.rows),
        *(Task(known[configuration(row.params)], row.seed) for row in others),
    ]


def _expect_kept(file: TruthFile, scene: Scene, tasks: Sequence[Task]) -> None:
    lost = [task for task in tasks if not kept_file(file, scene, task.key).is_file()]
    if lost:
        raise StudyError(
            f"latents of {len(lost)} of {len(tasks)} trainings on {scene.name!r} were not kept",
            setting="--rescore",
            remedy="train them with --keep; delete their rows first",
        )


# ---- processes


def _done(file: TruthFile, jobs: Sequence[_Job], workers: int) -> Iterator[tuple[_Job, Outcome]]:
    """The outcome of every job, in this process or in others."""
    if workers == 1 or len(jobs) < 2:
        held = lru_cache(_HELD)(lambda scene: ready(file, scene))
        for job in jobs:
            yield job, _run(held(job.scene), job)
        return
    if file.source is None:
        raise StudyError(
            "workers read the benchmark from its file, and these settings were made in Python",
            remedy="write a truth file, or leave out workers",
        )
    pool = ProcessPoolExecutor(
        min(workers, len(jobs)), get_context("spawn"), _open, (str(file.source.resolve()),)
    )
    with _given(thread_share(workers) | lifeline("")):
        waiting: dict[Future[Outcome], _Job] = {pool.submit(_run_here, j): j for j in jobs}
    try:
        for future in as_completed(waiting):
            yield waiting[future], future.result()
    except BrokenProcessPool as error:
        raise StudyError(
            "a process that trained has died, perhaps for want of memory",
            setting="--workers",
            remedy="run the same command again to go on; fewer workers leave more memory to each",
        ) from error
    finally:
        _end(pool)


def _end(pool: ProcessPoolExecutor) -> None:
    """Whatever happened, no process goes on training."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()


@contextmanager
def _given(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the processes that are started in the block."""
    before = {name: environ.get(name) for name in values}
    environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                environ.pop(name, None)
            else:
                environ[name] = value


_here: list[TruthFile] = []


def _open(path: str) -> None:
    """The first that a process does: it ends with the one that started it, and not by Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    inherit()
    _here[:] = [open_truth(path)]


@lru_cache(_HELD)
def _ready_here(scene: Scene) -> ReadyScene:
    return ready(_here[0], scene)


def _run_here(job: _Job) -> Outcome:
    return _run(_ready_here(job.scene), job)


def _run(scene: ReadyScene, job: _Job) -> Outcome:
    if job.again:
        return [rescored(scene, task) for task in job.tasks]
    return list(trained(scene, job.tasks, kept=job.kept))
