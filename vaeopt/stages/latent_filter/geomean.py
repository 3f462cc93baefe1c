"""One threshold for the geometric mean of the variances."""

from pydantic import PositiveFloat

from vaeopt.core.types import Collapse, LatentDiagnostics
from vaeopt.stages.latent_filter.base import LatentFilter, log_margin

__all__ = ["Geomean"]


class Geomean(LatentFilter, kind="geomean"):
    """semantics 3.3: (prod V_j)^(1/d); diluted by healthy units when d > 3."""

    minimum: PositiveFloat = 0.1
    """least geometric mean of the variances"""

    def __call__(self, diagnostics: LatentDiagnostics, *, raw_space: bool) -> Collapse:
        """Margin of the geometric mean."""
        score = diagnostics.variance_geomean
        margin = log_margin(self.minimum, score)
        text = f"geometric mean of the variances {score:.2g} < {self.minimum:g} (collapsed)"
        return Collapse(margin=margin, reasons=(text,) if margin > 0 else ())
