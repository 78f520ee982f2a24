"""A TLS layer that refuses its peer, is a client, or is within another; with no event loop."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from tests.behaviour.tls_peers import NAME
from tests.tls.client_side import (
    VERSIONS,
    Client,
    Talk,
    for_client,
    for_server,
    leaf,
    one_warning,
    usual_client,
)
from trioproto.errors import HandshakeFailed
from trioproto.layers.tls import TLSLayer
from trioproto.sansio.errors import ConnectionClosed
from trioproto.testing.conformance.recorder import Recorder, never

pytestmark = pytest.mark.parametrize("version", VERSIONS)


class TestARefusal:
    """Ends that connection with a reason, an alert and one line in the log."""

    def refused(self, talk: Talk, caplog: pytest.LogCaptureFixture) -> ConnectionClosed:
        protocol = talk.harness.protocol
        talk.exchange()
        talk.harness.feed_eof() if not talk.harness.lost else None
        talk.harness.advance(5)
        assert talk.harness.lost
        assert protocol.heard == []
        assert len(talk.factory.connections) == 0
        assert one_warning(caplog)
        reason = talk.harness.reason
        assert type(reason) is HandshakeFailed
        assert isinstance(reason.__cause__, ssl.SSLError)
        return reason

    def test_is_for_a_version_that_is_not_served(
        self, version: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        (other,) = set(VERSIONS) - {version}
        talk = Talk(Recorder(), Client(usual_client(version)), context=for_server(other))
        self.refused(talk, caplog)
        assert talk.client.error is not None
        assert "PROTOCOL_VERSION" in str(talk.client.error)

    def test_is_for_a_client_without_the_certificate_that_is_asked_for(
        self, version: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        talk = Talk(Recorder(), Client(usual_client(version)), context=for_server(asks=True))
        reason = self.refused(talk, caplog)
        assert "certificate" in str(reason)
        assert talk.client.error is not None
        assert "ALERT" in str(talk.client.error)

    def test_may_be_the_clients(self, version: str, caplog: pytest.LogCaptureFixture) -> None:
        talk = Talk(Recorder(), Client(for_client(version, trusts=False)))
        reason = self.refused(talk, caplog)
        assert isinstance(talk.client.error, ssl.SSLCertVerificationError)
        assert "unknown ca" in str(reason)

    @pytest.mark.parametrize("cut", [1, 3, None])
    @pytest.mark.parametrize(
        "said",
        [
            b"GET / HTTP/1.1\r\nHost: server.example\r\n\r\n",
            b"EHLO client.example\r\n",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"\0" * 64,
            b"\xff" * 64,
            b"\x16\x03\x01\xff\xff" + bytes(300),  # a record that is too long
            b"\x17\x03\x03\x00\x10" + bytes(16),  # data, when only a hello may come
            b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",  # a ServerHello
            b"\x16\x03\x01\x00\x00" * 40,  # records with nothing in them
            (b"\x16\x03\x01\x00\x04\x01\xff\xff\xff"),  # a hello of 16 MiB
        ],
        ids=lambda said: repr(said[:12]),
    )
    def test_is_for_what_is_no_tls(
        self, version: str, said: bytes, cut: int | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        talk = Talk(Recorder())
        talk.client.output()  # and nothing else
        talk.to_server(said, cut=cut)
        self.refused(talk, caplog)

    def test_comes_at_once_and_not_after_the_deadline(self, version: str) -> None:
        talk = Talk(Recorder())
        talk.harness.feed(b"GET / HTTP/1.1\r\n\r\n")
        assert talk.harness.write_closed
        assert talk.transport.closing

    def test_sends_nothing_of_what_was_to_be_sent(self, version: str) -> None:
        talk = Talk(Recorder())
        talk.transport.write(b"secret")
        talk.harness.feed(b"GET / HTTP/1.1\r\n\r\n")
        assert b"secret" not in talk.harness.take()
        assert talk.transport.buffered == 0

    def test_is_not_held_up_by_a_peer_that_reads_nothing(self, version: str) -> None:
        talk = Talk(Recorder(), Client(for_client(version, trusts=False)))
        talk.harness.window = 0
        talk.harness.feed(b"GET / HTTP/1.1\r\n\r\n")
        talk.harness.advance(40)
        assert talk.harness.lost


class TestOurSideAsAClient:
    """The same layer, the other way round."""

    def layers(self, version: str, name: str = NAME, *, trusts: bool = True) -> Any:
        context = for_client(version, trusts=trusts)
        return lambda: (TLSLayer(context, server_side=False, server_hostname=name),)

    def test_has_the_first_word(self, version: str) -> None:
        protocol = Recorder(data_received=lambda self: self.transport.write(b"hi"))
        server = Client(for_server(), server_side=True)
        talk = Talk(protocol, server, layers=self.layers(version))
        talk.exchange()
        assert server.shaken
        assert protocol.heard == ["connection_made"]
        talk.say(b"hello")
        assert protocol.received == b"hello"
        assert server.received == b"hi"
        tls = protocol.transport.tls
        assert tls is not None
        assert (tls.version, tls.server_name) == (version, NAME)
        assert tls.peer_certificate is not None
        assert ("DNS", NAME) in tls.peer_certificate["subjectAltName"]

    def test_may_go_byte_by_byte(self, version: str) -> None:
        protocol = Recorder()
        server = Client(for_server(), server_side=True)
        talk = Talk(protocol, server, layers=self.layers(version), window=0)
        for _ in range(5000):
            talk.harness.window = 1
            talk.to_client()
            talk.to_server(server.output(), cut=1)
            if server.shaken and protocol.heard:
                break
        assert protocol.heard == ["connection_made"]

    @pytest.mark.parametrize(
        ("name", "trusts", "said"),
        [("elsewhere.example", True, "ostname"), (NAME, False, "certificate")],
    )
    def test_refuses_a_server_that_is_not_the_one(
        self, version: str, name: str, trusts: bool, said: str
    ) -> None:
        protocol = Recorder(connection_made=never)
        server = Client(for_server(), server_side=True)
        talk = Talk(protocol, server, layers=self.layers(version, name, trusts=trusts))
        talk.exchange()
        assert isinstance(talk.harness.reason, HandshakeFailed)
        assert said in str(talk.harness.reason)
        assert isinstance(talk.harness.reason.__cause__, ssl.SSLCertVerificationError)
        assert protocol.heard == []
        talk.to_client()
        assert server.error is not None
        assert "ALERT" in str(server.error)

    def test_shows_a_certificate_that_it_has_not_verified(self, version: str) -> None:
        context = for_client(version, trusts=False)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        protocol = Recorder()
        talk = Talk(
            protocol,
            Client(for_server(), server_side=True),
            layers=lambda: (TLSLayer(context, server_side=False),),
        )
        talk.exchange()
        tls = protocol.transport.tls
        assert tls is not None
        assert tls.peer_certificate == {}
        pem = leaf().cert_chain_pems[0].bytes().decode()
        assert tls.peer_certificate_der == ssl.PEM_cert_to_DER_cert(pem)
        assert tls.server_name is None

    def test_says_so_of_a_context_for_the_other_side(self, version: str) -> None:
        with pytest.raises(ssl.SSLError):
            TLSLayer(for_client(version), server_side=True)
        with pytest.raises(ssl.SSLError):
            TLSLayer(for_server(version), server_side=False, server_hostname=NAME)
        with pytest.raises(ValueError, match="hostname"):
            TLSLayer(for_client(version), server_side=False)


class TestTLSInTLS:
    def test_works_as_one_does(self, version: str) -> None:
        protocol = Recorder(data_received=lambda self: self.transport.write(self.received.upper()))
        outer_server, inner_server = for_server(), for_server(version)
        outer = Client(usual_client())
        talk = Talk(
            protocol,
            outer,
            layers=lambda: (
                TLSLayer(outer_server, server_side=True),
                TLSLayer(inner_server, server_side=True),
            ),
        )
        talk.exchange()
        assert outer.shaken
        assert protocol.heard == []
        inner = Client(usual_client(version))
        carry(talk, outer, inner)
        assert protocol.heard == ["connection_made"]
        assert protocol.transport.tls is not None
        assert protocol.transport.tls.version == version
        carry(talk, outer, inner, inner.encrypt(b"hello"))
        assert inner.received == b"HELLO"
        carry(talk, outer, inner, inner.farewell())
        assert inner.ended
        assert protocol.heard[-1] == "eof_received" or talk.harness.lost


def carry(talk: Talk, outer: Client, inner: Client, said: bytes = b"") -> None:
    """Carry what the inner client says within the outer one, both ways."""
    while True:
        said += inner.output()
        if said:
            talk.to_server(outer.encrypt(said))
            said = b""
        talk.exchange()
        if not outer.received:
            return
        inner.receive(bytes(outer.received))
        outer.received.clear()
