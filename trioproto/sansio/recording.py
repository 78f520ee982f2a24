"""What was taken from a tape: a value that can be shown, kept and written."""

from __future__ import annotations

from dataclasses import dataclass

from trioproto.sansio.addresses import Address
from trioproto.sansio.errors import ConnectionClosed
from trioproto.sansio.pcapng import capture
from trioproto.sansio.recording_text import transcript
from trioproto.sansio.tape import Direction


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that passed at once.

    Attributes:
        time: when, in seconds since 1970 (UTC).
        direction: which way.
        data: the bytes, at least one.
    """

    time: float
    direction: Direction
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """The last bytes of a connection, without TLS, as they were when this was taken.

    Attributes:
        peer: the other side's address.
        local: our own.
        accepted: whether the peer has made the connection, and not we.
        began: when it began, in seconds since 1970 (UTC).
        pieces: what is kept, the oldest first.
        received_before: bytes received before these, and no longer kept.
        sent_before: the same of those sent.
        reason: why the connection ends or has ended, or ``None``.
    """

    peer: Address
    local: Address
    accepted: bool
    began: float
    pieces: tuple[Piece, ...]
    received_before: int = 0
    sent_before: int = 0
    reason: ConnectionClosed | None = None

    def to_text(self) -> str:
        """Return lines for people: when, ``<`` received or ``>`` sent, and what.

        A few lines that begin with ``#`` say whose connection it was. What looks
        like text is shown as Python writes ``bytes``, a line for each of its
        own; anything else in hexadecimal.
        """
        return transcript(self)

    def to_pcapng(self) -> bytes:
        """Return a capture file for Wireshark and its kin.

        TCP segments are made up around the bytes, with the addresses as far as
        they are known, and numbers and checksums that are right.

        Origin: the IETF draft draft-ietf-opsawg-pcapng.
        """
        return capture(self)
