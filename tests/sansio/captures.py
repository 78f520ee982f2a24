"""Reads capture files, by what the formats' papers say, and by nothing of the library's.

It is strict: whatever a reader could stumble over is an error.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

SYN, PSH, ACK = 0x02, 0x08, 0x10


@dataclass
class Segment:
    """One TCP segment, as a file has it."""

    microseconds: int
    inbound: bool
    source: tuple[IPv4Address | IPv6Address, int]
    target: tuple[IPv4Address | IPv6Address, int]
    seq: int
    ack: int
    flags: int
    data: bytes


@dataclass
class Capture:
    comment: str = ""
    segments: list[Segment] = field(default_factory=list)


def read(file: bytes) -> Capture:
    capture = Capture()
    kinds = []
    for kind, body in blocks(file):
        kinds.append(kind)
        if kind == 0x0A0D0D0A:
            assert struct.unpack("<IHHq", body[:16]) == (0x1A2B3C4D, 1, 0, -1)
            capture.comment = options(body[16:])[1].decode()
        elif kind == 1:
            assert struct.unpack("<HHI", body[:8]) == (101, 0, 0)  # raw IP, no limit
            options(body[8:])
        else:
            assert kind == 6
            capture.segments.append(packet(body))
    assert kinds[:2] == [0x0A0D0D0A, 1]
    assert set(kinds[2:]) <= {6}
    return capture


def blocks(file: bytes) -> Iterator[tuple[int, bytes]]:
    while file:
        kind, size = struct.unpack("<II", file[:8])
        assert size % 4 == 0
        assert 12 <= size <= len(file)
        assert struct.unpack("<I", file[size - 4 : size]) == (size,)
        yield kind, file[8 : size - 4]
        file = file[size:]


def options(rest: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while True:
        code, size = struct.unpack("<HH", rest[:4])
        if code == 0:
            assert size == 0
            assert len(rest) == 4
            return found
        found[code] = rest[4 : 4 + size]
        rest = rest[4 + size + -size % 4 :]


def packet(body: bytes) -> Segment:
    interface, high, low, size, original = struct.unpack("<IIIII", body[:20])
    assert interface == 0
    assert size == original
    data = body[20 : 20 + size]
    (way,) = struct.unpack("<I", options(body[20 + size + -size % 4 :])[2])
    segment = ip(data)
    segment.microseconds = high << 32 | low
    segment.inbound = {1: True, 2: False}[way]
    return segment


def ip(data: bytes) -> Segment:
    if data[0] >> 4 == 4:
        assert data[0] == 0x45
        assert struct.unpack("!H", data[2:4]) == (len(data),)
        assert words(data[:20]) == 0xFFFF
        protocol, source, target, rest = data[9], data[12:16], data[16:20], data[20:]
    else:
        assert data[0] >> 4 == 6
        assert struct.unpack("!H", data[4:6]) == (len(data) - 40,)
        protocol, source, target, rest = data[6], data[8:24], data[24:40], data[40:]
    assert protocol == 6
    pseudo = source + target + struct.pack("!II", len(rest), 6)
    assert words(pseudo + rest) == 0xFFFF
    ports = struct.unpack("!HH", rest[:4])
    seq, ack, offset, flags = struct.unpack("!IIBB", rest[4:14])
    assert offset == 5 << 4
    return Segment(
        0,
        False,
        (ip_address(source), ports[0]),
        (ip_address(target), ports[1]),
        seq,
        ack,
        flags,
        rest[20:],
    )


def words(data: bytes) -> int:
    """Add all 16-bit words, carries included: RFC 1071 in its plainest form."""
    if len(data) % 2:
        data += b"\0"
    total = 0
    for (word,) in struct.iter_unpack("!H", data):
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    return total
