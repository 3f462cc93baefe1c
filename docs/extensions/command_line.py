"""The directive ``command-line``: every verb with its options, from the words themselves."""

import argparse

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.parsing import nested_parse_to_nodes

from vaeopt.cli.words import parser


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("*", "\\*").replace("`", "\\`").replace("|", "\\|")


def _option(action: argparse.Action) -> list[str]:
    """One word or option as reStructuredText."""
    metavar = action.metavar or (action.dest.upper() if action.nargs != 0 else "")
    names = action.option_strings or [""]
    shown = ", ".join(f"{name} {metavar}".strip() for name in names)
    default = ""
    if action.option_strings and action.default not in (None, False, argparse.SUPPRESS, []):
        known = "default" in (action.help or "")
        default = "" if known else f" (default: {action.default})"
    return [f".. option:: {shown}", "", f"   {_escaped((action.help or '') + default)}", ""]


def verbs() -> dict[str, argparse.ArgumentParser]:
    """Parsers by verb, in the order of the help."""
    (found,) = (a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(found.choices)


class CommandLine(SphinxDirective):
    """All verbs."""

    def run(self) -> list[nodes.Node]:
        """One section per verb."""
        found: list[nodes.Node] = []
        for verb, words in verbs().items():
            section = nodes.section(ids=[nodes.make_id(f"vaeopt {verb}")], names=[])
            section += nodes.title("", "", nodes.literal("", f"vaeopt {verb}"))
            usage = " ".join(words.format_usage().removeprefix("usage: ").split())
            lines = [
                _escaped(words.description or ""),
                "",
                ".. code-block:: none",
                "",
                f"   {usage}",
            ]
            lines += ["", f".. program:: vaeopt {verb}", ""]
            for action in words._actions:
                if action.dest != "help":
                    lines += _option(action)
            section += nested_parse_to_nodes(self.state, "\n".join(lines))
            found.append(section)
        return found


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True}
