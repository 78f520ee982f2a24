"""Recordings as files in a directory: of all that go wrong, the newest are kept.

They hold what people have sent: only their owner may read them. A peer that
causes errors on purpose can neither fill the disk nor keep the server writing.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from os import PathLike
from pathlib import Path
from time import monotonic
from typing import Literal, TypeAlias

from trioproto.sansio.recording import Recording

logger = logging.getLogger("trioproto")

MOST = 10
"""Files for ends of the same kind in a window."""
WINDOW = 60.0
"""Seconds."""

Form: TypeAlias = Literal["pcapng", "text"]

_SUFFIXES: dict[Form, str] = {"pcapng": "pcapng", "text": "txt"}
_OURS = re.compile(r"traffic-\d{8}T\d{6}\.\d{6}Z-\d+-\d+-\w*\.(pcapng|txt)", re.ASCII)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class TrafficFiles:
    """Writes each recording to a file of its own; for ``TrafficLog(write=...)``.

    A file's name begins with ``traffic-`` and the time, and ends with the kind of
    the connection's end, so that in the order of names the newest is the last.
    Its mode is 0600. Writing blocks for as long as the disk takes.

    Called with a recording, it writes ten files a minute at most for ends of the
    same kind, and logs what it does; an error too, which it never raises.

    Args:
        directory: where to; made with mode 0700 if it is not there.
        form: ``"pcapng"`` for Wireshark, or ``"text"``.
        keep: files that may stand there, those of earlier runs and of other
            processes included: when there is one more, the oldest is removed.
        clock: seconds, for the ten files a minute.

    Raises:
        OSError: the directory cannot be made.
        ValueError: an unknown *form*, or *keep* is below 1.
    """

    def __init__(
        self,
        directory: str | PathLike[str],
        form: Form = "pcapng",
        *,
        keep: int = 100,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        if form not in _SUFFIXES:
            raise ValueError(f'form must be "pcapng" or "text", not {form!r:.100}')
        if keep < 1:
            raise ValueError("keep must be at least 1")
        self._directory = Path(directory)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._form: Form = form
        self._keep = keep
        self._clock = clock
        self._numbers = count(1)
        self._written: dict[str, tuple[float, int]] = {}

    def __call__(self, recording: Recording) -> None:
        """Write a file, if there were not too many lately; log that, or why not."""
        kind = _kind(recording)
        now = self._clock()
        since, written = self._written.get(kind, (now, 0))
        if now - since >= WINDOW:
            since, written = now, 0
        if written == MOST:
            return
        self._written[kind] = since, written + 1
        try:
            path = self.write(recording)
        except OSError as exc:
            problem = exc.strerror or exc
            shown = "traffic with %s cannot be written to %s: %s"
            logger.error(shown, recording.peer, self._directory, problem)
            return
        last = f"; no more of {kind} in this minute" if written + 1 == MOST else ""
        logger.warning("traffic with %s written to %s%s", recording.peer, path, last)

    def write(self, recording: Recording) -> Path:
        """Write a file in any case; return where it is.

        Raises:
            OSError: it cannot be written, or too old ones cannot be removed.
        """
        path = self._directory / self._name(recording)
        if self._form == "pcapng":
            data = recording.to_pcapng()
        else:
            data = recording.to_text().encode("utf-8", "backslashreplace")
        descriptor = os.open(path, _NEW, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        self._remove_oldest(path.name)
        return path

    def _name(self, recording: Recording) -> str:
        now = datetime.now(UTC)
        number, process = next(self._numbers), os.getpid()
        suffix = _SUFFIXES[self._form]
        return f"traffic-{now:%Y%m%dT%H%M%S.%fZ}-{process}-{number}-{_kind(recording)}.{suffix}"

    def _remove_oldest(self, newest: str) -> None:
        names = os.listdir(self._directory)
        others = [name for name in names if name != newest and _OURS.fullmatch(name)]
        for name in sorted(others)[: max(0, len(others) + 1 - self._keep)]:
            (self._directory / name).unlink(missing_ok=True)


def _kind(recording: Recording) -> str:
    """Return the name of the reason's class, as far as a file may have it as its name."""
    name = "" if recording.reason is None else type(recording.reason).__name__
    return re.sub(r"\W", "", name, flags=re.ASCII)[:40]
