"""A recording as lines for people to read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from string import printable
from typing import TYPE_CHECKING

from trioproto.sansio.errors import ConnectionClosed

if TYPE_CHECKING:
    from trioproto.sansio.recording import Piece, Recording

_WIDTH = 72
"""Bytes of text in a line, at most."""
_ROW = 16
"""Bytes in a row of a hexadecimal dump."""
_PRINTABLE = printable.encode()


def transcript(recording: Recording) -> str:
    """Show all of *recording*."""
    lines = [f"# {line}" for line in heading(recording)]
    for piece in recording.pieces:
        start = f"{piece.time - recording.began:+.6f} {piece.direction.value} "
        lines += (start + line for line in _shown(piece))
    return "\n".join(lines) + "\n"


def heading(recording: Recording) -> Iterator[str]:
    """Say whose recording it is, a line for each fact."""
    by = "accepted" if recording.accepted else "made"
    yield _in_one_line(f"connection with {recording.peer}, {by} at {recording.local}")
    yield f"began {datetime.fromtimestamp(recording.began, UTC):%Y-%m-%d %H:%M:%S.%f} UTC"
    if recording.received_before or recording.sent_before:
        received, sent = recording.received_before, recording.sent_before
        yield f"not kept: {received} bytes received and {sent} sent before these"
    if recording.reason is not None:
        yield _in_one_line(f"ended by {_told(recording.reason)}")


def _told(reason: ConnectionClosed) -> str:
    """Say what a reason means, but not its text where that shows what the peer has sent."""
    told = type(reason).__name__
    words = getattr(reason, "problem", None) or str(reason)
    if words:
        told += f": {words}"
    if reason.__cause__ is not None:
        told += f", because of {type(reason.__cause__).__name__}"
    return told


def _in_one_line(text: str) -> str:
    return text if text.isprintable() else ascii(text)


def _shown(piece: Piece) -> Iterator[str]:
    data = piece.data
    if 4 * len(data.translate(None, _PRINTABLE)) <= len(data):
        for line in data.splitlines(keepends=True):
            for start in range(0, len(line), _WIDTH):
                yield repr(line[start : start + _WIDTH])
        return
    for start in range(0, len(data), _ROW):
        row = data[start : start + _ROW]
        letters = "".join(chr(each) if 32 <= each < 127 else "." for each in row)
        yield f"{start:06x}  {row.hex(' '):{3 * _ROW - 1}}  |{letters}|"
