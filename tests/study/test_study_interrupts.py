"""Signals wait for the end of a write."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import pytest

from tests.study.test_study_batches import Loop, quick_loop  # noqa: F401  # a fixture
from tests.study.tiny import ONE, write_study
from vaeopt.study import optimize as loop
from vaeopt.study.optimize import optimize
from vaeopt.study.processes.interrupts import deferred


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Python's own for Ctrl-C and one that raises for SIGTERM; put back afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminate)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _strike(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_the_block(number: int) -> None:
    done = []

    def store() -> None:
        with deferred():
            _strike(number)
            done.append("stored")

    with pytest.raises(KeyboardInterrupt):
        store()
    assert done == ["stored"]
    assert signal.getsignal(signal.SIGTERM) is _terminate
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_signal_does_not_wait() -> None:
    done = []

    def store() -> None:
        with deferred():
            _strike(signal.SIGINT)
            done.append("first")
            _strike(signal.SIGTERM)
            done.append("second")

    with pytest.raises(KeyboardInterrupt):
        store()
    assert done == ["first"]


def test_an_error_within_the_block_is_not_hidden_behind_a_signal() -> None:
    def store() -> None:
        with deferred():
            _strike(signal.SIGINT)
            raise OSError("no room")

    with pytest.raises(KeyboardInterrupt) as caught:
        store()
    assert isinstance(caught.value.__context__, OSError)


def test_a_block_within_a_block_waits_for_the_outer_one() -> None:
    done = []

    def store() -> None:
        with deferred():
            with deferred():
                _strike(signal.SIGINT)
            done.append("outer")

    with pytest.raises(KeyboardInterrupt):
        store()
    assert done == ["outer"]


def test_other_threads_are_left_alone() -> None:
    seen: list[object] = []

    def work() -> None:
        with deferred():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


@pytest.mark.parametrize("at", ["ask_together", "tell"])
def test_a_study_stores_what_it_was_storing(
    at: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    quick_loop: Loop,  # noqa: F811
) -> None:
    folder = write_study(tmp_path_factory.mktemp("study"), rewards=ONE, n_trials=3)
    inner: Callable[..., object] = getattr(loop, at)

    def struck(*args: object) -> object:
        _strike(signal.SIGTERM)
        return inner(*args)

    with monkeypatch.context() as patch:
        patch.setattr(loop, at, struck)
        with pytest.raises(KeyboardInterrupt):
            optimize(folder)
    study = optimize(folder, n_trials=1)
    told = {"ask_together": "FAIL", "tell": "COMPLETE"}[at]
    assert study.trials[0].state.name == told
    assert all(trial.params for trial in study.trials), "none was cut off while it was drawn"
