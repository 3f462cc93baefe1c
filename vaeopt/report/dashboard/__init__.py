"""optuna-dashboard with our figures and a note saved into the study.

``serve`` is the verb; ``cards`` are the figures as the dashboard stores them, ``refresh`` keeps
them up to date, ``note`` and ``glossary`` say in words what the page shows, ``corrections`` and
``readable`` put right what the dashboard itself gets wrong.
"""

from vaeopt.report.dashboard.server import serve

__all__ = ["serve"]
