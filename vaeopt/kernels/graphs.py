"""Work that a GPU repeats: recorded once as a CUDA graph, then started by a single call.

A small model's step is a hundred small kernels, each of which takes longer to start than to run.
A graph starts all kernels of an epoch at once. It replays what it has seen: the same kernels on the
same addresses. So the work must read its numbers from tensors that stay where they are
(:class:`Inbox`), its shapes must not depend on numbers, and nothing in it may wait for the device
or copy from the host.
"""

import functools
import logging
from collections.abc import Callable, Sequence
from threading import Lock

import torch
from torch import Tensor

__all__ = ["Captured", "Inbox"]

_log = logging.getLogger(__name__)
_RECORDING = Lock()  # a process records one graph at a time: each start waits for the whole device


class Captured:
    """Work on fixed tensors: a CUDA graph on a GPU, a plain call elsewhere.

    Every call does the work exactly once. On a GPU the first one runs it as it is, on a stream of
    its own: libraries set themselves up, kernels are compiled, and nothing has to be restored as
    the work is the work that was asked for. The second call records and replays, later ones replay.
    Work that cannot be recorded is run as it is from then on; the log says so once.

    Args:
        run: the work; must change nothing on the host, because a replay does not come by there.
            All tensors that it touches and that it does not make itself must stay where they are.
        device: the one that ``run`` works on.

    >>> total = torch.zeros(2)
    >>> step = Captured(lambda: total.add_(1), torch.device("cpu"))
    >>> for _ in range(3):
    ...     step()
    >>> total
    tensor([3., 3.])
    """

    def __init__(self, run: Callable[[], object], device: torch.device) -> None:
        self._run, self._device = run, device
        self._ran = self._failed = False
        self._graph: torch.cuda.CUDAGraph | None = None

    @property
    def is_recorded(self) -> bool:
        """Whether the next call is a replay."""
        return self._graph is not None

    def __call__(self) -> None:
        """Do the work once; on a GPU, this only puts it into the queue of the current stream."""
        if self._device.type != "cuda":
            self._run()
            return
        with torch.cuda.device(self._device):
            if not self._ran:
                self._warm_up()
                return
            if self._graph is None and not self._failed:
                self._record()
            if self._graph is None:
                self._run()
            else:
                self._graph.replay()

    def _warm_up(self) -> None:
        current, side = torch.cuda.current_stream(), _side_stream(self._device)
        with _RECORDING:  # what came to the side stream now would become part of another's graph
            side.wait_stream(current)
            with torch.cuda.stream(side):
                self._run()
            current.wait_stream(side)
        self._ran = True

    def _record(self) -> None:
        current, graph = torch.cuda.current_stream(), torch.cuda.CUDAGraph()
        # Of this thread only: others may allocate memory meanwhile.
        recording = torch.cuda.graph(
            graph, stream=_side_stream(self._device), capture_error_mode="thread_local"
        )
        try:
            with _RECORDING, recording:
                self._run()
        except RuntimeError as error:
            torch.cuda.set_stream(current)  # torch stays on the other one if the end fails too
            self._failed = True
            _say_once(str(error.__context__ or error))
        else:
            self._graph = graph


class Inbox:
    """A tensor on the device that the host fills again and again without waiting.

    Args:
        shape: of the tensor.
        dtype: of its numbers.
        device: where it is.
    """

    def __init__(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> None:
        self.tensor = torch.empty(shape, dtype=dtype, device=device)
        self._host, self._sent = self.tensor, None
        if device.type == "cuda":
            self._host = torch.empty(shape, dtype=dtype, pin_memory=True)  # or a copy would wait
            self._sent = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch's stub

    def fill(self, parts: Sequence[Tensor]) -> None:
        """Put these, from the host, beside each other along the first axis."""
        if self._sent is None:
            torch.stack(list(parts), out=self._host)
            return
        self._sent.synchronize()  # the last copy may still be reading
        torch.stack(list(parts), out=self._host)
        self.tensor.copy_(self._host, non_blocking=True)
        self._sent.record(torch.cuda.current_stream(self.tensor.device))


@functools.cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """One for all graphs of a device, as libraries keep memory for every stream they have seen."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch's stub


@functools.cache
def _say_once(obstacle: str) -> None:
    _log.warning("no CUDA graph could be recorded, training goes on step by step: %s", obstacle)
