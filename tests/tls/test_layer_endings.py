"""How a connection over TLS ends, with no event loop: farewells, truncation, half-close."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tls.client_side import (
    VERSIONS,
    nothing_logged,
    talking,
)
from tests.tls.forger import Forger13, client_that_logs
from trioproto.errors import (
    CloseTimeout,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    NotSupported,
    ServerDraining,
    WriteTimeout,
)
from trioproto.testing.conformance.recorder import Recorder, keep_open, never

BOTH = pytest.mark.parametrize("version", VERSIONS)


def answer_and_close(self: Recorder) -> None:
    self.transport.write(b"to the end")
    self.transport.close()


@BOTH
class TestClose:
    def test_sends_a_farewell_after_the_data_and_before_the_end(self, version: str) -> None:
        protocol = Recorder(data_received=answer_and_close)
        talk = talking(protocol, version)
        talk.harness.window = 0
        talk.to_server(talk.client.encrypt(b"go"))
        seen: list[tuple[int, bool, bool]] = []
        while not talk.harness.write_closed:
            talk.harness.window = 1
            talk.to_client()
            seen.append((len(talk.client.received), talk.client.ended, talk.harness.write_closed))
        assert seen[-1] == (10, True, True)
        assert all(not closed for _, ended, closed in seen if not ended)
        assert all(size == 10 for size, ended, _ in seen if ended)
        assert talk.harness.take() == b""

    @pytest.mark.parametrize("size", [1, 16_384, 16_385, 100_000, 300_000])
    @pytest.mark.parametrize("window", [1000, 16_406, 40_000, None])
    def test_loses_nothing_of_what_waits(self, version: str, size: int, window: int | None) -> None:
        protocol = Recorder(data_received=lambda self: self.transport.write(bytes(size)))
        talk = talking(protocol, version, window=0)
        talk.to_server(talk.client.encrypt(b"go"))
        talk.transport.close()
        while not talk.harness.write_closed:
            assert not talk.client.ended
            talk.harness.window = window
            talk.to_client()
        assert talk.client.received == bytes(size)
        assert talk.client.ended

    def test_says_farewell_once(self, version: str) -> None:
        protocol = Recorder()
        talk = talking(protocol, version)
        talk.transport.close()
        talk.transport.close()
        talk.to_client()
        assert talk.client.ended
        talk.to_server(talk.client.farewell())
        talk.harness.feed_eof()
        assert talk.harness.take() == b""
        assert type(protocol.reason) is ConnectionDone

    @pytest.mark.parametrize("peer", ["silent", "ends", "says farewell", "talks", "resets"])
    def test_never_waits_long_for_the_others_farewell(
        self, version: str, peer: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        protocol = Recorder(data_received=never)
        talk = talking(protocol, version, linger=2)
        talk.transport.close()
        if peer == "ends":
            talk.harness.feed_eof()
        elif peer == "says farewell":
            talk.to_server(talk.client.farewell())
        elif peer == "resets":
            talk.harness.reset()
        elif peer == "talks":
            for _ in range(3):
                talk.to_server(talk.client.encrypt(b"but"))
                talk.harness.advance(0.5)
        talk.harness.advance(2.1)
        assert talk.harness.lost
        assert type(protocol.reason) is ConnectionDone
        assert protocol.heard == ["connection_made", "connection_lost"]
        assert nothing_logged(caplog)

    def test_ends_in_time_if_nobody_takes_the_farewell(self, version: str) -> None:
        protocol = Recorder()
        talk = talking(protocol, version, close_timeout=5, window=0)
        talk.transport.close()
        assert not talk.harness.write_closed
        talk.harness.advance(5.1)
        assert talk.harness.lost
        assert type(protocol.reason) in (CloseTimeout, WriteTimeout)

    def test_in_a_callback_delivers_nothing_more_of_the_same_chunk(self, version: str) -> None:
        protocol = Recorder(data_received=lambda self: self.transport.close())
        talk = talking(protocol, version)
        first, rest = talk.client.encrypt(b"first"), talk.client.encrypt(b"rest")
        talk.harness.feed(first)
        talk.harness.feed(rest)
        assert protocol.received == b"first"

    def test_may_be_for_a_reason(self, version: str) -> None:
        protocol = Recorder()
        talk = talking(protocol, version)
        talk.transport.close(ServerDraining())
        talk.to_client()
        assert talk.client.ended
        talk.end()
        assert type(protocol.reason) is ServerDraining


@BOTH
class TestAHardEnd:
    """A cut reply must not look whole: no farewell is said."""

    @pytest.mark.parametrize("how", ["abort", "cancel", "error", "overflow", "reset"])
    def test_says_no_farewell(
        self, version: str, how: str, logged_errors: list[Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(self: Recorder) -> None:
            raise ZeroDivisionError

        protocol = Recorder(data_received=fail)
        talk = talking(protocol, version, callback_errors="log", max_buffered=65536)
        talk.transport.write(b"partly")
        talk.to_client()
        if how == "error":
            talk.to_server(talk.client.encrypt(b"go"))
        elif how == "overflow":
            talk.harness.window = 0
            for _ in range(10):
                talk.transport.write(bytes(65536))
        else:
            getattr(talk.transport if how == "abort" else talk.harness, how)()
        talk.harness.window = None
        talk.to_client()
        assert talk.harness.lost
        assert talk.harness.transport.broken
        assert not talk.client.ended
        assert not talk.harness.write_closed
        assert len(caplog.records) == (how == "error")

    def test_sends_nothing_that_was_written_before(self, version: str) -> None:
        protocol = Recorder()
        talk = talking(protocol, version, window=0)
        talk.transport.write(bytes(50_000))
        talk.transport.abort()
        talk.harness.window = None
        assert talk.harness.take() == b""
        assert type(protocol.reason) is ConnectionAborted
        assert talk.transport.buffered == 0


@BOTH
class TestAFarewell:
    def test_is_eof(self, version: str) -> None:
        protocol = Recorder()
        talk = talking(protocol, version)
        talk.to_server(talk.client.encrypt(b"last words"))
        talk.to_server(talk.client.farewell())
        assert protocol.heard[:3] == ["connection_made", "data_received", "eof_received"]
        talk.to_client()
        assert talk.client.ended  # it was answered
        assert talk.harness.write_closed
        if not talk.harness.lost:
            talk.harness.feed_eof()
        assert type(protocol.reason) is ConnectionDone
        assert protocol.heard.count("eof_received") == 1

    def test_may_come_in_pieces_and_with_data(self, version: str) -> None:
        protocol = Recorder()
        talk = talking(protocol, version)
        wire = talk.client.encrypt(b"last ") + talk.client.encrypt(b"words")
        talk.to_server(wire + talk.client.farewell(), cut=1)
        assert protocol.received == b"last words"
        assert "eof_received" in protocol.heard

    def test_is_followed_by_all_that_waits_and_ours(self, version: str) -> None:
        protocol = Recorder(eof_received=lambda self: self.transport.write(b"good bye"))
        talk = talking(protocol, version, window=0)
        talk.transport.write(bytes(100_000))
        talk.to_server(talk.client.farewell())
        while not talk.harness.write_closed:
            talk.harness.window = 5000
            talk.to_client()
        # Python's SSLObject reads no more after it has said farewell under TLS 1.2.
        if version == "TLSv1.3":
            assert talk.client.received == bytes(100_000) + b"good bye"
            assert talk.client.ended

    def test_waits_while_the_protocol_pauses(self, version: str) -> None:
        protocol = Recorder(data_received=lambda self: self.transport.pause_reading())
        talk = talking(protocol, version)
        talk.to_server(talk.client.encrypt(b"a"))
        talk.to_server(talk.client.encrypt(b"b") + talk.client.farewell())
        assert protocol.received == b"a"
        assert "eof_received" not in protocol.heard
        talk.transport.resume_reading()
        assert protocol.received == b"ab"
        talk.transport.resume_reading()
        assert "eof_received" in protocol.heard

    def test_may_be_followed_by_anything(self, version: str) -> None:
        protocol = Recorder(eof_received=keep_open)
        talk = talking(protocol, version)
        talk.to_server(talk.client.farewell() + b"garbage" * 100)
        if not talk.harness.lost:
            talk.harness.feed(b"more garbage")
        assert protocol.received == b""
        assert protocol.heard[:2] == ["connection_made", "eof_received"]


class TestHalfClose13:
    """TLS 1.3 lets one side end alone."""

    def test_of_the_peer_lets_us_write_on(self) -> None:
        protocol = Recorder(eof_received=keep_open)
        talk = talking(protocol, "TLSv1.3")
        talk.to_server(talk.client.farewell())
        talk.harness.feed_eof()
        assert protocol.heard == ["connection_made", "eof_received"]
        assert not talk.client.ended
        for _ in range(3):
            talk.transport.write(bytes(70_000))
            talk.harness.advance(1)
            talk.to_client()
        assert talk.client.received == bytes(210_000)
        assert not talk.client.ended
        talk.transport.close()
        talk.to_client()
        assert talk.client.ended
        talk.harness.advance(3)
        assert type(protocol.reason) is ConnectionDone

    @pytest.mark.parametrize("ends", ["the stream too", "no more than that"])
    def test_of_the_peer_is_still_eof_if_the_stream_goes_on(self, ends: str) -> None:
        protocol = Recorder(eof_received=keep_open)
        talk = talking(protocol, "TLSv1.3")
        talk.to_server(talk.client.farewell())
        talk.transport.write(b"still here")
        if ends == "the stream too":
            talk.harness.feed_eof()
        talk.transport.write(b", still")
        talk.to_client()
        assert talk.client.received == b"still here, still"
        assert protocol.heard == ["connection_made", "eof_received"]

    def test_of_ours_lets_us_read_on(self) -> None:
        protocol = Recorder()
        talk = talking(protocol, "TLSv1.3")
        assert talk.transport.can_write_eof
        talk.transport.write(b"all I have to say")
        talk.transport.write_eof()
        talk.transport.write(b"never sent")
        talk.to_client()
        assert talk.client.received == b"all I have to say"
        assert talk.client.ended
        for _ in range(3):
            talk.to_server(talk.client.encrypt(b"and I "))
        assert protocol.received == b"and I " * 3
        assert not talk.harness.lost
        talk.end()
        assert protocol.heard[-2:] == ["eof_received", "connection_lost"]
        assert type(protocol.reason) is ConnectionDone

    @pytest.mark.parametrize("received", [1, 4, 5, 6, 20])
    def test_of_ours_in_the_middle_of_a_record_of_theirs_loses_nothing(self, received: int) -> None:
        protocol = Recorder()
        talk = talking(protocol, "TLSv1.3")
        wire = talk.client.encrypt(b"one") + talk.client.encrypt(b"two")
        talk.harness.feed(wire[:received])
        talk.transport.write_eof()
        talk.harness.feed(wire[received:])
        assert protocol.received == b"onetwo"
        talk.to_server(talk.client.encrypt(b"three"))
        assert protocol.received == b"onetwothree"
        talk.to_client()
        assert talk.client.ended

    def test_of_ours_in_a_callback_delivers_the_rest_of_the_chunk(self) -> None:
        protocol = Recorder(data_received=lambda self: self.transport.write_eof())
        talk = talking(protocol, "TLSv1.3")
        wire = b"".join(talk.client.encrypt(bytes([n])) for n in range(50))
        talk.to_server(wire, cut=100)
        assert protocol.received == bytes(range(50))

    def test_of_ours_then_theirs_without_a_farewell_is_a_loss(self) -> None:
        protocol = Recorder()
        talk = talking(protocol, "TLSv1.3")
        talk.transport.write_eof()
        talk.to_server(talk.client.encrypt(b"partly"))
        talk.harness.feed_eof()
        assert protocol.received == b"partly"
        assert type(protocol.reason) is ConnectionLost

    def test_of_both_ends_the_connection(self) -> None:
        protocol = Recorder(eof_received=keep_open)
        talk = talking(protocol, "TLSv1.3")
        talk.to_server(talk.client.farewell())
        talk.transport.write_eof()
        talk.to_client()
        assert talk.client.ended
        assert talk.harness.write_closed
        talk.harness.feed_eof()
        talk.harness.advance(3)
        assert type(protocol.reason) is ConnectionDone

    def test_of_ours_lets_keys_change_once_more(self, tmp_path: Path) -> None:
        """Their answer is not possible any more: nothing may follow a farewell."""
        protocol = Recorder()
        talk = talking(protocol, client=client_that_logs(tmp_path, "TLSv1.3"))
        forger = Forger13(tmp_path)
        talk.transport.write_eof()
        talk.harness.take()
        wire = forger.key_update(asks=True) + forger.key_update(asks=True)
        talk.to_server(wire + forger.record(b"after"))
        assert protocol.received == b"after"
        assert talk.harness.take() == b""


class TestHalfClose12:
    """TLS 1.2 does not."""

    def test_of_ours_is_not_supported(self) -> None:
        talk = talking(Recorder(), "TLSv1.2")
        assert not talk.transport.can_write_eof
        with pytest.raises(NotSupported):
            talk.transport.write_eof()
        assert not talk.transport.closing
        talk.transport.write(b"still here")
        talk.to_client()
        assert talk.client.received == b"still here"

    def test_of_theirs_ends_the_connection_though_it_was_to_be_kept_open(self) -> None:
        def last_words(self: Recorder) -> bool:
            self.transport.write(bytes(50_000))
            return True

        protocol = Recorder(eof_received=last_words)
        talk = talking(protocol, "TLSv1.2", window=1000)
        talk.to_server(talk.client.farewell())
        assert talk.transport.closing
        before = len(talk.harness.take())
        talk.harness.window = None
        assert before + len(talk.harness.take()) > 50_000
        assert talk.harness.write_closed
        talk.harness.feed_eof() if not talk.harness.lost else None
        assert type(protocol.reason) is ConnectionDone
