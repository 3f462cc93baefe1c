"""Files of trials on their way to a bucket, while the next trials train."""

import itertools
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import optuna
from optuna.trial import FrozenTrial

from vaeopt.study.artefacts.bucket import Bucket
from vaeopt.study.artefacts.store import Artefacts
from vaeopt.study.results.records import ids_of

__all__ = ["sending"]

_PATIENCE_S = 60.0  # at the end of a study
_WAITS_S = (1.0, 5.0, 15.0, 60.0)  # before the next attempt; the last one again and again


@contextmanager
def sending(
    study: optuna.Study, store: Artefacts, note: Callable[[str], None]
) -> Iterator[Callable[[FrozenTrial], None]]:
    """Send files of finished trials while the body runs, and wait for the rest at its end.

    What an earlier process has left behind is sent, too. What cannot be sent stays in the folder,
    where every verb finds it, until the next start. No trial fails for it.

    Args:
        study: whose trials they are.
        store: with or without a bucket.
        note: told when the bucket does not answer, and what is waited for.

    Yields:
        Call it with every trial that has been told.
    """
    if store.bucket is None:
        yield lambda trial: None
        return
    sender = _Sender(store, store.bucket)
    trials = study.get_trials(deepcopy=False)
    for trial in trials:
        if trial.state.is_finished():
            sender.add(ids_of(trial))
    sender.start()

    def told(trial: FrozenTrial) -> None:
        sender.add(ids_of(trial))
        sender.speak(note)

    try:
        yield told
    finally:
        left = sender.left()
        if left:
            note(f"waiting for {left} files on their way to {store}")
        sender.finish(_PATIENCE_S)
        sender.speak(note)
        if sender.left():
            note(
                f"{sender.left()} files could not be sent to {store} and stay in {store.folder}; "
                "the next 'vaeopt optimize' sends them"
            )


class _Sender:
    """One thread; the queue is its only link to the others."""

    def __init__(self, store: Artefacts, bucket: Bucket) -> None:
        self._store, self._bucket = store, bucket
        self._waiting: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._open: set[str] = set()
        self._stop = threading.Event()  # no more patience
        self._thread = threading.Thread(target=self._run, name="artefacts", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def add(self, ids: Iterable[str]) -> None:
        """Send these files, as far as they are here."""
        for artifact_id in ids:
            if artifact_id not in self._open and (self._store.folder / artifact_id).exists():
                self._open.add(artifact_id)
                self._waiting.put(artifact_id)

    def left(self) -> int:
        """Files that have not arrived."""
        return len(self._open)

    def speak(self, note: Callable[[str], None]) -> None:
        """Hand over what the thread has to say: progress is shown by one thread only."""
        with suppress(queue.Empty):
            while True:
                note(self._said.get_nowait())

    def finish(self, patience_s: float) -> None:
        """Wait until all has arrived, but not for ever."""
        self._waiting.put(None)
        self._thread.join(patience_s)
        self._stop.set()

    def _run(self) -> None:
        while (artifact_id := self._waiting.get()) is not None:
            for attempt in itertools.count():
                if self._stop.is_set():
                    return
                try:
                    self._send(artifact_id)
                    break
                except Exception as error:  # whatever it is, the file is still here
                    if attempt == 0:
                        self._said.put(f"{error}; trials go on, their files wait here")
                self._stop.wait(_WAITS_S[min(attempt, len(_WAITS_S) - 1)])

    def _send(self, artifact_id: str) -> None:
        path = self._store.folder / artifact_id
        with suppress(FileNotFoundError):  # another process has sent it
            with path.open("rb") as file:
                self._bucket.write(artifact_id, file)
            path.unlink()
        self._open.discard(artifact_id)
