"""A recording as a capture file in the format of Wireshark.

Origin: the IETF draft draft-ietf-opsawg-pcapng, sections 3 and 4; the link type is
that of bare IP packets, https://www.tcpdump.org/linktypes.html.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import pack
from typing import TYPE_CHECKING

from trioproto.sansio.packets import Packet, packets
from trioproto.sansio.recording_text import heading
from trioproto.sansio.tape import Direction

if TYPE_CHECKING:
    from trioproto.sansio.recording import Recording

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_BYTE_ORDER = 0x1A2B3C4D
_UNKNOWN_LENGTH = -1
_LINKTYPE_RAW = 101
_NO_LIMIT = 0

_END_OF_OPTIONS, _COMMENT = 0, 1
_APPLICATION = 4
_NAME = 2
_FLAGS = 2
_WAYS = {Direction.RECEIVED: 1, Direction.SENT: 2}  # inbound and outbound

_MICROSECONDS = 1_000_000

_Options = Iterable[tuple[int, bytes]]


def capture(recording: Recording) -> bytes:
    """Return the file: a section with one interface, and its packets."""
    words = "\n".join(heading(recording)).encode("utf-8", "backslashreplace")
    blocks = [
        _block(
            _SECTION,
            pack("<IHHq", _BYTE_ORDER, 1, 0, _UNKNOWN_LENGTH),
            [(_COMMENT, words), (_APPLICATION, b"trioproto")],
        ),
        _block(_INTERFACE, pack("<HHI", _LINKTYPE_RAW, 0, _NO_LIMIT), [(_NAME, b"plaintext")]),
    ]
    blocks += map(_packet_block, packets(recording))
    return b"".join(blocks)


def _packet_block(packet: Packet) -> bytes:
    ticks = max(0, round(packet.time * _MICROSECONDS))
    size = len(packet.data)
    head = pack("<IIIII", 0, ticks >> 32, ticks & 0xFFFFFFFF, size, size)
    return _block(
        _PACKET, head + _padded(packet.data), [(_FLAGS, pack("<I", _WAYS[packet.direction]))]
    )


def _block(kind: int, body: bytes, options: _Options) -> bytes:
    for code, value in options:
        body += pack("<HH", code, len(value)) + _padded(value)
    body += pack("<HH", _END_OF_OPTIONS, 0)
    size = pack("<I", 12 + len(body))
    return pack("<I", kind) + size + body + size


def _padded(data: bytes) -> bytes:
    """Fill up to a multiple of 32 bits."""
    return data + b"\0" * (-len(data) % 4)
