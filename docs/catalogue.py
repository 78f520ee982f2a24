"""The rows of the docs' tables, read from the code: from its values, and from its text.

Sphinx is not needed here, so that tests can hold the tables to the code.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from trioproto import events
from trioproto.monitoring.metrics import DURATIONS, METRICS

PACKAGE = Path(__file__).parents[1] / "trioproto"
SETTINGS = PACKAGE / "sansio" / "settings.py"
EVENTS = PACKAGE / "sansio" / "events.py"
METRICS_TABLE = PACKAGE / "monitoring" / "metrics.py"


def settings_rows() -> list[tuple[str, str, str]]:
    """Name, default and docstring of each field of the class `Settings`."""
    rows = []
    for field, words in documented(classes_of(SETTINGS)["Settings"]):
        assert field.value is not None
        default = ast.unparse(field.value).replace(" * KIB", " KiB").replace(" * MIB", " MiB")
        rows.append((ast.unparse(field.target), default.replace("'", '"'), words))
    return rows


def events_rows() -> list[tuple[str, str, str]]:
    """Each event: its name, its class and what it tells; below it, nameless, its fields."""
    classes = classes_of(EVENTS)
    rows = []
    for event in events.EVENTS:
        rows.append((event.name, event.__name__, in_a_line(event.__doc__ or "")))
        for kind in reversed(event.__mro__):
            if kind.__name__ in classes:
                rows += [
                    ("", ast.unparse(field.target), words)
                    for field, words in documented(classes[kind.__name__])
                ]
    return rows


def metrics_rows() -> list[tuple[str, str, str, str, str]]:
    """Both names of each metric, its kind, its label and what it is."""
    return [
        (each.prometheus, each.opentelemetry, each.kind, each.label or "", each.text)
        for each in METRICS
    ] + [(each.prometheus, each.opentelemetry, "histogram", "", each.text) for each in DURATIONS]


def classes_of(source: Path) -> dict[str, ast.ClassDef]:
    tree = ast.parse(source.read_text("utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def documented(kind: ast.ClassDef) -> Iterator[tuple[ast.AnnAssign, str]]:
    """Find the fields of a class that have a docstring, and what it says."""
    for field, words in pairwise(kind.body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(words, ast.Expr)
            and isinstance(words.value, ast.Constant)
        ):
            yield field, in_a_line(str(words.value.value))


def in_a_line(text: str) -> str:
    return " ".join(text.split()).replace("``", "`")
