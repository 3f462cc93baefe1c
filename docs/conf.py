"""The documentation site: Sphinx builds it from the Markdown pages of this folder."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "extensions"), str(HERE.parent)]

from vaeopt import __version__  # noqa: E402  # found by the line above

project = "vaeopt"
author = "The vaeopt developers"
copyright = author
version = release = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "command_line",
    "math_in_page",
    "navigation",
    "other_files",
    "settings_tables",
]
exclude_patterns = ["extensions", "tutorial.md"]  # the source of tutorial.ipynb
nitpicky = True
nitpick_ignore_regex = [
    # Other packages: their pages would have to be fetched.
    (
        r"py:.*",
        r"(abc|annotated_types|collections|concurrent|go|h5py|np|numpy|optuna|pandas|pathlib|pd|"
        r"plotly|pydantic|pydantic_core|torch|types|typing|NoneType|Ge|Le|FieldInfo)\b.*",
    ),
    # Sphinx reads a tuple of a class that is named before it is defined as one word.
    (r"py:class", r"tuple\[~.*"),
]

# ---- Markdown ----------------------------------------------------------------------------------
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4  # links to headings, as code hosts make them
nb_execution_mode = "off"  # notebooks are stored with their output
highlight_language = "none"  # blocks without a language are formulas
html_math_renderer = "mathml"  # drawn by the browser: no script, no network

# ---- reference ---------------------------------------------------------------------------------
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False
toc_object_entries_show_parents = "hide"

# ---- look --------------------------------------------------------------------------------------
html_theme = "furo"
html_title = f"vaeopt {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_show_search_summary = False  # fetched page by page, which files on a disk are not
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
