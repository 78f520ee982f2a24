"""STARTTLS on our side as a client, and within TLS, with no event loop."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from tests.behaviour.tls_peers import NAME
from tests.tls.client_side import (
    VERSIONS,
    Client,
    Talk,
    default_server,
    for_client,
    talking,
    usual_client,
)
from tests.tls.upgrading import COMMAND, GO, Upgrading, in_plain, upgraded
from trioproto import Protocol
from trioproto.errors import (
    ConnectionLost,
    EarlyPlaintext,
    HandshakeFailed,
)

BOTH = pytest.mark.parametrize("version", VERSIONS)


class TestOurSideAsAClient:
    class Asking(Protocol):
        """Asks for TLS, and says hello in it."""

        def __init__(self, context: ssl.SSLContext, name: str | None) -> None:
            self.context, self.name = context, name
            self.received = b""
            self.reasons: list[Any] = []

        def connection_made(self) -> None:
            self.transport.write(COMMAND + b"\r\n")

        def data_received(self, data: bytes) -> None:
            self.received += data
            if data == GO:
                self.transport.start_tls(self.context, server_hostname=self.name, server_side=False)
                self.transport.write(b"hello")

        def connection_lost(self, reason: Any) -> None:
            self.reasons.append(reason)

    def asked(self, version: str, name: str = NAME, *, trusts: bool = True) -> Talk:
        protocol = self.Asking(for_client(version, trusts=trusts), name)
        talk = in_plain(protocol, Client(default_server(), server_side=True))
        assert talk.harness.take() == COMMAND + b"\r\n"
        talk.harness.feed(GO)
        return talk

    @BOTH
    def test_has_the_first_word(self, version: str) -> None:
        talk = self.asked(version)
        talk.exchange()
        assert talk.client.received == b"hello"
        talk.say(b"welcome")
        assert talk.harness.protocol.received == GO + b"welcome"
        assert talk.transport.tls is not None
        assert talk.transport.tls.server_name == NAME

    @BOTH
    def test_refuses_a_server_that_is_not_the_one(self, version: str) -> None:
        for name, trusts in (("elsewhere.example", True), (NAME, False)):
            talk = self.asked(version, name, trusts=trusts)
            talk.exchange()
            talk.harness.advance(3)
            (reason,) = talk.harness.protocol.reasons
            assert isinstance(reason, HandshakeFailed)
            assert isinstance(reason.__cause__, ssl.SSLCertVerificationError)
            assert talk.client.received == b""

    def test_does_not_take_what_was_injected(self) -> None:
        protocol = self.Asking(for_client(), NAME)
        talk = in_plain(protocol, Client(default_server(), server_side=True))
        talk.harness.feed(GO)
        talk.harness.feed(b"250 injected\r\n")
        talk.harness.advance(3)
        assert protocol.received == GO
        (reason,) = protocol.reasons
        assert isinstance(reason, HandshakeFailed)


@BOTH
class TestTLSInTLS:
    def test_comes_with_a_second_upgrade(self, version: str) -> None:
        protocol = Upgrading()
        talk = upgraded(protocol, Client(usual_client(version)))
        outer = protocol.transport.tls
        talk.say(COMMAND + b"\r\n")
        assert talk.client.received == GO
        inner = Client(usual_client())
        answer = through(talk, inner)
        assert answer == b""
        assert inner.shaken
        assert protocol.transport.tls is not None
        assert protocol.transport.tls is not outer
        through(talk, inner, inner.encrypt(b"MAIL\r\n"))
        assert inner.received == b"OK MAIL\r\n"
        talk.transport.write(b"x" * 200_000)
        talk.transport.close()
        through(talk, inner)
        assert inner.received == b"OK MAIL\r\n" + b"x" * 200_000
        assert inner.ended
        assert talk.client.ended
        assert protocol.heard.count("connection_made") == 1

    def test_refuses_what_came_before_in_the_outer_one(self, version: str) -> None:
        protocol = Upgrading()
        talk = upgraded(protocol, Client(usual_client(version)))
        talk.say(COMMAND + b"\r\nMAIL\r\n")
        assert protocol.lines == [COMMAND, COMMAND]
        assert type(protocol.reason) is EarlyPlaintext

    def test_ends_with_the_outer_ones_farewell_as_a_cut(self, version: str) -> None:
        protocol = Upgrading()
        talk = upgraded(protocol, Client(usual_client(version)))
        talk.say(COMMAND + b"\r\n")
        inner = Client(usual_client())
        talk.client.received.clear()
        through(talk, inner)
        talk.to_server(talk.client.farewell())
        if not talk.harness.lost:
            talk.harness.feed_eof()
        assert talk.harness.lost
        assert type(protocol.reason) is ConnectionLost


def through(talk: Talk, inner: Client, said: bytes = b"") -> bytes:
    """Carry what an inner client says through the outer one; return what it cannot read."""
    talk.client.received.clear()
    while True:
        said += inner.output()
        if said and not talk.harness.lost:
            talk.to_server(talk.client.encrypt(said))
        talk.exchange()
        received = bytes(talk.client.received)
        talk.client.received.clear()
        if not received:
            return b""
        inner.receive(received)
        said = b""


@BOTH
def test_an_upgrade_of_a_connection_that_was_tls_from_the_start(version: str) -> None:
    protocol = Upgrading()
    talk = talking(protocol, version)
    talk.transport.write(b"before ")
    talk.say(COMMAND + b"\r\n")
    assert talk.client.received == b"before " + GO
    inner = Client(usual_client())
    through(talk, inner)
    through(talk, inner, inner.encrypt(b"MAIL\r\n"))
    assert inner.received == b"OK MAIL\r\n"
