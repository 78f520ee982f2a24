"""A copy of the project, in which a file may be broken and tests be run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import trio

from . import places
from .mutant import PACKAGE, Mutant
from .outcome import Outcome, read
from .witness import WITNESS

ROOT = Path(__file__).parents[2]
_FILES = ("pyproject.toml", "noxfile.py", "README.md", "CHANGELOG.md", "LICENSE")
_PARTS = (PACKAGE, "tests", "examples", "docs", ".ci", *_FILES)
"""The project, without what was made of it; the tests look at the documents too."""
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "_build", ".hypothesis")

_START = 120.0
"""Seconds in which pytest has to have collected the tests."""
_WATCHED_EACH = 0.5
"""Seconds between two looks at what a run has reported."""
_LAST_WORDS = 2000
"""Characters of pytest's output that are shown when it did not get to the tests."""


class Copy:
    """One copy; one run at a time.

    Args:
        place: a folder for it, which need not exist.
        of: the project.
    """

    def __init__(self, place: Path, of: Path = ROOT) -> None:
        self.root = place / "project"
        self._witness = place / "witness"
        self._output = place / "output"
        self._temporary = place / "tmp"
        self.root.mkdir(parents=True)
        for part in _PARTS:
            source, target = of / part, self.root / part
            if source.is_dir():
                shutil.copytree(source, target, ignore=_LEFT_OUT)
            elif source.exists():
                shutil.copy2(source, target)
        self._write_rules()

    def _write_rules(self) -> None:
        """Have each rule of the conformance suite in a file, so that it can be run alone."""
        (self.root / places.RULES).mkdir()
        for rule in (self.root / places.SUITE).glob("[!_]*.py"):
            file = self.root / places.rule(rule.stem)
            file.write_text(places.text_of_rule(rule.stem), encoding="utf-8")

    @contextmanager
    def broken_by(self, mutant: Mutant) -> Iterator[None]:
        """Have the copy broken during a block.

        Raises:
            Stale: the mutant does not fit the code.
        """
        file = self.root / mutant.path
        sound = file.read_text(encoding="utf-8")
        self._write(file, mutant.applied(sound))
        try:
            yield
        finally:
            self._write(file, sound)

    async def run(self, arguments: Sequence[str], *, stall: float, limit: float) -> Outcome:
        """Run pytest in the copy, up to the first failure.

        Args:
            arguments: tests, and options.
            stall: seconds without any news after which the running test has hung,
                once the tests have been collected.
            limit: seconds for all of it.

        Raises:
            NotTheCopy: it has tested another package.
        """
        self._witness.unlink(missing_ok=True)
        began_at = trio.current_time()
        status: int | None = None
        with trio.move_on_after(_START) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch, scope, stall, began_at + limit)
                status = await self._pytest(arguments)
                nursery.cancel_scope.cancel()
        seconds = trio.current_time() - began_at
        said = self._output.read_text(encoding="utf-8", errors="replace")[-_LAST_WORDS:]
        if status is None:
            said = f"not done after {limit:g} s" if seconds >= limit else ""
        return read(self._witness, self.root, status, said, seconds=seconds)

    async def _pytest(self, arguments: Sequence[str]) -> int:
        """Run pytest, and return its status; if cancelled, end it and what it has started."""
        own = ["-x", "-q", "-p", "tests.mutants.witness", "-p", "no:cacheprovider"]
        own.append(f"--basetemp={self._temporary}")
        with open(self._output, "wb") as output:
            process = await trio.lowlevel.open_process(
                [sys.executable, "-m", "pytest", *own, *arguments],
                cwd=self.root,
                env=self._environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                with trio.CancelScope(shield=True):
                    await process.wait()

    async def _watch(self, scope: trio.CancelScope, stall: float, end: float) -> None:
        """Put the end of *scope* off as long as there is news."""
        size = 0
        while True:
            await trio.sleep(min(_WATCHED_EACH, stall / 2))
            now = self._witness.stat().st_size if self._witness.exists() else 0
            if now != size:
                size = now
                scope.deadline = min(end, trio.current_time() + stall)

    def _environment(self) -> dict[str, str]:
        """Have the copy imported, and not what is installed."""
        paths = [str(self.root), *filter(None, [os.environ.get("PYTHONPATH")])]
        own = {"PYTHONPATH": os.pathsep.join(paths), WITNESS: str(self._witness)}
        env = {**os.environ, "PYTEST_ADDOPTS": "", **own}
        env.pop("PYTHONPYCACHEPREFIX", None)  # what is compiled lies where `_write` looks for it
        return env

    def _write(self, file: Path, text: str) -> None:
        """Write a file, and see that it is compiled anew, within the same second too."""
        file.write_text(text, encoding="utf-8")
        for compiled in file.parent.glob(f"__pycache__/{file.stem}.*"):
            compiled.unlink()
