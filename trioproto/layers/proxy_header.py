"""The PROXY header: what a proxy says, before anything else, about the client that it serves.

Who may say it is not decided here (see :mod:`~trioproto.layers.networks`): a
header from anybody else is a lie waiting to be believed.

Origin: the PROXY protocol, versions 1 and 2
(https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trioproto.layers import proxy_v1, proxy_v2
from trioproto.layers.proxy_ends import Transport
from trioproto.layers.proxy_tlvs import TLVs, TLVType
from trioproto.layers.proxy_v2 import Command
from trioproto.sansio.addresses import Address, TCPAddress, UnixAddress
from trioproto.sansio.errors import ProxyHeaderError

__all__ = ["MAX_LENGTH", "Command", "ProxyHeader", "ProxyHeaderDecoder", "TLVType", "Transport"]

MAX_LENGTH = 16 + 4096
"""Bytes of a version 2 header: room for TLVs with names and certificates' subjects."""

_NEITHER = "neither version 1 nor version 2 begins so"


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """What a PROXY header says.

    Attributes:
        version: 1, a line of text, or 2, binary.
        command: ``PROXY``: the connection is made for a client; ``LOCAL``: it is
            the proxy's own, a health check say, and its ends are the real ones.
        transport: how the client came to the proxy; ``UNSPEC`` (in version 1:
            ``UNKNOWN``) is what the header cannot or does not say.
        source: the client; ``None`` with ``LOCAL`` and ``UNSPEC``: take the real
            peer. The ends of UDP are in a ``TCPAddress`` too.
        destination: the address that the client connected to; ``None`` likewise.
        tlvs: types and values, in the order in which they came; version 2 only.
    """

    version: Literal[1, 2]
    command: Command = "PROXY"
    transport: Transport = "UNSPEC"
    source: Address | None = None
    destination: Address | None = None
    tlvs: TLVs = ()

    @classmethod
    def between(
        cls, source: Address, destination: Address, *, version: Literal[1, 2] = 2, tlvs: TLVs = ()
    ) -> ProxyHeader:
        """Make the header of a stream from *source* to *destination*.

        The transport is the source's. Of an unknown source nothing is said, which
        not every receiver takes: HAProxy does in version 1 only.
        """
        match source:
            case TCPAddress():
                transport: Transport = "TCP6" if ":" in source.host else "TCP4"
            case UnixAddress():
                transport = "UNIX_STREAM"
            case _:
                return cls(version, tlvs=tlvs)
        return cls(version, "PROXY", transport, source, destination, tlvs)

    def tlv(self, kind: int) -> bytes | None:
        """Return the value of the first TLV of a type (a :class:`TLVType`, say)."""
        return next((value for each, value in self.tlvs if each == kind), None)

    def encode(self) -> bytes:
        """Return the header's bytes, which go before all others, in one write.

        The value of a checksum is made here, whatever was given for it.
        Credentials of Unix addresses are not sent.

        Raises:
            ValueError: its version cannot say this: an end is no numeric address
                of the transport or has a zone, there are addresses or TLVs where
                none can be, or it is too long.
        """
        if self.version == 2:
            return proxy_v2.write(
                self.command, self.transport, self.source, self.destination, self.tlvs
            )
        if self.command == "LOCAL" or self.tlvs:
            raise ValueError("version 1 has neither LOCAL nor TLVs")
        return proxy_v1.write(self.transport, self.source, self.destination)


class ProxyHeaderDecoder:
    """Takes the one header that a connection begins with.

    Which version it is, its first byte says. A wrong byte at the start is refused
    when it comes, and a length over the limit when it is announced. Kept are
    never more bytes than the header may have; the cost is linear in them,
    however they were split.

    Attributes:
        max_length: bytes that a header of version 2 may have; one of version 1
            may have 107.
        header: the header, once it has come.
        error: what was wrong with it, if anything was: this is final.
        rest: the bytes that came after the header, with its end.

    Args:
        max_length: see above.

    Raises:
        ValueError: *max_length* is below the 16 bytes that each such header has.
    """

    def __init__(self, *, max_length: int = MAX_LENGTH) -> None:
        if max_length < proxy_v2.FIXED:
            raise ValueError(f"max_length must be at least {proxy_v2.FIXED}")
        self.max_length = max_length
        self.header: ProxyHeader | None = None
        self.error: ProxyHeaderError | None = None
        self.rest = b""
        self._begun = bytearray()
        self._length: int | None = None

    @property
    def pending(self) -> int:
        """Bytes of an unfinished header that are kept."""
        return len(self._begun)

    def feed(self, data: bytes) -> ProxyHeader | None:
        """Take bytes that have arrived, cut anywhere; return the header, once it is whole.

        Raises:
            ProxyHeaderError: no header can begin so; nothing is kept, and each
                later call raises it again.
            RuntimeError: the header has been returned: what comes after it is not
                for this decoder.
        """
        if self.error is not None:
            raise self.error.with_traceback(None)
        if self.header is not None:
            raise RuntimeError("the header has been read")
        self._begun += data
        try:
            self.header = self._take()
        except ProxyHeaderError as error:
            self.error = error
            self._begun.clear()
            raise
        return self.header

    def check_end(self) -> None:
        """Take the end of input.

        Raises:
            ProxyHeaderError: it came before the header was whole.
        """
        if self.error is not None:
            raise self.error.with_traceback(None)
        if self.header is None:
            raise ProxyHeaderError("the end of input, not of the header,", self.pending)

    def _take(self) -> ProxyHeader | None:
        """Cut the header off, if it is whole."""
        begun = self._begun
        if self._length is None:
            self._length = self._find_end(bytes(begun[: proxy_v1.LONGEST]))
        length = self._length
        if length is None or len(begun) < length:
            return None
        header = _read(bytes(begun[:length]))
        self.rest = bytes(begun[length:])
        begun.clear()
        return header

    def _find_end(self, begun: bytes) -> int | None:
        """Return how long the header is, as soon as that is known."""
        match begun[:1]:
            case b"P":
                return proxy_v1.find_end(begun)
            case b"\r":
                return proxy_v2.find_end(begun, self.max_length)
            case b"":
                return None
        raise ProxyHeaderError(_NEITHER, 0, begun[:1])


def _read(header: bytes) -> ProxyHeader:
    if header.startswith(b"P"):
        return ProxyHeader(1, "PROXY", *proxy_v1.read(header))
    return ProxyHeader(2, *proxy_v2.read(header))
