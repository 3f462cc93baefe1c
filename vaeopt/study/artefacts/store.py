"""Where the files of trials are kept: a folder, or a bucket with a folder in front of it.

A trial never waits for a network: its files go to the folder first. What belongs into a bucket is
sent from a thread of its own and leaves the folder when it has arrived.
"""

import os
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from optuna.artifacts.exceptions import ArtifactNotFound

from vaeopt.core.errors import StudyError
from vaeopt.study.artefacts.bucket import Bucket
from vaeopt.study.artefacts.places import place_of
from vaeopt.study.file import StudyFile
from vaeopt.study.processes.process import worker_alive, worker_name

__all__ = ["Artefacts", "artefacts_of"]

_UNFINISHED = ".unfinished-"


class Artefacts:
    """An artifact store of Optuna's, which writes to the folder and reads from both.

    Args:
        folder: all files, or those on their way to the bucket.
        bucket: where they go from there; none if they stay.
    """

    def __init__(self, folder: Path, bucket: Bucket | None = None) -> None:
        self.folder = folder
        self.bucket = bucket
        self._taken: list[Path] = []

    def __str__(self) -> str:
        """Where the files are, for messages; no secret is in it."""
        return str(self.folder) if self.bucket is None else str(self.bucket)

    def prepare(self) -> None:
        """Look whether files can be kept, and sweep what killed processes had half written.

        Nothing is made yet.

        Raises:
            StudyError: the folder or the bucket cannot be used.
        """
        there = next(place for place in (self.folder, *self.folder.parents) if place.exists())
        if not (there.is_dir() and os.access(there, os.W_OK)):
            raise StudyError(
                f"{str(there)!r} is not a folder that can be written to",
                setting="optuna.artefacts",
                remedy="choose another one",
            )
        for left in self.folder.glob(f"{_UNFINISHED}*"):
            if worker_alive(left.name.removeprefix(_UNFINISHED).rpartition("-")[0]) is False:
                shutil.rmtree(left, ignore_errors=True)
        if self.bucket is not None:
            self.bucket.check()

    @contextmanager
    def unfinished(self) -> Iterator[Path]:
        """A folder for files that are still written; gone at the end, whatever happens."""
        folder = self.folder / f"{_UNFINISHED}{worker_name()}-{uuid.uuid4().hex[:8]}"
        folder.mkdir(parents=True)  # the folder itself, too
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def take(
        self, files: Collection[Path], pictures: Collection[Path] = ()
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Move finished files here, whole or not at all.

        They are on the disk when this returns: a trial that is told has its files, also after a
        power cut. Pictures are not waited for.

        Returns:
            Ids of the files by name, and those of the pictures, which come first in the order of
            ids and stay in theirs: optuna-dashboard shows the first of a trial.
        """
        ids = {path.name: str(uuid.uuid4()) for path in files}
        shown = {p.name: f"{place:08x}{str(uuid.uuid4())[8:]}" for place, p in enumerate(pictures)}
        for path in files:
            _sync(path)
        for path in pictures:
            self._taken.append(path.replace(self.folder / shown[path.name]))
        for path in files:
            self._taken.append(path.replace(self.folder / ids[path.name]))
        _sync(self.folder)
        return ids, shown

    def put_back(self, files: Mapping[str, Path]) -> None:
        """Move finished files here under the ids that they had."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for artifact_id, path in files.items():
            _sync(path)
            path.replace(self._path(artifact_id))
        _sync(self.folder)

    @contextmanager
    def kept_if_told(self, told: Callable[[], bool]) -> Iterator[None]:
        """What was taken inside is removed if the block fails: no trial names it.

        Args:
            told: whether a trial names it all the same, or nobody knows.
        """
        self._taken.clear()
        try:
            yield
        except Exception:
            if told():
                raise
            for path in self._taken:
                path.unlink(missing_ok=True)
            raise

    def sizes(self) -> Mapping[str, int]:
        """Bytes of every file, by id."""
        held = {}
        if self.folder.is_dir():
            with os.scandir(self.folder) as entries:
                held = {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
        return held if self.bucket is None else {**self.bucket.sizes(), **held}

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """A file to read from; Optuna calls this.

        Raises:
            ArtifactNotFound: it is nowhere.
        """
        path = self._path(artifact_id)
        try:
            return path.open("rb")
        except FileNotFoundError as error:
            if self.bucket is None:
                raise ArtifactNotFound(f"{artifact_id} is not in {self}") from error
        return self.bucket.open_reader(artifact_id)

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Keep a file that somebody adds, in the dashboard for example; Optuna calls this."""
        if self.bucket is not None:
            self.bucket.write(artifact_id, content_body)
            return
        path = self._path(artifact_id)
        with self.unfinished() as folder:
            with (folder / artifact_id).open("wb") as file:
                shutil.copyfileobj(content_body, file)
            (folder / artifact_id).replace(path)

    def remove(self, artifact_id: str) -> None:
        """Forget a file; Optuna calls this."""
        path = self._path(artifact_id)
        here = path.exists()
        path.unlink(missing_ok=True)
        if self.bucket is not None:
            self.bucket.remove(artifact_id)
        elif not here:
            raise ArtifactNotFound(f"{artifact_id} is not in {self}")

    def _path(self, artifact_id: str) -> Path:
        if Path(artifact_id).name != artifact_id:  # ids come from a database that others write to
            raise ValueError(f"{artifact_id!r} is no id of a file")
        return self.folder / artifact_id


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def artefacts_of(file: StudyFile, url: str | None = None) -> Artefacts:
    """The store of a study: ``optuna.artefacts``, or ``VAEOPT_ARTEFACTS``, or the folder.

    Args:
        file: of the study.
        url: of another place.

    Raises:
        StudyError: not a URL that can be used.
    """
    given = url or file.settings.optuna.artefacts or os.environ.get("VAEOPT_ARTEFACTS")
    place = place_of(given) if given else file.artefacts
    if isinstance(place, Path):
        return Artefacts(place)
    return Artefacts(file.artefacts, Bucket(place))
