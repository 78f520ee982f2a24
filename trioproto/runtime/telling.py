"""Lines for people, on a standard stream that may be gone or full: nothing waits for it."""

from __future__ import annotations

import os
import select
import sys
from typing import TextIO


class Teller:
    """Says lines on a stream, as far as somebody takes them.

    Lines go past the stream's buffer, so that nothing of ours is left in it: what
    the program itself has printed and not flushed may come later. A line that
    would have to wait, because nobody reads the pipe, is left out, and so is one
    that cannot be written at all.

    Args:
        file: ``None``, as ``sys.stdout`` is where a program was started without one:
            nothing is said.
    """

    def __init__(self, file: TextIO | None) -> None:
        self._file = file

    def say(self, *lines: str) -> None:
        """Say each of *lines*, shorter than 4 KiB, at once or not at all."""
        file = self._file
        if file is None:
            return
        fd = _descriptor(file)
        for line in lines:
            try:
                if fd is None:
                    print(line, file=file, flush=True)
                elif _takes_more(fd):
                    os.write(fd, _encoded(line, file))
            except (OSError, ValueError):
                return  # it is gone, or full


def _descriptor(file: TextIO) -> int | None:
    """Return the descriptor of a standard stream that nobody has replaced."""
    if file is not sys.__stdout__ and file is not sys.__stderr__:
        return None
    try:
        return file.fileno()
    except (OSError, ValueError):
        return None


def _encoded(line: str, file: TextIO) -> bytes:
    return (line + "\n").encode(file.encoding or "utf-8", "backslashreplace")


def _takes_more(fd: int) -> bool:
    """Whether a pipe has room for a line; files and terminals always have."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(0))
