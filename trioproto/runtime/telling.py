"""Lines for people, on a standard stream that may be gone or full: nothing waits for it."""

from __future__ import annotations

import os
import select
from typing import TextIO


class Teller:
    """Says lines on a stream, as long as there is somebody to take them.

    A line that would have to wait, because nobody reads the pipe, is left out.
    When the stream is broken nothing more is said.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._broken = False

    def say(self, *lines: str) -> None:
        """Say each of *lines*, shorter than 4 KiB, at once or not at all."""
        for line in lines:
            if not self._broken and self._takes_more():
                try:
                    print(line, file=self._file, flush=True)
                except (OSError, ValueError):
                    self._broken = True
                    self._forget()

    def _takes_more(self) -> bool:
        """Whether the stream takes a line without waiting, as far as can be told."""
        try:
            poll = select.poll()
            poll.register(self._file.fileno(), select.POLLOUT)
            return bool(poll.poll(0))
        except (AttributeError, OSError, ValueError):
            return True  # it is no file of the system's

    def _forget(self) -> None:
        """Drop what is left in the buffer: at exit it would be an error, and status 120."""
        try:
            fd = self._file.fileno()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, fd)
            os.close(nowhere)
        except (OSError, ValueError):
            pass
