"""The order of the package's parts, read from its imports.

Each part imports itself and the parts before it. The pure parts need the
standard library only, and of that neither sockets nor anything that waits.
Nothing is imported here: the files are parsed.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = "trioproto"
ROOT = Path(__file__).parent.parent / PACKAGE
PURE = ("sansio", "framing", "layers", "factory")
PARTS = (*PURE, "endpoints", "runtime", "monitoring", "testing", "pytest_plugin", "__main__")
# Modules beside the parts, that only show the parts' names to the user, and what they may show.
# No part may import them.
WINDOWS = {
    "__init__": ("errors", "events", *PARTS[: PARTS.index("monitoring")]),
    "errors": ("sansio",),
    "events": ("sansio",),
}
# Type checkers bring it along, so an import for them only needs nothing installed.
FOR_CHECKERS = "typing_extensions"
WAITING = frozenset({"asyncio", "select", "selectors", "socket", "socketserver", "ssl.SSLSocket"})


@dataclass(frozen=True)
class Import:
    """One name that a module imports."""

    target: str
    line: int
    typing_only: bool


class ImportReader(ast.NodeVisitor):
    """Collects what a module imports, also inside functions."""

    def __init__(self, module: str, is_package: bool) -> None:
        self.base = module.split(".") if is_package else module.split(".")[:-1]
        self.found: list[Import] = []
        self.typing_only = False

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.found.append(Import(alias.name, node.lineno, self.typing_only))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        parents = self.base[: len(self.base) - node.level + 1] if node.level else []
        source = ".".join([*parents, *([node.module] if node.module else [])])
        for alias in node.names:
            self.found.append(Import(f"{source}.{alias.name}", node.lineno, self.typing_only))

    def visit_If(self, node: ast.If) -> None:
        outer, self.typing_only = (
            self.typing_only,
            ast.unparse(node.test)
            in (
                "TYPE_CHECKING",
                "typing.TYPE_CHECKING",
            ),
        )
        for child in node.body:
            self.visit(child)
        self.typing_only = outer
        for child in node.orelse:
            self.visit(child)


class Layering:
    """The modules of a package's folder, and what is wrong with their imports."""

    def __init__(self, root: Path) -> None:
        self.imports: dict[str, list[Import]] = {}
        for path in sorted(root.rglob("*.py")):
            parts = [PACKAGE, *path.relative_to(root).with_suffix("").parts]
            is_package = parts[-1] == "__init__"
            module = ".".join(parts[:-1] if is_package else parts)
            reader = ImportReader(module, is_package)
            reader.visit(ast.parse(path.read_text(encoding="utf-8")))
            self.imports[module] = reader.found

    def module_of(self, target: str) -> str | None:
        """The module of this package that an imported name means, or lies in."""
        while target not in self.imports and "." in target:
            target = target.rpartition(".")[0]
        return target if target in self.imports else None

    def problems(self) -> list[str]:
        return [*self.strangers(), *self.wrong_order(), *self.impure(), *self.cycles()]

    def strangers(self) -> Iterator[str]:
        for part in sorted({part_of(module) for module in self.imports}):
            if part not in PARTS and part not in WINDOWS:
                yield f"{PACKAGE}.{part} is no part that the order knows"

    def wrong_order(self) -> Iterator[str]:
        for module, imports in self.imports.items():
            allowed = may_import(part_of(module))
            for item in imports:
                target = self.module_of(item.target)
                if target is not None and part_of(target) not in allowed:
                    yield f"{module}:{item.line} may not import {target}"

    def impure(self) -> Iterator[str]:
        for module, imports in self.imports.items():
            if part_of(module) not in PURE:
                continue
            for item in imports:
                top = item.target.partition(".")[0]
                if item.typing_only and top == FOR_CHECKERS:
                    continue
                if top != PACKAGE and top not in sys.stdlib_module_names:
                    yield f"{module}:{item.line} is pure and imports {top}"
                if top in WAITING or item.target in WAITING:
                    yield f"{module}:{item.line} is pure and imports {item.target}"

    def cycles(self) -> Iterator[str]:
        graph: dict[str, set[str]] = {}
        for module, imports in self.imports.items():
            targets = {self.module_of(i.target) for i in imports if not i.typing_only}
            graph[module] = {t for t in targets if t is not None and t != module}
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            yield "cycle: " + " -> ".join(reversed(error.args[1]))


def part_of(module: str) -> str:
    """`sansio` of `trioproto.sansio.transport`; `__init__` of `trioproto` itself."""
    return module.split(".")[1] if "." in module else "__init__"


def may_import(part: str) -> tuple[str, ...]:
    if part in WINDOWS:
        return WINDOWS[part]
    return PARTS[: PARTS.index(part) + 1] if part in PARTS else ()


def test_imports_go_one_way_and_pure_parts_stay_pure() -> None:
    """No part imports a later one, no cycle, and no trio or socket where it is pure."""
    layering = Layering(ROOT)
    assert set(PARTS[:2]) <= {part_of(module) for module in layering.imports}
    assert layering.problems() == []


GOOD = {
    "__init__.py": "from trioproto.factory import Factory\nfrom trioproto import errors\n",
    "errors.py": "from trioproto.sansio.errors import Lost\n",
    "sansio/__init__.py": "",
    "sansio/errors.py": "class Lost(Exception): ...\n",
    "sansio/core.py": "import ssl\nfrom . import errors\n",
    "factory.py": "from trioproto.sansio import core\n",
    "runtime/__init__.py": "import trio, socket\nfrom ..factory import Factory\n",
    "__main__.py": "import trioproto.runtime\n",
}


def problems_of(folder: Path, **planted: str) -> list[str]:
    root = folder / PACKAGE
    for name, text in {**GOOD, **planted}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Layering(root).problems()


def test_checker_accepts_a_good_tree(tmp_path: Path) -> None:
    """The tree that the next test spoils has nothing to complain about."""
    assert problems_of(tmp_path) == []


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("sansio/core.py", "import trio\n", "trioproto.sansio.core:1 is pure and imports trio"),
        ("sansio/core.py", "def f():\n    from trio import sleep\n", ":2 is pure and imports trio"),
        (
            "sansio/core.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import trio.abc\n",
            ":3 is pure and imports trio",
        ),
        ("factory.py", "import attrs\n", "trioproto.factory:1 is pure and imports attrs"),
        ("factory.py", "import typing_extensions\n", "is pure and imports typing_extensions"),
        ("factory.py", "import socket\n", "is pure and imports socket"),
        ("layers/tls.py", "from ssl import SSLSocket\n", "is pure and imports ssl.SSLSocket"),
        ("layers/tls.py", "import selectors\n", "is pure and imports selectors"),
        ("sansio/core.py", "import trioproto.factory\n", "may not import trioproto.factory"),
        ("sansio/core.py", "from ..runtime import x\n", "may not import trioproto.runtime"),
        ("sansio/core.py", "from trioproto import Factory\n", "may not import trioproto"),
        (
            "sansio/core.py",
            "from trioproto.errors import Lost\n",
            "may not import trioproto.errors",
        ),
        ("__init__.py", "import trioproto.__main__\n", "may not import trioproto.__main__"),
        ("sansio/errors.py", "from trioproto.sansio import core\n", "cycle: "),
        ("helpers.py", "", "trioproto.helpers is no part that the order knows"),
    ],
)
def test_checker_finds_a_planted_violation(
    tmp_path: Path, file: str, text: str, problem: str
) -> None:
    """Each kind of wrong import is reported, with its place."""
    found = problems_of(tmp_path, **{file: text})
    assert any(problem in line for line in found), found


def test_checker_lets_annotations_close_a_circle(tmp_path: Path) -> None:
    """An import for type checkers only makes no cycle."""
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import core\n"
    assert problems_of(tmp_path, **{"sansio/errors.py": text}) == []
