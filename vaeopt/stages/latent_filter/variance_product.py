"""The paper's filter: one threshold for the product of the variances (equation 2)."""

from pydantic import PositiveFloat

from vaeopt.core.types import Collapse, LatentDiagnostics
from vaeopt.stages.latent_filter.base import LatentFilter, log_margin

__all__ = ["VarianceProduct"]


class VarianceProduct(LatentFilter, kind="variance-product", aliases=("paper",)):
    """prod V_j against a threshold meant for two latents; does not compare across dimensions."""

    minimum: PositiveFloat = 0.05
    """least product of the variances"""

    def __call__(self, diagnostics: LatentDiagnostics, *, raw_space: bool) -> Collapse:
        """Margin of the product."""
        score = diagnostics.variance_product
        margin = log_margin(self.minimum, score)
        text = f"product of the variances {score:.2g} < {self.minimum:g} (collapsed)"
        return Collapse(margin=margin, reasons=(text,) if margin > 0 else ())
