"""Ends of a connection over TLS that nobody has said farewell for, with no event loop."""

from __future__ import annotations

import ssl

import pytest

from tests.tls.client_side import (
    VERSIONS,
    Client,
    Talk,
    nothing_logged,
    one_warning,
    talking,
    usual_client,
)
from trioproto.errors import (
    ConnectionDone,
    ConnectionLost,
    HandshakeFailed,
    IdleTimeout,
    ServerCancelled,
    ServerDraining,
)
from trioproto.testing.conformance.recorder import Recorder, keep_open, never

BOTH = pytest.mark.parametrize("version", VERSIONS)


@BOTH
class TestTruncation:
    """An end of the stream that is no end of TLS: somebody may have cut it."""

    @pytest.mark.parametrize("said", [b"", b"a whole record"])
    def test_is_a_loss(self, version: str, said: bytes, caplog: pytest.LogCaptureFixture) -> None:
        protocol = Recorder(eof_received=never)
        talk = talking(protocol, version)
        if said:
            talk.to_server(talk.client.encrypt(said))
        talk.harness.feed_eof()
        assert protocol.received == said
        assert type(protocol.reason) is ConnectionLost
        assert "close_notify" in str(protocol.reason)
        assert nothing_logged(caplog)

    def test_of_a_record_is_a_loss(self, version: str) -> None:
        size = len(talking(Recorder(), version).client.encrypt(b"data"))
        for at in range(1, size):
            protocol = Recorder(eof_received=never)
            talk = talking(protocol, version)
            talk.harness.feed(talk.client.encrypt(b"data")[:at])
            talk.harness.feed_eof()
            assert protocol.received == b""
            assert type(protocol.reason) is ConnectionLost

    def test_of_the_farewell_is_a_loss(self, version: str) -> None:
        protocol = Recorder(eof_received=never)
        talk = talking(protocol, version)
        talk.harness.feed(talk.client.farewell()[:-1])
        talk.harness.feed_eof()
        assert type(protocol.reason) is ConnectionLost

    def test_may_be_taken_as_an_end(self, version: str) -> None:
        protocol = Recorder(eof_received=lambda self: self.transport.write(b"bye"))
        talk = talking(protocol, version, require_close_notify=False)
        talk.to_server(talk.client.encrypt(b"data"))
        talk.harness.feed_eof()
        assert protocol.heard[1:3] == ["data_received", "eof_received"]
        talk.to_client()
        assert talk.client.received == b"bye"
        assert talk.client.ended
        assert talk.harness.write_closed
        talk.harness.advance(3)
        assert type(protocol.reason) is ConnectionDone

    def test_may_be_taken_as_an_end_and_kept_open(self, version: str) -> None:
        protocol = Recorder(eof_received=keep_open)
        talk = talking(protocol, version, require_close_notify=False)
        talk.harness.feed_eof()
        assert talk.transport.closing is (version == "TLSv1.2")
        talk.transport.write(b"still here")
        talk.to_client()
        wanted = b"still here" if version == "TLSv1.3" else b""
        assert bytes(talk.client.received) == wanted

    def test_in_mid_record_delivers_nothing_of_it_even_then(self, version: str) -> None:
        protocol = Recorder()
        talk = talking(protocol, version, require_close_notify=False)
        talk.harness.feed(talk.client.encrypt(b"data")[:-1])
        talk.harness.feed_eof()
        talk.harness.advance(3)
        assert protocol.received == b""
        assert type(protocol.reason) in (ConnectionDone, ConnectionLost)

    def test_is_none_of_a_connection_that_we_have_ended(self, version: str) -> None:
        protocol = Recorder()
        talk = talking(protocol, version)
        talk.transport.close()
        talk.harness.feed_eof()
        assert type(protocol.reason) is ConnectionDone

    def test_while_output_waits_after_close_loses_nothing(self, version: str) -> None:
        protocol = Recorder()
        talk = talking(protocol, version, window=0)
        talk.transport.write(bytes(50_000))
        talk.transport.close()
        talk.harness.feed_eof()
        talk.harness.window = None
        talk.to_client()
        assert talk.client.received == bytes(50_000)
        assert talk.client.ended
        assert type(protocol.reason) is ConnectionDone

    def test_waits_while_the_protocol_pauses(self, version: str) -> None:
        """What came before it is delivered first, as before an EOF."""
        protocol = Recorder(eof_received=never)
        talk = talking(protocol, version)
        talk.transport.pause_reading()
        talk.to_server(talk.client.encrypt(b"data"))
        talk.harness.feed_eof()
        if not talk.harness.lost:
            talk.transport.resume_reading()
        assert protocol.received == b"data"
        assert type(protocol.reason) is ConnectionLost


@BOTH
class TestOtherEndings:
    def test_a_reset_keeps_its_errno(self, version: str) -> None:
        protocol = Recorder()
        talk = talking(protocol, version)
        talk.harness.reset()
        assert type(protocol.reason) is ConnectionLost
        assert isinstance(protocol.reason.__cause__, OSError)
        assert talk.transport.tls is not None
        assert talk.transport.tls.version == version

    def test_silence_is_told_to_the_protocol_and_closes_cleanly(self, version: str) -> None:
        protocol = Recorder()
        talk = talking(protocol, version, idle_timeout=60)
        talk.harness.advance(59)
        talk.say(b"I am here")
        talk.harness.advance(59)
        assert "timed_out" not in protocol.heard
        talk.harness.advance(1.1)
        assert "timed_out" in protocol.heard
        talk.to_client()
        assert talk.client.ended
        talk.end()
        assert type(protocol.reason) is IdleTimeout

    def test_what_we_send_ourselves_is_no_activity(self, version: str) -> None:
        """Neither data nor tickets."""
        protocol = Recorder()
        talk = talking(protocol, version, idle_timeout=60)
        for _ in range(5):
            talk.harness.advance(11)
            talk.transport.write(b"hello?")
            talk.to_client()
        talk.harness.advance(5.5)
        assert "timed_out" in protocol.heard

    def test_a_drain_closes_cleanly_after_what_was_received(self, version: str) -> None:
        protocol = Recorder(data_received=lambda self: self.transport.write(b"reply"))
        talk = talking(protocol, version)
        talk.to_server(talk.client.encrypt(b"request"))
        talk.harness.drain()
        talk.to_client()
        assert talk.client.received == b"reply"
        assert talk.client.ended
        talk.end()
        assert type(protocol.reason) is ServerDraining


@BOTH
class TestADrainInAHandshake:
    def test_turns_a_silent_client_away_at_once(
        self, version: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        protocol = Recorder()
        talk = Talk(protocol, Client(usual_client(version)))
        talk.harness.drain()
        assert talk.transport.closing
        talk.harness.feed_eof()
        assert talk.harness.lost
        assert type(talk.harness.reason) is ServerDraining
        assert protocol.heard == []
        assert nothing_logged(caplog)

    @pytest.mark.parametrize("after", [1, 100, None])
    def test_lets_one_that_has_begun_finish_and_answers_its_request(
        self, version: str, after: int | None
    ) -> None:
        protocol = Recorder(data_received=lambda self: self.transport.write(b"reply"))
        talk = Talk(protocol, Client(usual_client(version)))
        hello = talk.client.output()
        talk.harness.feed(hello[:after])
        talk.harness.drain()
        assert not talk.transport.closing
        if after is not None:
            talk.harness.feed(hello[after:])
        talk.to_client()
        if version == "TLSv1.2":
            talk.to_server(talk.client.output())
            talk.to_client()
        # In one chunk with the end of the handshake: received before quiesce.
        talk.to_server(talk.client.output() + talk.client.encrypt(b"request"))
        talk.to_client()
        if version == "TLSv1.3":
            assert protocol.received == b"request"
            assert talk.client.received == b"reply"
        assert protocol.heard[0] == "connection_made"
        assert "quiesce" in protocol.heard
        assert talk.client.ended
        talk.end()
        assert type(protocol.reason) is ServerDraining

    def test_ends_one_that_stops_in_its_middle(self, version: str) -> None:
        protocol = Recorder()
        talk = Talk(protocol, Client(usual_client(version)))
        talk.harness.feed(talk.client.output()[:50])
        talk.harness.drain()
        talk.harness.advance(10.1)
        assert talk.harness.lost
        assert protocol.heard == []

    def test_may_be_a_cancellation(self, version: str, caplog: pytest.LogCaptureFixture) -> None:
        protocol = Recorder()
        talk = Talk(protocol, Client(usual_client(version)))
        talk.harness.feed(talk.client.output()[:50])
        talk.harness.cancel()
        assert talk.harness.lost
        assert type(talk.harness.reason) is ServerCancelled
        assert protocol.heard == []
        assert nothing_logged(caplog)


@BOTH
def test_a_failed_handshake_is_told_to_the_log_once_whatever_follows(
    version: str, caplog: pytest.LogCaptureFixture
) -> None:
    protocol = Recorder()
    talk = Talk(protocol, Client(usual_client(version)))
    talk.harness.feed(b"GET / HTTP/1.1\r\n")
    talk.harness.feed(b"Host: server.example\r\n\r\n")
    talk.transport.close()
    talk.transport.abort()
    talk.harness.advance(100)
    assert type(talk.harness.reason) is HandshakeFailed
    assert isinstance(talk.harness.reason.__cause__, ssl.SSLError)
    assert one_warning(caplog)
