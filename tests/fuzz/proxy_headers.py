"""Headers of the PROXY protocol, one after the other, as a kind of codec that is fuzzed."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.layers.headers import BINARY_TCP4, SIGNATURE, TCP4, HeaderCodec, binary
from trioproto.layers.crc32c import crc32c

from .kinds import Kind


class WritesBytes(HeaderCodec):
    """Makes headers of the fuzzer's bytes: of what is said behind the fixed ones."""

    def encode(self, frame: Any) -> bytes:
        if isinstance(frame, bytes):
            return binary(b"\x21\x11", bytes(12) + frame[:200])
        return super().encode(frame)


def proxy_headers(length: int) -> Kind:
    local = binary(b"\x20\x11", bytes(length - 16))
    summed = binary(b"\x21\x11", bytes(12) + b"\3\0\4\0\0\0\0")
    return Kind(
        f"PROXY headers of {length}",
        partial(WritesBytes, length),
        max(length, 107),
        (
            b"PROXY ", b"TCP4 ", b"TCP6 ", b"UNKNOWN", b"1.2.3.4 ", b"::1 ", b"80 ", b"\r\n",
            TCP4, BINARY_TCP4, SIGNATURE, b"\x21\x11", b"\x21\x31", b"\x20\xff", b"\0\x0c", local,
            summed[:-4] + crc32c(summed).to_bytes(4, "big"), binary(b"\x21\x21", length=length),
        ),
        weight=10,  # words, addresses, and the checksum's copies
        calls=4,  # words, and TLVs of three bytes
    )  # fmt: skip


KINDS = (proxy_headers(60), proxy_headers(16 + 4096))
