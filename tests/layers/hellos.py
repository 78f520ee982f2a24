"""ClientHellos, real and made by hand; and what OpenSSL reads in them."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import pairwise

from tests.tls.client_side import Client, fat_leaf, for_client, for_server

NAME = "www.example.org"
HANDSHAKE = 22


def first_flight(
    name: str | None,
    version: str = "TLSv1.3",
    alpn: Iterable[str] = (),
    session: ssl.SSLSession | None = None,
    context: ssl.SSLContext | None = None,
) -> bytes:
    """Return what a client of Python's sends first."""
    context = context or for_client(version, alpn)
    context.check_hostname = False
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name, session=session)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


@cache
def with_ticket(version: str) -> bytes:
    """Return the first flight of a client that has a ticket of some 18 KiB: two records."""
    context = for_client(version, shows=fat_leaf())
    client = Client(context)
    server = Client(for_server(version, asks=True), server_side=True)
    for _ in range(4):
        server.receive(client.output())
        client.receive(server.output())
    flight = first_flight(NAME, session=client.session.session, context=context)
    assert len(flight) > 18_000
    return flight


_LONG = f"{'a' * 63}.{'b' * 63}.example"
_ASKED = NAME.encode()
_REAL: dict[str, tuple[Callable[[], bytes], bytes | None]] = {
    "TLS 1.3": (lambda: first_flight(NAME), _ASKED),
    "TLS 1.2": (lambda: first_flight(NAME, "TLSv1.2"), _ASKED),
    "ALPN": (lambda: first_flight(NAME, alpn=["h2", "http/1.1"]), _ASKED),
    "A-label": (lambda: first_flight("bücher.example"), b"xn--bcher-kva.example"),
    "long name": (lambda: first_flight(_LONG), _LONG.encode()),
    "short name": (lambda: first_flight("a"), b"a"),
    "IPv4": (lambda: first_flight("192.0.2.1"), None),
    "IPv6": (lambda: first_flight("2001:db8::1", "TLSv1.2"), None),
    "no name": (lambda: first_flight(None), None),
    "no name, TLS 1.2": (lambda: first_flight(None, "TLSv1.2", ["h2"]), None),
    "ticket, TLS 1.2": (lambda: with_ticket("TLSv1.2"), _ASKED),
    "ticket, TLS 1.3": (lambda: with_ticket("TLSv1.3"), _ASKED),
}
KINDS = list(_REAL)
SMALL_KINDS = [kind for kind in KINDS if "ticket" not in kind]


@cache
def real(kind: str) -> tuple[bytes, bytes | None]:
    """Return a client's first flight, and the name in it."""
    make, name = _REAL[kind]
    return make(), name


def record(body: bytes, kind: int = HANDSHAKE, version: bytes = b"\x03\x01") -> bytes:
    return bytes([kind]) + version + len(body).to_bytes(2, "big") + body


def bodies(flight: bytes) -> bytes:
    """Return what is in the records of a flight."""
    found = b""
    while flight:
        end = 5 + int.from_bytes(flight[3:5], "big")
        found += flight[5:end]
        flight = flight[end:]
    return found


def in_records(message: bytes, places: Iterable[int] = ()) -> bytes:
    """Return a message in records that end at *places*; a place given twice: an empty one."""
    cuts = [0, *sorted(places), len(message)]
    return b"".join([record(message[begin:end]) for begin, end in pairwise(cuts)])


def in_records_of(size: int, message: bytes) -> bytes:
    return in_records(message, range(size, len(message), size))


def prefixed(size: int, data: bytes) -> bytes:
    return len(data).to_bytes(size, "big") + data


def extension(kind: int, value: bytes) -> bytes:
    return kind.to_bytes(2, "big") + prefixed(2, value)


def server_name(*names: bytes, kind: int = 0) -> bytes:
    """Return a server_name extension, right or wrong."""
    return extension(
        0, prefixed(2, b"".join([bytes([kind]) + prefixed(2, name) for name in names]))
    )


def hello(rest: bytes, *, suites: int = 0) -> bytes:
    """Return the message, not yet in records, with *rest* in the place of its extensions.

    Args:
        suites: unknown cipher suites to make it longer by, two bytes each.
    """
    known = bytes.fromhex("c02f c02b 009c 002f")
    fixed = b"\x03\x03" + bytes(range(32)) + prefixed(1, b"session id")
    return b"\x01" + prefixed(
        3, fixed + prefixed(2, known + b"\x7a\x7a" * suites) + prefixed(1, b"\0") + rest
    )


def hello_of(length: int, name: bytes) -> bytes:
    """Return a message of that many bytes which asks for *name*."""
    start = server_name(name)
    padding = length - len(hello(prefixed(2, start + extension(21, b""))))
    suites = max(0, padding - 50_000) // 2
    padding -= 2 * suites
    made = hello(prefixed(2, start + extension(21, bytes(padding))), suites=suites)
    assert len(made) == length
    return made


@cache
def _server() -> ssl.SSLContext:
    return for_server()


def heard_by_openssl(flight: bytes) -> list[bytes | None]:
    """Return what a server's callback is told, a name or ``None``; nothing if it is not called."""
    heard: list[bytes | None] = []

    def hear(session: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> int:
        heard.append(None if name is None else name.encode("ascii"))
        return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR  # that is all we want to know

    context = _server()
    context.sni_callback = hear
    incoming = ssl.MemoryBIO()
    incoming.write(flight)
    server = context.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True)
    with _undecodable(heard):
        try:
            server.do_handshake()
        except ssl.SSLError:
            pass
    return heard


@contextmanager
def _undecodable(heard: list[bytes | None]) -> Iterator[None]:
    """Have the names that CPython cannot decode as well: it tells this hook alone."""

    def hear(unraisable: sys.UnraisableHookArgs) -> None:
        error = unraisable.exc_value
        assert isinstance(error, UnicodeDecodeError)
        heard.append(error.object)

    before = sys.unraisablehook
    sys.unraisablehook = hear
    try:
        yield
    finally:
        sys.unraisablehook = before
