"""The report of a study as one HTML page."""

from vaeopt.report.page.files import check_png
from vaeopt.report.page.page import write_report

__all__ = ["check_png", "write_report"]
