"""The other end of a TLS connection, in memory; and a harness that talks to it.

A ``Client`` takes and gives bytes of the wire, so a test can cut, change, hold
back and repeat them. A ``Talk`` carries them to a protocol and back, with no
event loop.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import pytest
import trustme

from tests.behaviour.tls_peers import NAME, authority
from trioproto import Factory, Protocol
from trioproto.layers.tls import TLSLayer
from trioproto.sansio.layer import Layer
from trioproto.testing import Harness

VERSIONS = ("TLSv1.2", "TLSv1.3")
RECORD = 1 << 14
"""Bytes that a record can hold."""


@cache
def leaf() -> trustme.LeafCert:
    return authority().issue_cert(NAME)


@cache
def clients_leaf() -> trustme.LeafCert:
    return authority().issue_cert("client@example.org")


@cache
def fat_leaf() -> trustme.LeafCert:
    """A certificate of some 20 KiB: more than a small buffer, or a record, takes."""
    return authority().issue_cert(NAME, *(f"host-{number}.example" for number in range(1000)))


def for_server(
    version: str | None = None,
    alpn: Iterable[str] = (),
    *,
    asks: bool = False,
    shows: trustme.LeafCert | None = None,
) -> ssl.SSLContext:
    """Make a server's context; *asks*: it wants a client's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (shows or leaf()).configure_cert(context)
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        authority().configure_trust(context)
    return _set(context, version, alpn)


def for_client(
    version: str | None = None,
    alpn: Iterable[str] = (),
    *,
    trusts: bool = True,
    shows: trustme.LeafCert | None = None,
) -> ssl.SSLContext:
    """Make a client's context; *trusts*: it knows who issued the server's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if trusts:
        authority().configure_trust(context)
    if shows is not None:
        shows.configure_cert(context)
    return _set(context, version, alpn)


def _set(context: ssl.SSLContext, version: str | None, alpn: Iterable[str]) -> ssl.SSLContext:
    if version is not None:
        wanted = ssl.TLSVersion[version.replace(".", "_")]
        context.minimum_version = context.maximum_version = wanted
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


@cache
def usual_client(version: str | None = None) -> ssl.SSLContext:
    return for_client(version)


class Client:
    """One end of a TLS connection, a client's unless told otherwise.

    Attributes:
        received: what it has decrypted so far.
        shaken: whether its handshake is done.
        ended: whether it was sent a close_notify.
        error: what OpenSSL could not bear, an alert of the other side's, say.
    """

    def __init__(
        self,
        context: ssl.SSLContext | None = None,
        *,
        server_side: bool = False,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = (context or usual_client()).wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=server_side,
            server_hostname=None if server_side else NAME,
            session=session,
        )
        self.received = bytearray()
        self.seen = bytearray()
        self.shaken = False
        self.ended = False
        self.error: ssl.SSLError | None = None
        if not server_side:
            self._go_on()

    def output(self) -> bytes:
        """Take what is to be sent."""
        return self._outgoing.read()

    def receive(self, wire: bytes) -> None:
        """Take bytes of the wire; go on with the handshake, or decrypt."""
        self.seen += wire
        self._incoming.write(wire)
        self._go_on()

    def encrypt(self, data: bytes) -> bytes:
        """Put data into records, each as large as can be."""
        rest = memoryview(data)
        while rest:
            rest = rest[self.session.write(rest) :]
        return self.output()

    def farewell(self) -> bytes:
        """Return our close_notify."""
        try:
            self.session.unwrap()
        except ssl.SSLError:
            pass  # the other's has not come yet
        return self.output()

    def _go_on(self) -> None:
        if self.error is not None or self.ended:
            return
        try:
            if not self.shaken:
                self.session.do_handshake()
                self.shaken = True
            while data := self.session.read(RECORD):
                self.received += data
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as exc:
            self.error = exc


class Talk:
    """A protocol in a harness, over TLS, and its client.

    The harness has been connected; nothing has been said yet.
    """

    def __init__(
        self,
        protocol: Protocol,
        client: Client | None = None,
        *,
        context: ssl.SSLContext | None = None,
        layers: Callable[[], tuple[Layer, ...]] | None = None,
        window: int | None = None,
        **settings: Any,
    ) -> None:
        self.client = client or Client()
        context = context or default_server()
        layers = layers or (lambda: (TLSLayer(context, server_side=True),))
        self.factory = Factory(lambda: protocol, **settings)
        errors = settings.get("callback_errors", "raise")
        self.harness: Harness[Any] = Harness(
            self.factory, window=window, layers=layers(), callback_errors=errors
        )
        self.harness.connect()
        self.transport = self.harness.transport

    def exchange(self) -> None:
        """Carry bytes both ways until nobody has anything to say.

        As with a real driver, only while the connection reads.
        """
        moved = True
        while moved:
            moved = self.harness.reading and self.to_server(self.client.output())
            moved = self.to_client() or moved

    def to_server(self, wire: bytes, *, cut: int | None = None) -> bool:
        """Carry bytes of the wire to the protocol, in chunks of *cut* bytes."""
        for start in range(0, len(wire), cut or len(wire) or 1):
            if not self.harness.lost:
                self.harness.feed(wire[start : start + (cut or len(wire))])
        return bool(wire)

    def to_client(self) -> bool:
        """Carry what the protocol's side has sent to the client."""
        wire = self.harness.take()
        self.client.receive(wire)
        return bool(wire)

    def say(self, data: bytes, *, cut: int | None = None) -> None:
        """Have the client send data, and carry the answer back."""
        self.to_server(self.client.encrypt(data), cut=cut)
        self.exchange()

    def end(self) -> None:
        """Have the client say farewell, and end its side of the stream."""
        self.to_server(self.client.farewell())
        if not self.harness.lost:
            self.harness.feed_eof()
        self.to_client()


@cache
def default_server() -> ssl.SSLContext:
    return for_server()


def talking(protocol: Protocol, version: str | None = None, **options: Any) -> Talk:
    """Have a talk whose handshake is done."""
    client = options.pop("client", None) or Client(usual_client(version))
    window, settled = options.pop("window", None), {"window": None}
    talk = Talk(protocol, client, **options, **settled)
    talk.exchange()
    assert talk.client.shaken
    talk.harness.window = window
    return talk


def one_warning(caplog: pytest.LogCaptureFixture) -> str:
    """Return the one line that was logged: a warning of ours, without a traceback."""
    records = [each for each in caplog.records if " is reached" not in each.getMessage()]
    (record,) = records  # that of a limit is another matter
    assert record.name == "trioproto"
    assert record.levelno == logging.WARNING
    assert record.exc_info is None
    assert record.stack_info is None
    assert "\n" not in record.getMessage()
    return record.getMessage()


def nothing_logged(caplog: pytest.LogCaptureFixture) -> bool:
    return not [record for record in caplog.records if record.name.startswith("trioproto")]
