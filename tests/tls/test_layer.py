"""The handshake of a TLS layer, with no event loop: cut anywhere, agreed on, refused."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from tests.tls.client_side import (
    VERSIONS,
    Client,
    Talk,
    clients_leaf,
    fat_leaf,
    for_client,
    for_server,
    nothing_logged,
    one_warning,
    talking,
    usual_client,
)
from trioproto.errors import ConnectionDone, ConnectionLost, HandshakeFailed, HandshakeTimeout
from trioproto.testing.conformance.recorder import Recorder

pytestmark = pytest.mark.parametrize("version", VERSIONS)


def flights(version: str) -> list[bytes]:
    """What a client sends, flight by flight; the last has its first data too."""
    talk = Talk(Recorder(), Client(usual_client(version)))
    flown: list[bytes] = []
    while not talk.client.shaken:
        flown.append(talk.client.output())
        talk.to_server(flown[-1])
        talk.to_client()
    flown.append(talk.client.output() + talk.client.encrypt(b"hello"))
    return [flight for flight in flown if flight]


def fly(talk: Talk, number: int, cut: Any) -> None:
    """Shake hands and say hello, with flight *number* in the pieces that *cut* makes."""
    for current in range(10):
        flight = talk.client.output()
        if talk.client.shaken:
            flight += talk.client.encrypt(b"hello")
        pieces = cut(flight) if current == number else [flight]
        for piece in pieces:
            if piece:
                talk.harness.feed(piece)
        if b"hello" in talk.harness.protocol.received:
            return
        talk.to_client()
    raise AssertionError("no end of it")


class TestAHandshake:
    def test_may_come_byte_by_byte(self, version: str) -> None:
        protocol = Recorder()
        talk = Talk(protocol, Client(usual_client(version)))
        while not talk.client.shaken:
            assert protocol.heard == []
            assert len(talk.factory.connections) == 0
            talk.to_server(talk.client.output(), cut=1)
            talk.to_client()
        talk.to_server(talk.client.output(), cut=1)
        assert protocol.heard == ["connection_made"]
        assert len(talk.factory.connections) == 1
        talk.say(b"hello", cut=1)
        assert protocol.received == b"hello"

    def test_may_be_cut_anywhere_in_each_flight(self, version: str) -> None:
        # Flights differ by a byte or two: a signature's length is random.
        context = for_client(version)
        for number, flight in enumerate(flights(version)):
            for at in range(1, len(flight)):
                protocol = Recorder()
                talk = Talk(protocol, Client(context))
                fly(talk, number, lambda whole, at=at: [whole[:at], whole[at:]])
                assert protocol.heard == ["connection_made", "data_received"]
                assert protocol.received == b"hello"

    def test_may_come_with_the_first_data_the_farewell_and_the_end(self, version: str) -> None:
        protocol = Recorder()
        talk = Talk(protocol, Client(usual_client(version)))
        while not talk.client.shaken:
            talk.to_server(talk.client.output())
            talk.to_client()
        last = talk.client.output() + talk.client.encrypt(b"hel") + talk.client.encrypt(b"lo")
        talk.harness.feed(last + talk.client.farewell())
        talk.harness.feed_eof()
        assert protocol.received == b"hello"
        assert protocol.heard[0] == "connection_made"
        assert protocol.heard[-2:] == ["eof_received", "connection_lost"]
        assert type(protocol.reason) is ConnectionDone

    def test_may_go_out_a_byte_at_a_time(self, version: str) -> None:
        protocol = Recorder(connection_made=lambda self: self.transport.write(b"welcome"))
        talk = Talk(protocol, Client(usual_client(version)), window=0)
        talk.to_server(talk.client.output())
        for _ in range(10_000):
            talk.harness.window = 1
            talk.to_client()
            talk.to_server(talk.client.output())
            if talk.client.received == b"welcome":
                break
        assert talk.client.received == b"welcome"
        assert protocol.heard == ["connection_made"]

    def test_is_told_of_before_connection_made_and_for_ever(self, version: str) -> None:
        seen: list[Any] = []

        def look(self: Recorder) -> None:
            seen.append(self.transport.tls)

        talk = Talk(
            Recorder(connection_made=look, connection_lost=look), Client(usual_client(version))
        )
        assert talk.transport.tls is None
        talk.exchange()
        talk.end()
        assert talk.harness.lost
        assert seen == [talk.transport.tls] * 2
        assert seen[0].version == version
        name, *_ = talk.client.session.cipher() or ("",)
        assert seen[0].cipher == name
        assert (seen[0].alpn, seen[0].peer_certificate_der) == (None, None)
        assert not seen[0].resumed

    @pytest.mark.parametrize(
        ("offered", "chosen"),
        [(["h2"], "h2"), (["http/1.1", "h2"], "h2"), (["spdy/3"], None), ([], None)],
    )
    def test_agrees_on_a_protocol_or_on_none(
        self, version: str, offered: list[str], chosen: str | None
    ) -> None:
        protocol = Recorder()
        talk = talking(
            protocol,
            client=Client(for_client(version, offered)),
            context=for_server(alpn=["h2", "http/1.1"]),
        )
        assert protocol.transport.tls is not None
        assert protocol.transport.tls.alpn == chosen
        assert talk.client.session.selected_alpn_protocol() == chosen

    @pytest.mark.parametrize("window", [1000, None])
    def test_may_have_flights_of_any_size(self, version: str, window: int | None) -> None:
        protocol = Recorder()
        talk = Talk(
            protocol,
            Client(for_client(version, shows=fat_leaf())),
            context=for_server(asks=True, shows=fat_leaf()),
            window=window,
        )
        for _ in range(100):
            talk.to_server(talk.client.output(), cut=1000)
            talk.harness.window = window
            talk.to_client()
        assert protocol.heard == ["connection_made"]
        assert len(talk.client.seen) > 20_000

    def test_shows_the_clients_certificate(self, version: str) -> None:
        protocol = Recorder()
        talking(
            protocol,
            client=Client(for_client(version, shows=clients_leaf())),
            context=for_server(asks=True),
        )
        tls = protocol.transport.tls
        assert tls is not None
        assert tls.peer_certificate is not None
        assert tls.peer_certificate["subjectAltName"] == (("email", "client@example.org"),)
        pem = clients_leaf().cert_chain_pems[0].bytes().decode()
        assert tls.peer_certificate_der == ssl.PEM_cert_to_DER_cert(pem)

    def test_may_take_up_an_earlier_session(self, version: str) -> None:
        context, server = for_client(version), for_server()
        first = talking(Recorder(), client=Client(context), context=server)
        first.say(b"hello")  # a ticket of TLS 1.3 comes after the handshake
        session = first.client.session.session
        first.end()
        protocol = Recorder()
        again = talking(protocol, client=Client(context, session=session), context=server)
        assert again.client.session.session_reused
        assert protocol.transport.tls is not None
        assert protocol.transport.tls.resumed
        again.say(b"hello again")
        assert protocol.received == b"hello again"

    def test_is_followed_by_what_connection_made_writes(self, version: str) -> None:
        protocol = Recorder(connection_made=lambda self: self.transport.write(b"welcome"))
        talk = talking(protocol, version)
        assert talk.client.received == b"welcome"

    def test_holds_back_what_others_write_meanwhile(self, version: str) -> None:
        """From another connection, say; it goes out in order, and never in plain."""
        protocol = Recorder(connection_made=lambda self: self.transport.write(b"third"))
        talk = Talk(protocol, Client(usual_client(version)))
        talk.transport.write(b"first ")
        talk.to_server(talk.client.output())
        talk.transport.write(b"second ")
        talk.exchange()
        assert talk.client.received == b"first second third"
        assert b"first" not in talk.client.seen

    @pytest.mark.parametrize("end", ["close", "abort"])
    def test_may_be_ended_by_others_meanwhile(self, version: str, end: str) -> None:
        protocol = Recorder()
        talk = Talk(protocol, Client(usual_client(version)))
        talk.to_server(talk.client.output())
        getattr(talk.transport, end)()
        talk.exchange()
        talk.harness.advance(60)
        assert talk.harness.lost
        assert protocol.heard == []
        assert len(talk.factory.connections) == 0

    def test_counts_towards_no_idle_time(self, version: str) -> None:
        protocol = Recorder()
        talk = Talk(protocol, Client(usual_client(version)), idle_timeout=3)
        while not protocol.heard:
            talk.harness.advance(3.1)
            talk.to_server(talk.client.output())
            talk.to_client()
        assert protocol.heard == ["connection_made"]
        talk.harness.advance(2.9)
        assert protocol.heard == ["connection_made"]
        talk.harness.advance(0.2)
        assert protocol.heard[:2] == ["connection_made", "timed_out"]


class TestAClientThatStops:
    def test_after_any_byte_of_its_hello_has_its_time_only(
        self, version: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        hello = Client(usual_client(version)).output()
        for size in range(1, len(hello)):
            caplog.clear()
            protocol = Recorder()
            talk = Talk(protocol, handshake_timeout=7)
            talk.harness.feed(hello[:size])
            talk.harness.advance(6.9)
            assert not talk.harness.lost
            talk.harness.advance(0.2)
            assert talk.harness.lost
            assert isinstance(talk.harness.reason, HandshakeTimeout)
            assert talk.harness.reason.seconds == 7
            assert protocol.heard == []
            assert "HandshakeTimeout" in one_warning(caplog)

    def test_after_the_servers_answer_has_its_time_only(
        self, version: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        protocol = Recorder()
        talk = Talk(protocol, Client(usual_client(version)))
        talk.to_server(talk.client.output())
        talk.to_client()
        talk.harness.advance(10)
        assert talk.harness.lost
        assert type(talk.harness.reason) is HandshakeTimeout
        assert protocol.heard == []
        assert one_warning(caplog)

    def test_and_ends_its_stream_after_any_byte_of_its_hello_has_failed(
        self, version: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        hello = Client(usual_client(version)).output()
        for size in range(1, len(hello) + 1):
            caplog.clear()
            protocol = Recorder()
            talk = Talk(protocol)
            talk.harness.feed(hello[:size])
            talk.harness.feed_eof()
            assert talk.harness.lost
            assert type(talk.harness.reason) is HandshakeFailed
            assert protocol.heard == []
            assert one_warning(caplog)

    def test_before_it_begins_was_a_health_check(
        self, version: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        protocol = Recorder()
        talk = Talk(protocol, Client(usual_client(version)))
        talk.harness.feed_eof()
        assert talk.harness.lost
        assert protocol.heard == []
        assert nothing_logged(caplog)

    def test_before_it_begins_and_resets_was_a_health_check(
        self, version: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        protocol = Recorder()
        talk = Talk(protocol, Client(usual_client(version)))
        talk.harness.reset()
        assert type(talk.harness.reason) is ConnectionLost
        assert protocol.heard == []
        assert nothing_logged(caplog)
