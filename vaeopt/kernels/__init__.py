"""Floor 1: pure array functions, no settings and no state.

Each folder holds ``reference.py``, one expression per equation with its source; a ``fast.py`` with
the same names and arguments stands beside it where a benchmark shows that it pays or where
gradients are needed.
"""
