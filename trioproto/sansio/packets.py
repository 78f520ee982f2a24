"""A recording as the packets of a TCP connection that could have carried it.

Both sides' numbers begin with 0. If the beginning is no longer kept, the packets
begin in mid-connection, as with a capture that was started late.

Origin: RFC 9293 section 3.1 (TCP), RFC 791 section 3.1 and RFC 8200 section 3 (IP),
RFC 1071 (the checksum). The addresses in place of unknown ones are those of RFC 5737
and RFC 3849, for documentation; the ports are private ones, RFC 6335 section 6.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import pack
from typing import TYPE_CHECKING, NamedTuple

from trioproto.sansio.addresses import Address, TCPAddress
from trioproto.sansio.tape import Direction

if TYPE_CHECKING:
    from trioproto.sansio.recording import Recording

SEGMENT = 32 * 1024
"""Bytes of data in one segment; an IP packet takes nearly twice as many."""

_TCP = 6
_HOPS = 64
_SYN, _PUSH, _ACK = 2, 8, 16
_NUMBERS = 1 << 32
_WINDOW = 0xFFFF
_HEADER = 20
"""Bytes of a TCP header, and of an IPv4 header."""


class Packet(NamedTuple):
    """One IP packet: when it passed (seconds since 1970), which way, and its bytes."""

    time: float
    direction: Direction
    data: bytes


class _Side(NamedTuple):
    """Where one side is."""

    address: IPv4Address | IPv6Address
    port: int


def packets(recording: Recording) -> Iterator[Packet]:
    """Give the packets of *recording*, in order."""
    wire = _Wire(recording)
    if not (recording.received_before or recording.sent_before):
        there = Direction.RECEIVED if recording.accepted else Direction.SENT
        yield wire.packet(recording.began, there, _SYN)
        yield wire.packet(recording.began, _back(there), _SYN | _ACK)
        yield wire.packet(recording.began, there, _ACK)
    for piece in recording.pieces:
        for start in range(0, len(piece.data), SEGMENT):
            data = piece.data[start : start + SEGMENT]
            yield wire.packet(piece.time, piece.direction, _PUSH | _ACK, data)


class _Wire:
    """Counts what each side has sent."""

    def __init__(self, recording: Recording) -> None:
        peer, local = _sides(recording.peer, recording.local)
        self._sides = {Direction.RECEIVED: (peer, local), Direction.SENT: (local, peer)}
        before = recording.received_before, recording.sent_before
        begun = any(before)
        self._next = {way: n + begun for way, n in zip(Direction, before, strict=True)}

    def packet(self, time: float, way: Direction, flags: int, data: bytes = b"") -> Packet:
        """Make the next packet of one side."""
        ack = self._next[_back(way)] if flags & _ACK else 0
        numbers = pack("!II", self._next[way] % _NUMBERS, ack % _NUMBERS)
        self._next[way] += len(data) + bool(flags & _SYN)  # which has a number of its own
        return Packet(time, way, _packet(*self._sides[way], numbers, flags, data))


def _back(way: Direction) -> Direction:
    return Direction.SENT if way is Direction.RECEIVED else Direction.RECEIVED


def _sides(peer: Address, local: Address) -> tuple[_Side, _Side]:
    """Find an address of the same family for each, or make one up."""
    first, second = _known(peer), _known(local)
    if any(each is not None and each.address.version == 6 for each in (first, second)):
        first = first or _Side(IPv6Address("2001:db8::1"), 65001)
        second = second or _Side(IPv6Address("2001:db8::2"), 65002)
        return _as_ipv6(first), _as_ipv6(second)
    return (
        first or _Side(IPv4Address("192.0.2.1"), 65001),
        second or _Side(IPv4Address("192.0.2.2"), 65002),
    )


def _known(address: Address) -> _Side | None:
    if not isinstance(address, TCPAddress):
        return None
    try:
        host = ip_address(address.host.partition("%")[0])
    except ValueError:
        return None
    return _Side(host, address.port)


def _as_ipv6(side: _Side) -> _Side:
    if isinstance(side.address, IPv6Address):
        return side
    return _Side(IPv6Address(b"\0" * 10 + b"\xff\xff" + side.address.packed), side.port)


def _packet(source: _Side, target: _Side, numbers: bytes, flags: int, data: bytes) -> bytes:
    addresses = source.address.packed + target.address.packed
    ports = pack("!HH", source.port, target.port)
    size = _HEADER + len(data)
    rest = pack("!BBHHH", (_HEADER // 4) << 4, flags, _WINDOW, 0, 0)
    pseudo = addresses + pack("!II", size, _TCP)
    checksum = _checksum(pseudo + ports + numbers + rest + data)
    rest = rest[:4] + checksum + rest[6:]
    ip = _ipv4_header if source.address.version == 4 else _ipv6_header
    return ip(addresses, size) + ports + numbers + rest + data


def _ipv4_header(addresses: bytes, size: int) -> bytes:
    dont_fragment = 0x4000
    start = pack("!BBHHHBB", 0x45, 0, _HEADER + size, 0, dont_fragment, _HOPS, _TCP)
    return start + _checksum(start + addresses) + addresses


def _ipv6_header(addresses: bytes, size: int) -> bytes:
    return pack("!IHBB", 6 << 28, size, _TCP, _HOPS) + addresses


def _checksum(data: bytes) -> bytes:
    """Return the complement of the ones' complement sum of all 16-bit words.

    Such a sum is what remains of a division by 65535, which is 1 for each word's place.
    """
    number = int.from_bytes(data + b"\0" * (len(data) % 2))
    return pack("!H", 0xFFFF - number % 0xFFFF)
