"""Default filter: every unit is judged by itself, and so is their joint covariance."""

from pydantic import PositiveFloat

from vaeopt.core.types import Collapse, LatentDiagnostics
from vaeopt.stages.latent_filter.base import LatentFilter, log_margin

__all__ = ["Units"]


class Units(LatentFilter, kind="units"):
    """semantics 3.2. A geometric mean would be diluted by healthy units when d > 3."""

    min_variance: PositiveFloat = 0.01
    """V_j below this is narrow"""
    min_snr: PositiveFloat = 1.0
    """a narrow unit with SNR_j below this has collapsed onto its prior"""
    min_kl_nats: PositiveFloat = 0.05
    """KL_j below this: the unit is not used [nats]"""
    min_eigenvalue_ratio: PositiveFloat = 1e-3
    """least over greatest eigenvalue of Cov(z_mean) below this: units depend on each other"""

    def __call__(self, diagnostics: LatentDiagnostics, *, raw_space: bool) -> Collapse:
        """Worst margin over units and tests; every violated test gives a reason."""
        margins: list[float] = []
        reasons: list[str] = []

        def test(margin: float, reason: str) -> None:
            margins.append(margin)
            if margin > 0:
                reasons.append(reason)

        units = zip(diagnostics.variance, diagnostics.snr, diagnostics.kl_nats, strict=True)
        for j, (variance, snr, kl) in enumerate(units, start=1):
            narrow = log_margin(self.min_variance, variance)
            noisy = log_margin(self.min_snr, snr)
            text = f"z{j} is inactive: variance {variance:.2g}, SNR {snr:.2g} (inactive_unit)"
            test(min(narrow, noisy), text)
            text = f"z{j} is unused: KL {kl:.2g} nats < {self.min_kl_nats:g} (inactive_unit)"
            test(log_margin(self.min_kl_nats, kl), text)
            if raw_space:
                text = f"z{j} is narrow: variance {variance:.2g} in raw space (narrow_unit)"
                test(min(narrow, -noisy), text)
        low, high = float(diagnostics.eigenvalues[0]), float(diagnostics.eigenvalues[-1])
        ratio = low / high if high > 0 else 0.0
        text = f"latents depend on each other: eigenvalue ratio {ratio:.2g} (degenerate_cov)"
        test(log_margin(self.min_eigenvalue_ratio, ratio), text)
        return Collapse(margin=max(margins), reasons=tuple(reasons))
