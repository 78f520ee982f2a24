"""What the tests of PROXY headers share: examples, random headers, and a codec of them.

The codec takes one header after the other, so that everything that is asked of codecs is asked of
the decoder, too.
"""

from __future__ import annotations

import string
from collections.abc import Iterator

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from trioproto.errors import IncompleteFrame, MalformedFrame, ProxyHeaderError
from trioproto.framing import Codec
from trioproto.layers.proxy_header import MAX_LENGTH, ProxyHeader, ProxyHeaderDecoder, Transport
from trioproto.sansio.addresses import Address, TCPAddress, UnixAddress

SIGNATURE = bytes.fromhex("0D0A0D0A000D0A515549540A")

CLIENT = TCPAddress("192.168.0.1", 56324)
SERVER = TCPAddress("192.168.0.11", 443)
TCP4 = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"
BINARY_TCP4 = SIGNATURE + bytes.fromhex("21 11 000C C0A80001 C0A8000B DC04 01BB")


def binary(codes: bytes, block: bytes = b"", *, length: int | None = None) -> bytes:
    """Make a header of version 2, right or wrong."""
    length = len(block) if length is None else length
    return SIGNATURE + codes + length.to_bytes(2, "big") + block


def read(data: bytes) -> ProxyHeader:
    """Return the header of which *data* is the whole."""
    decoder = ProxyHeaderDecoder()
    header = decoder.feed(data)
    assert header is not None
    assert decoder.rest == b""
    return header


class HeaderCodec(Codec[ProxyHeader]):
    """Headers one after the other. An error counts from the start of its own header."""

    def __init__(self, max_length: int = MAX_LENGTH) -> None:
        self.max_length = max_length
        self._decoder = ProxyHeaderDecoder(max_length=max_length)
        self._begun = bytearray()  # what the decoder has of a header
        self._waiting = bytearray()

    def feed(self, data: bytes) -> None:
        if self.error is None:
            self._waiting += data

    def frames(self) -> Iterator[ProxyHeader]:
        if self.error is not None:
            raise self.error.with_traceback(None)
        while self._waiting:
            data = self._take_waiting()
            header = self._feed(data)
            if header is None:
                self._begun += data
            else:
                rest = self._decoder.rest
                self._decoder = ProxyHeaderDecoder(max_length=self.max_length)
                self._begun.clear()
                self._waiting[:0] = rest
                yield header

    def take_rest(self) -> bytes:
        self._decoder = ProxyHeaderDecoder(max_length=self.max_length)
        rest = bytes(self._begun + self._waiting)
        self._begun.clear()
        self._waiting.clear()
        return rest

    @property
    def pending(self) -> int:
        assert self._decoder.pending == len(self._begun)
        return len(self._begun) + len(self._waiting)

    def encode(self, frame: ProxyHeader) -> bytes:
        return frame.encode()

    def check_end(self) -> None:
        if self.pending:
            raise IncompleteFrame(self.pending)

    def _take_waiting(self) -> bytes:
        data = bytes(self._waiting)
        self._waiting.clear()
        return data

    def _feed(self, data: bytes) -> ProxyHeader | None:
        try:
            return self._decoder.feed(data)
        except ProxyHeaderError as error:
            assert self._decoder.pending == 0
            self._begun.clear()
            self.error = MalformedFrame(error.problem, error.offset, error.found)
            raise self.error from None


def malformed(offset: int, found: bytes) -> MalformedFrame:
    """What the codec makes of an error there, whatever its words are."""
    return MalformedFrame("", offset, found)


PORTS = st.integers(0, 65535)
TCP4_ENDS = st.builds(TCPAddress, st.ip_addresses(v=4).map(str), PORTS)
TCP6_ENDS = st.builds(
    TCPAddress,
    st.ip_addresses(v=6).map(str).filter(lambda host: not host.startswith("::ffff:"))
    | st.ip_addresses(v=4).map(lambda ip: f"::ffff:{ip}"),
    PORTS,
)
UNIX_ENDS = st.builds(
    UnixAddress,
    st.just("")
    | st.text(string.ascii_letters + "é/\udc80", min_size=1, max_size=50)
    | st.text(string.ascii_letters + "\0@", max_size=105).map(lambda name: f"@{name}z"),
)
ENDS: dict[Transport, SearchStrategy[Address]] = {
    "TCP4": TCP4_ENDS,
    "UDP4": TCP4_ENDS,
    "TCP6": TCP6_ENDS,
    "UDP6": TCP6_ENDS,
    "UNIX_STREAM": UNIX_ENDS,
    "UNIX_DGRAM": UNIX_ENDS,
}
TLVS = st.lists(
    st.tuples(st.integers(0, 255).filter(lambda kind: kind != 3), st.binary(max_size=50)),
    max_size=5,
).map(tuple)


@st.composite
def proxy_headers(draw: st.DrawFn) -> ProxyHeader:
    """Any header that can be written, except for those with a checksum."""
    transport = draw(st.sampled_from(list(ENDS)))
    ends = ENDS[transport]
    source, destination = draw(ends), draw(ends)
    of_the_proxy = [ProxyHeader(1), ProxyHeader(2), ProxyHeader(2, "LOCAL")]
    of_clients = [ProxyHeader(2, "PROXY", transport, source, destination, draw(TLVS))]
    if transport in ("TCP4", "TCP6"):
        of_clients.append(ProxyHeader(1, "PROXY", transport, source, destination))
    return draw(st.sampled_from(of_clients) | st.sampled_from(of_the_proxy))
