"""TLVs: what a proxy notes about a connection behind the addresses of a version 2 header.

Each is a type, a length and a value. One of them may be the header's checksum.

Origin: the PROXY protocol, section 2.2.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TypeAlias

from trioproto.layers.crc32c import crc32c
from trioproto.sansio.errors import ProxyHeaderError

TLVs: TypeAlias = tuple[tuple[int, bytes], ...]
"""Types and values, in the order in which they come."""


class TLVType(IntEnum):
    """The types that the specification names; 0xE0 to 0xEF are for your own use."""

    ALPN = 0x01
    AUTHORITY = 0x02
    CRC32C = 0x03
    NOOP = 0x04
    UNIQUE_ID = 0x05
    SSL = 0x20
    NETNS = 0x30


_START = struct.Struct("!BH")
_NO_SUM = bytes(4)


def read_tlvs(header: bytes, begin: int) -> TLVs:
    """Return the TLVs from *begin* to the end of a whole header.

    Raises:
        ProxyHeaderError: the header's end cuts one off, or the checksum is
            wrong, not four bytes, or there twice.
    """
    tlvs: list[tuple[int, bytes]] = []
    place = begin
    summed = False
    while place < len(header):
        kind, value = _read_tlv(header, place)
        if kind == TLVType.CRC32C:
            if summed:
                raise ProxyHeaderError("a second checksum", place, header[place:])
            summed = True
            _check_sum(header, place + _START.size, value)
        tlvs.append((kind, value))
        place += _START.size + len(value)
    return tuple(tlvs)


def write_tlvs(tlvs: TLVs) -> bytes:
    """Return the bytes of TLVs, with zeros for a checksum.

    Raises:
        ValueError: a type is not from 0 to 255, a value is longer than 65535
            bytes, or there is more than one checksum.
    """
    if [kind for kind, _ in tlvs].count(TLVType.CRC32C) > 1:
        raise ValueError("a header has one checksum at most")
    return b"".join([_write_tlv(kind, value) for kind, value in tlvs])


def with_sum(header: bytes, begin: int, tlvs: TLVs) -> bytes:
    """Return a header, whose *tlvs* are at *begin*, with its checksum filled in, if it has one."""
    place = begin
    for kind, value in tlvs:
        place += _START.size
        if kind == TLVType.CRC32C:
            return header[:place] + _sum(header, place) + header[place + len(_NO_SUM) :]
        place += len(value)
    return header


def _read_tlv(header: bytes, place: int) -> tuple[int, bytes]:
    if place + _START.size > len(header):
        raise ProxyHeaderError("only the start of a TLV", place, header[place:])
    kind, length = _START.unpack_from(header, place)
    begin = place + _START.size
    value = header[begin : begin + length]
    if len(value) < length:
        problem = f"a TLV of {length} bytes, with {len(value)} left for it,"
        raise ProxyHeaderError(problem, place, header[place:])
    return kind, value


def _write_tlv(kind: int, value: bytes) -> bytes:
    if not 0 <= kind <= 255:
        raise ValueError(f"a TLV's type is from 0 to 255, not {kind}")
    if len(value) > 65535:
        raise ValueError(f"a TLV's value has at most 65535 bytes, not {len(value)}")
    value = _NO_SUM if kind == TLVType.CRC32C else value
    return _START.pack(kind, len(value)) + value


def _check_sum(header: bytes, place: int, value: bytes) -> None:
    if len(value) != len(_NO_SUM):
        raise ProxyHeaderError("a checksum of other than 4 bytes", place, value)
    if _sum(header, place) != value:
        raise ProxyHeaderError("a wrong checksum", place, value)


def _sum(header: bytes, place: int) -> bytes:
    """Return the checksum of a header, with itself taken as zeros: section 2.2.3."""
    zeroed = header[:place] + _NO_SUM + header[place + len(_NO_SUM) :]
    return crc32c(zeroed).to_bytes(4, "big")
