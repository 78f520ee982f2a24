"""Version 2 of the PROXY header: 16 fixed bytes, two addresses, and TLVs.

What follows the 16 bytes of a ``LOCAL`` header, or of one whose transport is
unspecified, is skipped unread: the specification does not say how long the
addresses there are, so nobody knows where TLVs would begin.

Origin: the PROXY protocol, section 2.2.
"""

from __future__ import annotations

import os
import struct
from ipaddress import ip_address
from typing import Final, Literal, TypeAlias

from trioproto.layers.proxy_ends import (
    FAMILIES,
    Transport,
    check_end,
    check_no_ends,
    check_start,
    shown,
)
from trioproto.layers.proxy_tlvs import TLVs, read_tlvs, with_sum, write_tlvs
from trioproto.sansio.addresses import Address, TCPAddress, UnixAddress, address_from_sockaddr
from trioproto.sansio.errors import ProxyHeaderError

Command: TypeAlias = Literal["PROXY", "LOCAL"]

START = b"\r\n\r\n\0\r\nQUIT\n"
FIXED = 16
"""Bytes before the addresses."""
LONGEST = FIXED + 65535
"""Bytes that a header can have."""

_VERSION = 2
_COMMANDS: Final[dict[int, Command]] = {0: "LOCAL", 1: "PROXY"}
_TRANSPORTS: Final[dict[int, Transport]] = {
    0x00: "UNSPEC",
    0x11: "TCP4",
    0x12: "UDP4",
    0x21: "TCP6",
    0x22: "UDP6",
    0x31: "UNIX_STREAM",
    0x32: "UNIX_DGRAM",
}
_COMMAND_CODES = {command: code for code, command in _COMMANDS.items()}
_TRANSPORT_CODES = {transport: code for code, transport in _TRANSPORTS.items()}
_ADDRESSES: Final[dict[Transport, int]] = {
    "UNSPEC": 0,
    "TCP4": 4,
    "UDP4": 4,
    "TCP6": 16,
    "UDP6": 16,
    "UNIX_STREAM": 108,
    "UNIX_DGRAM": 108,
}
"""Bytes of one address, without its port."""
_PORTS = struct.Struct("!HH")


def find_end(begun: bytes, max_length: int) -> int | None:
    """Return how long the header is, once its 16 fixed bytes have come.

    Args:
        begun: what has arrived from the start of the connection on. More than
            the fixed bytes is not looked at.
        max_length: bytes that the header may have, these included.

    Raises:
        ProxyHeaderError: a byte is none that can be in its place, or the length
            is too small for the addresses or over the limit.
    """
    check_start(begun, START, "not the signature")
    command = _command(begun) if len(begun) > 12 else "PROXY"
    transport = _transport(begun, command) if len(begun) > 13 else "UNSPEC"
    if len(begun) < FIXED:
        return None
    length = int.from_bytes(begun[14:FIXED], "big")
    if length < _size(transport):
        problem = f"{length} bytes announced, the addresses of {transport} have {_size(transport)}"
        raise ProxyHeaderError(problem, 14, begun[14:FIXED])
    if FIXED + length > max_length:
        problem = f"{FIXED + length} bytes announced, the limit is {max_length}"
        raise ProxyHeaderError(problem, 14, begun[14:FIXED])
    return FIXED + length


def read(header: bytes) -> tuple[Command, Transport, Address | None, Address | None, TLVs]:
    """Return what a whole header says, whose end ``find_end`` has found.

    Raises:
        ProxyHeaderError: a TLV is cut off by the header's end, or the checksum
            is wrong, not four bytes, or there twice.
    """
    command = _command(header)
    transport = _transport(header, command)
    if transport == "UNSPEC":
        return command, transport, None, None, ()
    source, destination = _read_ends(transport, header)
    return command, transport, source, destination, read_tlvs(header, FIXED + _size(transport))


def write(
    command: Command,
    transport: Transport,
    source: Address | None,
    destination: Address | None,
    tlvs: TLVs,
) -> bytes:
    """Return the header that says this.

    The value of a checksum is made here, whatever was given for it. Credentials
    of Unix addresses are not written.

    Raises:
        ValueError: an end is no address of this transport, a ``LOCAL`` header or
            one without a transport has addresses or TLVs, a TLV's type is not
            from 0 to 255, a checksum is there twice, or it is all too long.
    """
    if command == "LOCAL" and transport != "UNSPEC":
        raise ValueError("a LOCAL header has no transport")
    ends = _write_ends(transport, source, destination)
    if transport == "UNSPEC" and tlvs:
        raise ValueError("a header without a known transport has no TLVs")
    block = ends + write_tlvs(tlvs)
    if len(block) > LONGEST - FIXED:
        raise ValueError(f"{len(block)} bytes after the fixed ones, {LONGEST - FIXED} may be")
    codes = (_VERSION << 4 | _COMMAND_CODES[command], _TRANSPORT_CODES[transport])
    header = START + struct.pack("!BBH", *codes, len(block)) + block
    return with_sum(header, FIXED + len(ends), tlvs)


def _command(begun: bytes) -> Command:
    version, code = divmod(begun[12], 16)
    if version != _VERSION:
        raise ProxyHeaderError(f"version {version}", 12, begun[12:13])
    if code not in _COMMANDS:
        raise ProxyHeaderError(f"unknown command {code}", 12, begun[12:13])
    return _COMMANDS[code]


def _transport(begun: bytes, command: Command) -> Transport:
    if command == "LOCAL":
        return "UNSPEC"  # whatever is there is to be ignored
    if begun[13] not in _TRANSPORTS:
        raise ProxyHeaderError("unknown address family and protocol", 13, begun[13:14])
    return _TRANSPORTS[begun[13]]


def _size(transport: Transport) -> int:
    """Return how many bytes both ends have together."""
    ports = _PORTS.size if transport in FAMILIES else 0
    return 2 * _ADDRESSES[transport] + ports


def _read_ends(transport: Transport, header: bytes) -> tuple[Address, Address]:
    size = _ADDRESSES[transport]
    source = header[FIXED : FIXED + size]
    destination = header[FIXED + size : FIXED + 2 * size]
    if transport not in FAMILIES:
        return _read_path(source), _read_path(destination)
    from_port, to_port = _PORTS.unpack_from(header, FIXED + 2 * size)
    from_host, to_host = shown(ip_address(source)), shown(ip_address(destination))
    return TCPAddress(from_host, from_port), TCPAddress(to_host, to_port)


def _read_path(field: bytes) -> Address:
    """A path ends at its first zero; an abstract name begins with one, and ends with its last."""
    if field[0]:
        return address_from_sockaddr(field.partition(b"\0")[0])
    return address_from_sockaddr(field.rstrip(b"\0"))


def _write_ends(transport: Transport, source: Address | None, destination: Address | None) -> bytes:
    if transport == "UNSPEC":
        check_no_ends(source, destination)
        return b""
    if transport not in FAMILIES:
        return _write_path(source) + _write_path(destination)
    from_ip, from_port = check_end(source, FAMILIES[transport])
    to_ip, to_port = check_end(destination, FAMILIES[transport])
    return from_ip.packed + to_ip.packed + _PORTS.pack(from_port, to_port)


def _write_path(end: Address | None) -> bytes:
    if not isinstance(end, UnixAddress):
        raise ValueError(f"{end!r} is no Unix address")
    path = os.fsencode(end.path)
    size = _ADDRESSES["UNIX_STREAM"]
    field = (b"\0" + path[1:] if path.startswith(b"@") else path).ljust(size, b"\0")
    if len(field) > size:
        raise ValueError(f"{end.path!r} is longer than {size} bytes")
    if _read_path(field) != UnixAddress(end.path):
        raise ValueError(f"{end.path!r} would be read as another path: mind its zeros")
    return field
