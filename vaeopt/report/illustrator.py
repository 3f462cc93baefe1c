"""Draws trials for the study floor: every picture by itself, so that one may fail alone."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from vaeopt.core.types import WorkflowRun
from vaeopt.study.illustration import Drawn, Subject, reason

if TYPE_CHECKING:
    from vaeopt.report.pictures.canvas import Canvas

__all__ = ["Pictures"]


class Pictures:
    """An illustrator. Matplotlib is imported with the first picture."""

    def pictures(self, run: WorkflowRun) -> Drawn:
        """All pictures of a run, as far as they can be drawn."""
        drawn: dict[str, bytes] = {}
        failed: dict[str, str] = {}
        for name, draw in _painters().items():
            try:
                drawn[name] = draw(run).png()
            except Exception as error:
                failed[name] = reason(error)
        return Drawn(drawn, failed)

    def note(self, subject: Subject) -> str:
        """What was done and found, in GitHub's Markdown."""
        from vaeopt.report.pictures.note import note

        return note(subject)


def _painters() -> "Mapping[str, Callable[[WorkflowRun], Canvas]]":
    from vaeopt.report.pictures import PAINTERS

    return PAINTERS
