"""Sphinx, MyST and furo; a warning is an error, and nothing is fetched while building."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, get_origin

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(Path(__file__).parent))

import catalogue  # noqa: E402 - it lies beside this file

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

# Not needed to read what our code says of itself.
autodoc_mock_imports = ["hypothesis", "prometheus_client", "opentelemetry", "pytest"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = ["Returns"]  # as it is written, not as "type: what"

nitpicky = True
# Other projects' names, and our own type variables and aliases, have no page here.
nitpick_ignore_regex = [
    ("py:.*", r"(trio|abc|collections|contextlib|enum|ipaddress|logging|os|pathlib)\..*"),
    ("py:.*", r"(re|socket|ssl|types|typing)\..*"),
    (
        "py:.*",
        r"(.*\.)?(P|Address|BytesLike|CallbackResult|Endpoint|Target|PathLike|Cancelled)",
    ),
    ("py:.*", r"(.*\.)?(Ended|FrameT|Maker|OnTooLong|SearchStrategy|TimeoutName|TLSContext|Width)"),
    ("py:.*", r"(.*\.)?(CollectorRegistry|Meter|Source)"),
    ("py:class", r"AbstractAsyncContextManager|Awaitable|Callable|Iterable|SSLContext"),
    ("py:class", r"pathlib\.Path"),
    ("py:class", r"(.*\.)?(C|F|R|S|S_co|TLSContexts|TLSStream)"),
    ("py:exc", r"(Broken|Busy|Closed)ResourceError|WouldBlock"),
    ("py:class", r"trioproto\.factory\.Connections"),
]
# Where users import from.
PUBLIC = (
    "trioproto",
    "trioproto.errors",
    "trioproto.events",
    "trioproto.framing",
    "trioproto.endpoints",
    "trioproto.layers",
    "trioproto.testing",
    "trioproto.testing.conformance",
    "trioproto.sansio.connection",
    "trioproto.sansio.driver",
    "trioproto.testing.stateful",
)
# Made by the library only: how, is nobody's business.
NOT_MADE_BY_USERS = {
    "trioproto.Transport",
    "trioproto.Server",
    "trioproto.DrainReport",
    "trioproto.DrainedConnection",
    "trioproto.Reconnector",
    "trioproto.TLSInfo",
    "trioproto.Statistics",
    "trioproto.ConnectionInfo",
    "trioproto.Subscription",
    "trioproto.testing.LeftOverError",
    "trioproto.testing.LinkEnd",
    "trioproto.testing.MemoryListener",
    "trioproto.testing.MemoryServer",
    "trioproto.testing.MemoryStream",
    "trioproto.testing.PlainMemoryStream",
    "trioproto.testing.ServeFactory",
    "trioproto.testing.SocketServer",
}


class Table(SphinxDirective):
    """A table made from code: names in the first columns, and words in the last."""

    source: Path
    columns: ClassVar[dict[str, int]]
    """Each column's head, and its width."""
    rows: Callable[[], list[Any]]

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(self.source))
        group = nodes.tgroup("", cols=len(self.columns))
        group += [nodes.colspec(colwidth=width) for width in self.columns.values()]
        head, body = nodes.thead(), nodes.tbody()
        head += row_of([nodes.paragraph(text=name) for name in self.columns])
        for *names, text in self.rows():
            words = nodes.paragraph()
            words += self.parse_inline(text, lineno=self.lineno)[0]
            body += row_of([*map(literal, names), words])
        group += [head, body]
        return [nodes.table("", group)]


class SettingsTable(Table):
    """`settings-table`: the fields of `Settings` with what stands below each."""

    source = catalogue.SETTINGS
    columns: ClassVar = {"name": 20, "default": 12, "what it is": 68}
    rows = staticmethod(catalogue.settings_rows)


class EventsTable(Table):
    """`events-table`: each event, and below it its fields."""

    source = catalogue.EVENTS
    columns: ClassVar = {"event": 20, "class, or field": 20, "what it tells": 60}
    rows = staticmethod(catalogue.events_rows)


class MetricsTable(Table):
    """`metrics-table`: each metric under both its names."""

    source = catalogue.METRICS_TABLE
    columns: ClassVar = {
        "Prometheus": 30,
        "OpenTelemetry": 24,
        "kind": 10,
        "label": 8,
        "what it is": 28,
    }
    rows = staticmethod(catalogue.metrics_rows)


def row_of(cells: list[nodes.paragraph]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", cell) for cell in cells))


def literal(text: str) -> nodes.paragraph:
    return nodes.paragraph("", "", nodes.literal(text=text)) if text else nodes.paragraph()


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
    app.add_directive("events-table", EventsTable)
    app.add_directive("metrics-table", MetricsTable)
    app.connect("autodoc-process-signature", hide_signature)
    app.connect("autodoc-process-docstring", hide_internals, priority=100)  # before napoleon
    app.connect("autodoc-process-bases", show_public_bases)
    app.connect("missing-reference", find_public_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
