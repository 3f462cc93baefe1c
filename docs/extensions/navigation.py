"""The order of the pages: written once, here, so that pages stay plain Markdown.

Code hosts show a table of contents of Sphinx as a block of code; so index.md gets it when the site
is built. A page that stands in no section is a warning, and warnings end the build.
"""

from sphinx.application import Sphinx

SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Start", ("quick-start", "tutorial")),
    (
        "Guide",
        (
            "micrograph",
            "datasets",
            "keypoints",
            "patches",
            "vae",
            "latent_filter",
            "density_filter",
            "mixture",
            "rewards",
            "study",
            "study-file",
            "figures",
            "dashboard",
            "terminal",
        ),
    ),
    (
        "How to",
        (
            "how-to/my-own-reward",
            "how-to/my-own-detector",
            "plugins",
            "how-to/resume",
            "how-to/several-objectives",
            "how-to/choose-an-invariance",
            "how-to/trust-a-result",
            "how-to/next-image",
            "how-to/run-on-a-gpu",
            "gpu",
            "how-to/run-on-a-cluster",
            "cluster",
        ),
    ),
    (
        "Science",
        (
            "science/choosing-components",
            "science/invariance",
            "science/collapse",
            "science/window-and-scale",
            "science/noise",
            "science/overlap",
            "truth",
            "benchmarks-truth",
            "pzt-paper",
        ),
    ),
    (
        "Reference",
        (
            "reference/python",
            "reference/command-line",
            "reference/settings",
            "reference/plug-ins",
            "reference/types",
            "semantics",
            "notation",
            "references",
        ),
    ),
    ("Project", ("benchmarks", "benchmarks-gpu", "architecture", "changelog")),
)
BELOW: dict[str, tuple[str, ...]] = {
    "rewards": (
        "rewards/mixture-criteria",
        "rewards/information",
        "rewards/validity",
        "rewards/bayesian",
        "rewards/composite",
    ),
}


def _toctree(pages: tuple[str, ...], found: set[str], here: str, caption: str = "") -> str:
    lines = ["", "```{toctree}", ":hidden:", *([f":caption: {caption}"] if caption else []), ""]
    return "\n".join([*lines, *(f"/{page}" for page in pages if page in found), "```", ""])


def _add(app: Sphinx, page: str, source: list[str]) -> None:
    found = app.env.found_docs
    if page == "index":
        for caption, pages in SECTIONS:
            source[0] += _toctree(pages, found, page, caption)
    elif page in BELOW:
        source[0] += _toctree(BELOW[page], found, page)


def setup(app: Sphinx) -> dict[str, bool]:
    """Put the tables of contents under index.md and under pages that have others below them."""
    app.connect("source-read", _add)
    return {"parallel_read_safe": True}
