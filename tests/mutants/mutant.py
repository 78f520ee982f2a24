"""One change of the package that breaks it, and how it is written down.

A mutant is a piece of a file as ``diff`` shows it: lines to take away begin with ``-``,
lines to put in with ``+``, those around them with a space. What is to be found has to be
there exactly once: a mutant that no longer fits the code would prove nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from textwrap import dedent

PACKAGE = "trioproto"

THINGS = (
    "deliver after close",
    "lose the tail",
    "double a frame",
    "forget a slot",
    "ignore a deadline",
    "swallow Cancelled",
    "drop a dirty flush",
    "call connection_lost twice",
    "leak a socket on EMFILE",
    "deliver early plaintext after STARTTLS",
)
"""What may go wrong; there is at least one mutant for each."""


class Stale(Exception):
    """A mutant whose place in the code is not there, or not the only one."""

    def __init__(self, mutant: Mutant, times: int) -> None:
        where = f"{times} times in {mutant.path}"
        super().__init__(f"stale: {mutant.name}: what it changes is {where}\n{mutant.old}")


@dataclass(frozen=True)
class Mutant:
    """A change, and who should notice it.

    Args:
        name: without spaces, for the command line.
        thing: which of ``THINGS`` it does.
        breaks: what becomes wrong, in one sentence.
        file: which file of the package it changes.
        change: the lines, indented as one likes.
        tests: files, or single tests, that are most likely to fail.
    """

    name: str
    thing: str
    breaks: str
    file: str
    change: str
    tests: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The file, from the root of the project."""
        return Path(PACKAGE, self.file)

    @cached_property
    def old(self) -> str:
        """The lines that have to be there."""
        return self._lines(" -")

    @cached_property
    def new(self) -> str:
        """The lines that come in their place."""
        return self._lines(" +")

    def applied(self, text: str) -> str:
        """Return the text of the file with the change made.

        Raises:
            Stale: what is to be changed is not there exactly once.
        """
        places = re.finditer(f"^{re.escape(self.old)}", text, re.MULTILINE)
        begins = [place.start() for place in places]
        if len(begins) != 1:
            raise Stale(self, len(begins))
        begin = begins[0]
        return text[:begin] + self.new + text[begin + len(self.old) :]

    def _lines(self, marks: str) -> str:
        lines = dedent(self.change).strip("\n").splitlines()
        return "".join(f"{line[1:]}\n" for line in lines if (line[:1] or " ") in marks)
