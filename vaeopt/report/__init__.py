"""Floor 5: from a study to tables, figures and pages; the only floor that draws.

``tables`` and ``terminal`` are light; ``figures`` and ``page`` import plotly.
"""
