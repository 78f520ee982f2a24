"""Sphinx, MyST and furo; a warning is an error, and nothing is fetched while building."""

from __future__ import annotations

import ast
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any, get_origin

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

REPOSITORY = Path(__file__).parents[1]

project = "trioproto"
author = "The trioproto contributors"
copyright = author  # noqa: A001
with open(REPOSITORY / "pyproject.toml", "rb") as _file:
    release = tomllib.load(_file)["project"]["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"trioproto {release}"

myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = ["Returns"]  # as it is written, not as "type: what"

nitpicky = True
# Other projects' names, and our own type variables and aliases, have no page here.
nitpick_ignore_regex = [
    (
        "py:.*",
        r"(trio|abc|collections|contextlib|enum|ipaddress|os|pathlib|socket|ssl|types|typing)\..*",
    ),
    ("py:.*", r"(.*\.)?(P|Address|BytesLike|CallbackResult|Endpoint|Target|PathLike|Cancelled)"),
    ("py:.*", r"(.*\.)?(FrameT|OnTooLong|SearchStrategy|TimeoutName|TLSContext|Width)"),
    ("py:class", r"Awaitable|Callable|Iterable|SSLContext"),
    ("py:exc", r"ClosedResourceError"),
    ("py:class", r"trioproto\.factory\.Connections"),
]
# Where users import from.
PUBLIC = (
    "trioproto",
    "trioproto.errors",
    "trioproto.framing",
    "trioproto.endpoints",
    "trioproto.layers",
    "trioproto.testing",
)
# Made by the library only: how, is nobody's business.
NOT_MADE_BY_USERS = {
    "trioproto.Transport",
    "trioproto.Server",
    "trioproto.DrainReport",
    "trioproto.Reconnector",
    "trioproto.TLSInfo",
}


class SettingsTable(SphinxDirective):
    """`settings-table`: the fields of `Settings` with what stands below each."""

    def run(self) -> list[nodes.Node]:
        source = REPOSITORY / "trioproto" / "sansio" / "settings.py"
        self.env.note_dependency(str(source))
        rows = [("name", "default", "what it is"), *settings_of(source.read_text("utf-8"))]
        group = nodes.tgroup("", cols=3)
        group += [nodes.colspec(colwidth=width) for width in (20, 12, 68)]
        head, body = nodes.thead(), nodes.tbody()
        for number, (name, default, text) in enumerate(rows):
            words = nodes.paragraph()
            cells: list[nodes.Node] = (
                [nodes.paragraph(text=name), nodes.paragraph(text=default)]
                if number == 0
                else [literal(name), literal(default)]
            )
            words += self.parse_inline(text, lineno=self.lineno)[0]
            row = nodes.row("", *(nodes.entry("", cell) for cell in (*cells, words)))
            (body if number else head).append(row)
        group += [head, body]
        return [nodes.table("", group)]


def literal(text: str) -> nodes.paragraph:
    return nodes.paragraph("", "", nodes.literal(text=text))


def settings_of(source: str) -> list[tuple[str, str, str]]:
    """Read name, default and docstring of each field of the class `Settings`."""
    tree = ast.parse(source)
    body = next(n.body for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Settings")
    found = []
    for field, words in pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and field.value is not None
            and isinstance(words, ast.Expr)
            and isinstance(words.value, ast.Constant)
        ):
            default = ast.unparse(field.value).replace(" * KIB", " KiB").replace(" * MIB", " MiB")
            text = " ".join(str(words.value.value).split()).replace("``", "`")
            found.append((field.target.id, default.replace("'", '"'), text))
    return found


def hide_signature(
    _app: Sphinx, _what: str, name: str, *_rest: object
) -> tuple[str, str | None] | None:
    """Show no constructor where users never call it."""
    return ("", None) if name in NOT_MADE_BY_USERS else None


def hide_internals(
    _app: Sphinx, _what: str, _name: str, _it: object, _options: object, lines: list[str]
) -> None:
    """Leave out the sections of a docstring that are not for users."""
    for index, line in enumerate(lines):
        if line.startswith("Attributes for drivers"):
            end = lines.index("", index) if "" in lines[index:] else len(lines)
            del lines[index:end]
            return


def show_public_bases(
    _app: Sphinx, _name: str, _it: object, _options: object, bases: list[Any]
) -> None:
    """In the place of a base that users cannot import, show the next one that they can."""
    for index, base in enumerate(bases):
        kind = get_origin(base) or base
        if kind.__module__.startswith("trioproto") and not is_public(kind):
            bases[index] = next(filter(is_public, kind.__mro__), object)


def is_public(kind: type) -> bool:
    return any(getattr(sys.modules.get(place), kind.__name__, None) is kind for place in PUBLIC)


def find_public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.TextElement
) -> nodes.reference | None:
    """Lead `trioproto.sansio.settings.Settings` to where users import `Settings` from."""
    target = node.get("reftarget", "")
    name = target.rpartition(".")[2]
    domain = env.domains.python_domain
    for place in PUBLIC:
        if f"{place}.{name}" in domain.objects and target != f"{place}.{name}":
            return domain.resolve_xref(
                env, node["refdoc"], app.builder, "obj", f"{place}.{name}", node, text
            )
    return None


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("settings-table", SettingsTable)
    app.connect("autodoc-process-signature", hide_signature)
    app.connect("autodoc-process-docstring", hide_internals, priority=100)  # before napoleon
    app.connect("autodoc-process-bases", show_public_bases)
    app.connect("missing-reference", find_public_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
