"""Work that a GPU repeats: done once per call whether it is run, recorded or replayed."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from vaeopt.kernels import graphs
from vaeopt.kernels.graphs import Captured, Inbox

GPU = torch.device("cuda:0")
needs_gpu = pytest.mark.gpu


class _FakeCuda:
    """Writes down what is asked of ``torch.cuda``."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.stream_now = "main"
        self.recording = False
        self.breaks = False

    # Those of the module, by its names.

    def Stream(self, device: torch.device) -> "_FakeStream":  # noqa: N802  # torch's
        return _FakeStream("side", self)

    def Event(self) -> "_FakeEvent":  # noqa: N802
        return _FakeEvent(self)

    def CUDAGraph(self) -> "_FakeGraph":  # noqa: N802
        return _FakeGraph(self)

    def current_stream(self, device: torch.device | None = None) -> "_FakeStream":
        return _FakeStream(self.stream_now, self)

    def set_stream(self, stream: "_FakeStream") -> None:
        self.stream_now = stream.name

    @contextmanager
    def device(self, device: torch.device) -> Iterator[None]:
        yield

    @contextmanager
    def stream(self, stream: "_FakeStream") -> Iterator[None]:
        before, self.stream_now = self.stream_now, stream.name
        yield
        self.stream_now = before

    @contextmanager
    def graph(
        self, graph: "_FakeGraph", stream: "_FakeStream", capture_error_mode: str
    ) -> Iterator[None]:
        assert capture_error_mode == "thread_local"
        self.calls.append("begin")
        self.stream_now, self.recording = stream.name, True
        try:
            yield
        finally:
            self.recording = False
            if self.breaks:  # as torch does it: the stream is not put back
                raise RuntimeError("capture invalidated")
        self.stream_now = "main"
        self.calls.append("end")

    def work(self) -> None:
        self.calls.append(f"{'record' if self.recording else 'run'} on {self.stream_now}")


class _FakeStream:
    def __init__(self, name: str, cuda: _FakeCuda) -> None:
        self.name, self._cuda = name, cuda

    def wait_stream(self, other: "_FakeStream") -> None:
        self._cuda.calls.append(f"{self.name} waits for {other.name}")


class _FakeEvent:
    def __init__(self, cuda: _FakeCuda) -> None:
        self._cuda = cuda

    def synchronize(self) -> None:
        self._cuda.calls.append("host waits")

    def record(self, stream: _FakeStream) -> None:
        self._cuda.calls.append(f"event on {stream.name}")


class _FakeGraph:
    def __init__(self, cuda: _FakeCuda) -> None:
        self._cuda = cuda

    def replay(self) -> None:
        self._cuda.calls.append(f"replay on {self._cuda.stream_now}")


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[_FakeCuda]:
    fake = _FakeCuda()
    for name in ("Stream", "Event", "CUDAGraph", "current_stream", "set_stream"):
        monkeypatch.setattr(torch.cuda, name, getattr(fake, name))
    for name in ("device", "stream", "graph"):
        monkeypatch.setattr(torch.cuda, name, getattr(fake, name))
    graphs._side_stream.cache_clear()
    graphs._say_once.cache_clear()
    yield fake
    graphs._side_stream.cache_clear()
    graphs._say_once.cache_clear()


def test_on_a_processor_every_call_is_a_call() -> None:
    total = torch.zeros(3)
    work = Captured(lambda: total.add_(1), torch.device("cpu"))
    for number in range(1, 4):
        work()
        assert total.tolist() == [number] * 3
    assert not work.is_recorded


def test_on_a_gpu_the_work_is_run_once_then_recorded_then_replayed(cuda: _FakeCuda) -> None:
    work = Captured(cuda.work, GPU)
    work()
    assert cuda.calls == ["side waits for main", "run on side", "main waits for side"]
    assert not work.is_recorded
    cuda.calls.clear()
    work()
    # What is recorded has not been done: the replay does it.
    assert cuda.calls == ["begin", "record on side", "end", "replay on main"]
    assert work.is_recorded
    cuda.calls.clear()
    work()
    work()
    assert cuda.calls == ["replay on main", "replay on main"]


def test_graphs_of_a_device_share_one_side_stream(
    cuda: _FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[torch.device] = []

    def stream(device: torch.device) -> _FakeStream:
        made.append(device)
        return _FakeStream("side", cuda)

    monkeypatch.setattr(torch.cuda, "Stream", stream)
    for _ in range(2):
        work = Captured(cuda.work, GPU)
        work()
        work()
    assert made == [GPU]


@pytest.mark.parametrize("where", ["work", "work and end", "end"])
def test_work_that_cannot_be_recorded_is_run_and_the_log_says_so_once(
    cuda: _FakeCuda, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    def run() -> None:
        cuda.work()
        if cuda.recording and "work" in where:
            raise RuntimeError("the work waits for the device")

    cuda.breaks = "end" in where
    caplog.set_level(logging.WARNING)
    for _ in range(2):
        work = Captured(run, GPU)
        work()
        cuda.calls.clear()
        work()
        work()
        # Back on the caller's stream, and not tried again.
        runs = [call for call in cuda.calls if call not in ("begin", "record on side")]
        assert runs == ["run on main", "run on main"]
        assert cuda.calls.count("begin") == 1
        assert not work.is_recorded
    reason = "the work waits for the device" if "work" in where else "capture invalidated"
    (message,) = caplog.messages
    assert reason in message


def test_a_mistake_in_the_work_is_not_swallowed(cuda: _FakeCuda) -> None:
    def run() -> None:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        Captured(run, GPU)()


def test_an_inbox_stays_where_it_is() -> None:
    inbox = Inbox((2, 3), torch.float32, torch.device("cpu"))
    address = inbox.tensor.data_ptr()
    inbox.fill([torch.ones(3), torch.zeros(3)])
    inbox.fill([torch.zeros(3), torch.arange(3.0)])
    assert inbox.tensor.tolist() == [[0, 0, 0], [0, 1, 2]]
    assert inbox.tensor.data_ptr() == address


def test_an_inbox_on_a_gpu_is_not_filled_while_its_last_numbers_are_under_way(
    cuda: _FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[str, Any]] = []
    real = torch.empty

    def empty(shape: tuple[int, ...], **kinds: Any) -> torch.Tensor:
        made.append(kinds)
        return real(shape, dtype=kinds["dtype"])

    monkeypatch.setattr(torch, "empty", empty)
    inbox = Inbox((1, 2), torch.int64, GPU)
    assert [kinds.get("device") for kinds in made] == [GPU, None]
    assert made[1]["pin_memory"]
    for numbers in ([1, 2], [3, 4]):
        inbox.fill([torch.tensor(numbers)])
        assert inbox.tensor.tolist() == [numbers]
    assert cuda.calls == ["host waits", "event on main"] * 2


@needs_gpu
def test_a_replay_does_what_a_run_does() -> None:
    inbox = Inbox((1, 4), torch.float32, GPU)
    total = torch.zeros(4, device=GPU)
    weight = torch.ones(4, 4, device=GPU, requires_grad=True)

    def run() -> None:
        (slope,) = torch.autograd.grad((inbox.tensor @ weight).tanh().sum(), weight)
        total.add_(slope.sum(0))

    work = Captured(run, GPU)
    expected = torch.zeros(4)
    for number in range(5):
        numbers = torch.full((4,), 0.1 * number)
        inbox.fill([numbers])
        work()
        own = torch.ones(4, 4, requires_grad=True)
        (slope,) = torch.autograd.grad((numbers[None] @ own).tanh().sum(), own)
        expected += slope.sum(0)
    assert work.is_recorded
    torch.testing.assert_close(total.cpu(), expected)
