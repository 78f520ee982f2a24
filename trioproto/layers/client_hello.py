"""The server name that a client's first flight asks for, read before OpenSSL sees any of it.

By it a server chooses its certificate, before there is anything of OpenSSL's. A
callback from OpenSSL's side would not do: CPython prints a traceback, in place of
calling it, for a name that is not ASCII, which any client can send as often as it
likes; and for a session that is taken up again it is told of the name of that.

Nothing is refused here. What cannot be read is OpenSSL's to judge: it knows the
right alert, and takes what is too odd, or too long, for us to have found the name.

Origin: RFC 8446 sections 4.1.2 (ClientHello) and 5.1 (records); RFC 6066 section 3
(server_name).
"""

from __future__ import annotations

from struct import Struct, error

LIMIT = 64 * 1024
"""Bytes from the first one on that are kept and looked at (with a copy of what is in the records).

Hellos have some 200 to 2,000, post-quantum keys included; with a ticket that holds a client's
certificate there may be 20,000. OpenSSL takes 131,396, of which nobody has use for more than this.
"""

_HANDSHAKE = 22
_MOST = 1 << 14
"""Bytes that a record may have after its header."""
_HEADER = 5
_MAJOR_VERSION = b"\x03"
_MESSAGE_HEADER = 4
_CLIENT_HELLO = 1
_VERSION_AND_RANDOM = 2 + 32
_BEGIN = Struct("!BBBHBBH")
"""The headers of a record and of a message in it, of less than 64 KiB."""
_HELLO_BEGINS = (_HANDSHAKE, 3, _CLIENT_HELLO, 0)
_LENGTH = Struct("!H")
_EXTENSION = Struct("!HH")
"""What comes before an extension: its type, and its length."""
_NAMES = Struct("!HBH")
"""What comes before the one name of a list: the list's length, the name's type and length."""
_SERVER_NAME = 0
_HOST_NAME = 0


class _Unreadable(Exception):
    """This is no ClientHello, or none that can be read."""


class ClientHelloReader:
    """Keeps a client's first flight back until its server name can be read.

    Attributes:
        done: whether nothing is kept back any more.
        name: the one host name of the server_name extension, as it was sent, be it
            empty, too long or no name at all; ``None``: none was sent, or the
            hello cannot be read. Known once ``done``.
    """

    def __init__(self) -> None:
        self.done = False
        self.name: bytes | None = None
        self._kept = bytearray()
        self._place = 0  # how far the kept bytes have been taken apart
        self._left = 0  # bytes of the record there that are still to come
        self._hello = bytearray()  # what was in the records

    @property
    def pending(self) -> int:
        """Bytes that are kept."""
        return len(self._kept)

    def feed(self, data: bytes) -> bytes:
        """Take bytes that have arrived, cut anywhere; return those that OpenSSL may have.

        These are none until the hello is whole, or it is clear that this is none
        that can be read; then all that were kept; and from then on *data* itself.
        Cost over a connection's life: linear in the bytes, however they were split.
        """
        if self.done:
            return data
        if not self._kept and self._take_at_once(data):
            return data
        self._kept += data
        try:
            self.done = self._take_records()
        except _Unreadable:
            self.done = True
        if not self.done:
            return b""
        data = bytes(self._kept)
        self._kept.clear()
        self._hello.clear()
        return data

    def _take_at_once(self, data: bytes) -> bool:
        """Read a hello that has come whole, in one record, and alone: nearly every one does."""
        if len(data) < _BEGIN.size:
            return False
        kind, major, _, in_record, what, high, low = _BEGIN.unpack_from(data)
        if (kind, major, what, high) != _HELLO_BEGINS or in_record > _MOST:
            return False
        if not len(data) == _HEADER + in_record == _BEGIN.size + low:
            return False
        try:
            self.name = _find_name(memoryview(data)[_BEGIN.size :])
        except _Unreadable:
            pass
        self.done = True
        return True

    def _take_records(self) -> bool:
        """Take the hello out of its records; return whether it was whole, and the name is read."""
        end = min(len(self._kept), LIMIT)
        while self._place < end and self._enter_record():
            body = self._kept[self._place : min(self._place + self._left, end)]
            self._place += len(body)
            self._left -= len(body)
            self._hello += body
            if self._read_hello():
                return True
        if end == LIMIT:
            raise _Unreadable
        return False

    def _enter_record(self) -> bool:
        """Pass over the next record's header, unless there is some of a record left."""
        if self._left:
            return True
        length = _record_length(self._kept[self._place : self._place + _HEADER])
        if length is None:
            return False
        self._place += _HEADER
        self._left = length
        return True

    def _read_hello(self) -> bool:
        length = _message_length(self._hello[:_MESSAGE_HEADER])
        if length is None or len(self._hello) < length:
            return False
        self.name = _find_name(memoryview(self._hello[_MESSAGE_HEADER:length]))
        return True


def _record_length(header: bytearray) -> int | None:
    """Return how many bytes follow a record's header, once that is whole."""
    if header[0] != _HANDSHAKE or header[1:2] not in (b"", _MAJOR_VERSION):
        raise _Unreadable
    if len(header) < _HEADER:
        return None
    length = int.from_bytes(header[3:], "big")
    if not 0 < length <= _MOST:
        raise _Unreadable
    return length


def _message_length(header: bytearray) -> int | None:
    """Return how many bytes the hello has, its header included, once that is whole."""
    if header and header[0] != _CLIENT_HELLO:
        raise _Unreadable
    if len(header) < _MESSAGE_HEADER:
        return None
    length = _MESSAGE_HEADER + int.from_bytes(header[1:], "big")
    if length > LIMIT:
        raise _Unreadable
    return length


def _find_name(hello: bytes | memoryview) -> bytes | None:
    """Return the name that a hello asks for, given what comes after its header."""
    try:
        return _walk(hello)
    except (IndexError, error):
        raise _Unreadable from None


def _walk(hello: bytes | memoryview) -> bytes | None:
    place = _VERSION_AND_RANDOM
    place += 1 + hello[place]  # session id
    place += 2 + int(_LENGTH.unpack_from(hello, place)[0])  # cipher suites
    place += 1 + hello[place]  # compression methods
    end = place + 2 + int(_LENGTH.unpack_from(hello, place)[0])
    place += 2
    name = None
    while place < end:
        kind, length = _EXTENSION.unpack_from(hello, place)
        place += _EXTENSION.size + length
        if kind == _SERVER_NAME:
            if name is not None:
                raise _Unreadable
            name = _read_name(hello[place - length : place])
    if not place == end == len(hello):
        raise _Unreadable
    return name


def _read_name(extension: bytes | memoryview) -> bytes:
    """Return the only name of the list, which can be of one type only: so OpenSSL has it, too."""
    listed, kind, length = _NAMES.unpack_from(extension)
    size = len(extension)
    if kind != _HOST_NAME or size != _LENGTH.size + listed or size != _NAMES.size + length:
        raise _Unreadable
    return bytes(extension[_NAMES.size :])
