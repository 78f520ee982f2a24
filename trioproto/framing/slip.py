"""SLIP: packets between END bytes, as on serial lines."""

from __future__ import annotations

from collections.abc import Iterator

from trioproto.framing.over_lines import OverLinesCodec
from trioproto.framing.strings import MAX_LENGTH
from trioproto.sansio.errors import FrameTooLong, MalformedFrame

END = b"\xc0"
ESCAPE = b"\xdb"
_ESCAPED_END = b"\xdb\xdc"
_ESCAPED_ESCAPE = b"\xdb\xdd"


class SlipCodec(OverLinesCodec[bytes]):
    """Packets that end with an END byte; END and ESC inside them are escaped.

    Empty packets are dropped, as an END before a packet is usual: it ends what
    noise there was.

    Args:
        max_length: bytes that a packet may have, unescaped. Escaped it may
            have twice as many, and only above that is an unfinished one refused.

    Raises:
        ValueError: *max_length* is below 0.

    Origin: RFC 1055.
    """

    def __init__(self, *, max_length: int = MAX_LENGTH) -> None:
        super().__init__(END, max_length=2 * max_length)
        self.max_length = max_length

    def encode(self, frame: bytes) -> bytes:
        """Return *frame* escaped, with an END after it.

        Raises:
            ValueError: *frame* is empty: it would be dropped.
        """
        if not frame:
            raise ValueError("an empty packet cannot be sent")
        escaped = frame.replace(ESCAPE, _ESCAPED_ESCAPE).replace(END, _ESCAPED_END)
        return escaped + END

    def _decode(self, line: bytes) -> Iterator[bytes]:
        if not line:
            return
        plain = line
        if ESCAPE in line:
            first, *rest = line.split(ESCAPE)
            offset = len(first)
            pieces = [first]
            for piece in rest:
                byte = {0xDC: END, 0xDD: ESCAPE}.get(piece[0] if piece else -1)
                if byte is None:
                    problem = "no such escape"
                    raise MalformedFrame(problem, offset, ESCAPE + piece[:1])
                pieces += [byte, piece[1:]]
                offset += 1 + len(piece)
            plain = b"".join(pieces)
        if len(plain) > self.max_length:
            raise FrameTooLong(self.max_length, begun=plain)
        yield plain
