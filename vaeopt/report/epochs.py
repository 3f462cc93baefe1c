"""Where a training is: epoch, loss, time per epoch."""

import time

__all__ = ["Epochs"]


class Epochs:
    """The epochs of the trials that train now.

    Args:
        what: the trials, ``trial 3`` or ``trials 4-7``.
    """

    def __init__(self, what: str = "training") -> None:
        self._what = what
        self._first: tuple[int, float] | None = None
        """number and time of the first epoch that ended"""
        self.pieces: list[str] = []
        """what is to be said, the most important first; nothing before the first epoch"""

    def ended(self, epoch: int, epochs: int, loss_nats: float) -> None:
        """An epoch of these trials has ended."""
        now = time.monotonic()
        if self._first is None or epoch <= self._first[0]:  # the next group has begun
            self._first = (epoch, now)
        pieces = [f"{self._what}: epoch {epoch}/{epochs}", f"loss {loss_nats:.4g} nats"]
        passed = epoch - self._first[0]
        if passed:
            pieces.append(f"{(now - self._first[1]) / passed:.3g} s per epoch")
        if epoch == epochs:
            pieces.append("then it is scored")
        self.pieces = pieces
