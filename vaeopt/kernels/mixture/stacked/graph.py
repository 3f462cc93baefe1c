"""Many small operations as one: recorded once, then started together."""

import logging
from collections.abc import Callable

import torch

__all__ = ["Repeated"]

_WARM = 3  # steps before recording, at least: libraries set themselves up in them
_log = logging.getLogger(__name__)


class Repeated:
    """A step that is taken again and again, on a GPU as one graph.

    Args:
        step: reads and writes the same tensors every time; takes no look at numbers.
        device: of these tensors.
        warm: steps before it is recorded, which takes the time of several.
    """

    def __init__(
        self, step: Callable[[], None], device: torch.device, *, warm: int = _WARM
    ) -> None:
        self._step, self._device = step, device
        self._graph: torch.cuda.CUDAGraph | None = None
        self._left = max(_WARM, warm) if device.type == "cuda" else -1

    def __call__(self, times: int) -> None:
        """Take the step so many times."""
        if self._left < 0:
            for _ in range(times):
                self._step()
            return
        with torch.cuda.device(self._device):
            warm = min(times, self._left)
            if warm:
                self._warm(warm)
            self._left -= warm
            if times > warm and self._graph is None:
                self._record()
            for _ in range(times - warm):
                if self._graph is None:
                    self._step()
                else:
                    self._graph.replay()

    def _warm(self, times: int) -> None:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch's
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(times):
                self._step()
        torch.cuda.current_stream().wait_stream(stream)

    def _record(self) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._step()
        except RuntimeError as error:  # an operation of this torch that cannot be recorded
            _log.warning("steps are started one operation at a time: %s", error)
            self._left = -1
            return
        self._graph = graph
