"""The handshake of STARTTLS with no event loop: its time, and what else happens meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tls.client_side import (
    VERSIONS,
    Client,
    default_server,
    nothing_logged,
    one_warning,
    usual_client,
)
from tests.tls.upgrading import COMMAND, GO, Upgrading, in_plain, told_to, upgraded
from trioproto.errors import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    HandshakeFailed,
    HandshakeTimeout,
    IdleTimeout,
    OutboundOverflow,
    ServerCancelled,
    ServerDraining,
)
from trioproto.testing.conformance.recorder import Recorder

BOTH = pytest.mark.parametrize("version", VERSIONS)


class TestAHandshakeThatGoesOn:
    def test_has_its_time_from_the_call_on(self, caplog: pytest.LogCaptureFixture) -> None:
        protocol = Upgrading()
        talk = in_plain(protocol, handshake_timeout=7, idle_timeout=60)
        talk.harness.advance(30)
        talk.harness.feed(COMMAND + b"\r\n")
        talk.harness.advance(6.9)
        assert protocol.reasons == []
        talk.harness.advance(0.2)
        assert type(protocol.reason) is HandshakeTimeout
        assert protocol.reason.seconds == 7
        assert one_warning(caplog)

    def test_has_its_time_only_however_slowly_the_peer_goes_on(self) -> None:
        protocol = Upgrading()
        talk = told_to(protocol, handshake_timeout=10, idle_timeout=3)
        hello = talk.client.output()
        for at in range(9):
            talk.harness.advance(1.1)
            talk.harness.feed(hello[at : at + 1])
        talk.harness.advance(0.2)
        assert type(protocol.reason) is HandshakeTimeout

    def test_is_no_silence(self) -> None:
        """The idle clock stands, and starts again when it is done."""
        protocol = Upgrading()
        talk = told_to(protocol, handshake_timeout=None, idle_timeout=3)
        while not talk.client.shaken:
            talk.harness.advance(50)
            talk.to_server(talk.client.output())
            talk.to_client()
        talk.exchange()
        talk.harness.advance(2.9)
        assert "timed_out" not in protocol.heard
        talk.harness.advance(0.2)
        assert "timed_out" in protocol.heard
        talk.end()
        assert type(protocol.reason) is IdleTimeout

    @pytest.mark.parametrize("size", [0, 1, 100, 10_000])
    def test_may_end_in_an_eof(self, size: int, caplog: pytest.LogCaptureFixture) -> None:
        protocol = Upgrading()
        talk = told_to(protocol)
        if size:
            talk.harness.feed(talk.client.output()[:size])
        talk.harness.feed_eof()
        talk.harness.advance(3)
        assert isinstance(protocol.reason, HandshakeFailed)
        assert "eof_received" not in protocol.heard
        assert one_warning(caplog)

    def test_may_have_ended_in_an_eof_before_it_begins(self) -> None:
        class Slow(Upgrading):
            def line_received(self, line: bytes) -> None:
                self.transport.pause_reading()

        protocol = Slow()
        talk = in_plain(protocol)
        talk.harness.feed(b"x\r\n")
        talk.harness.feed_eof()
        talk.transport.start_tls(default_server())
        assert isinstance(protocol.reason, HandshakeFailed)
        assert "eof_received" not in protocol.heard

    def test_may_end_in_a_reset(self, caplog: pytest.LogCaptureFixture) -> None:
        protocol = Upgrading()
        talk = told_to(protocol)
        talk.harness.feed(talk.client.output()[:9])
        talk.harness.reset()
        assert type(protocol.reason) is ConnectionLost
        assert nothing_logged(caplog)

    @pytest.mark.parametrize(
        ("end", "kind"), [("abort", ConnectionAborted), ("cancel", ServerCancelled)]
    )
    def test_may_be_ended_by_us(
        self, end: str, kind: type, caplog: pytest.LogCaptureFixture
    ) -> None:
        protocol = Upgrading()
        talk = told_to(protocol)
        talk.harness.feed(talk.client.output()[:9])
        getattr(talk.transport if end == "abort" else talk.harness, end)()
        assert type(protocol.reason) is kind
        assert talk.harness.transport.broken
        assert nothing_logged(caplog)

    def test_goes_on_while_the_protocol_pauses_reading(self) -> None:
        """What is paused is what the protocol gets."""

        class Pausing(Upgrading):
            def upgrade(self) -> None:
                self.transport.pause_reading()
                super().upgrade()

        protocol = Pausing()
        talk = upgraded(protocol)
        assert protocol.transport.tls is not None
        talk.to_server(talk.client.encrypt(b"MAIL\r\n"))
        assert protocol.lines == [COMMAND]
        talk.transport.resume_reading()
        assert protocol.lines == [COMMAND, b"MAIL"]

    @pytest.mark.parametrize("auto_pause", [True, False])
    def test_goes_on_while_much_output_waits_for_it(self, auto_pause: bool) -> None:
        """Else neither could go on: the output waits for the handshake, and that for reading."""

        class Eager(Upgrading):
            def upgrade(self) -> None:
                super().upgrade()
                self.transport.write(bytes(500_000))

        protocol = Eager()
        protocol.auto_pause = auto_pause
        talk = upgraded(protocol)
        assert talk.client.received == bytes(500_000)
        talk.say(b"MAIL\r\n")
        assert protocol.lines == [COMMAND, b"MAIL"]

    def test_holds_no_output_without_bound(self) -> None:
        protocol = Upgrading()
        talk = told_to(protocol, max_buffered=100_000)
        for _ in range(10):
            talk.transport.write(bytes(50_000))
        assert type(protocol.reason) is OutboundOverflow

    def test_waits_for_the_answer_to_be_sent(self) -> None:
        """A peer that does not read cannot hold it for ever."""
        protocol = Upgrading()
        talk = in_plain(protocol, window=3, write_timeout=5, handshake_timeout=100)
        talk.harness.feed(COMMAND + b"\r\n")
        assert talk.harness.take() == GO[:3]
        talk.harness.advance(5.1)
        assert talk.harness.lost


class TestACloseRightAfterTheCall:
    class Closing(Upgrading):
        def upgrade(self) -> None:
            super().upgrade()
            self.transport.write(b"good bye")
            self.transport.close()

    @BOTH
    def test_sends_what_waits_after_the_handshake(self, version: str) -> None:
        protocol = self.Closing()
        talk = told_to(protocol, Client(usual_client(version)))
        assert not talk.harness.write_closed
        talk.exchange()
        assert talk.client.received == b"good bye"
        assert talk.client.ended
        assert talk.harness.write_closed
        talk.end()
        assert type(protocol.reason) is ConnectionDone

    @pytest.mark.parametrize("handshake_timeout", [5, 100, None])
    @pytest.mark.parametrize("said", [0, 1, 100])
    def test_does_not_wait_for_a_handshake_that_never_comes(
        self, handshake_timeout: float | None, said: int
    ) -> None:
        protocol = self.Closing()
        talk = told_to(protocol, handshake_timeout=handshake_timeout, close_timeout=15)
        talk.to_server(talk.client.output()[:said])
        talk.harness.advance(16)
        assert talk.harness.lost
        assert b"good bye" not in talk.harness.take()

    @pytest.mark.parametrize("early", [b"", b"evil"])
    def test_ends_in_time_also_if_nothing_waits(self, early: bytes) -> None:
        class Bare(Upgrading):
            def upgrade(self) -> None:
                super().upgrade()
                self.transport.close()

        protocol = Bare()
        talk = in_plain(protocol)
        talk.harness.feed(COMMAND + b"\r\n" + early)
        assert talk.harness.take() == GO
        talk.harness.advance(18)
        assert talk.harness.lost
        assert protocol.lines == [COMMAND]

    def test_sends_nothing_after_our_end(self) -> None:
        class Bare(Upgrading):
            def upgrade(self) -> None:
                super().upgrade()
                self.transport.close()

        talk = told_to(Bare())
        if talk.harness.write_closed:
            talk.to_server(talk.client.output())
            assert talk.harness.take() == b""
        else:
            talk.exchange()
            assert talk.client.ended

    @pytest.mark.parametrize("how", ["eof", "reset", "garbage"])
    def test_ends_if_the_handshake_does(self, how: str) -> None:
        protocol = self.Closing()
        talk = told_to(protocol)
        if how == "garbage":
            talk.harness.feed(b"GET / HTTP/1.1\r\n\r\n")
            talk.harness.advance(3)
        else:
            getattr(talk.harness, "reset" if how == "reset" else "feed_eof")()
        assert talk.harness.lost
        assert b"good bye" not in talk.harness.take()


class TestAnotherProtocolInTheSameCallback:
    @pytest.mark.parametrize("switch_first", [True, False])
    @BOTH
    def test_is_told_when_the_handshake_is_done(self, version: str, switch_first: bool) -> None:
        seen: list[Any] = []

        def greet(self: Recorder) -> None:
            seen.append(self.transport.tls)
            self.transport.write(b"welcome")

        new = Recorder(connection_made=greet)

        class Switching(Upgrading):
            def upgrade(self) -> None:
                self.transport.write(GO)
                if switch_first:
                    self.transport.switch_protocol(new)
                self.transport.start_tls(self.context)
                if not switch_first:
                    self.transport.switch_protocol(new)

        old = Switching()
        talk = told_to(old, Client(usual_client(version)))
        assert new.heard == []
        talk.exchange()
        assert new.heard == ["connection_made"]
        assert seen[0] is not None
        assert seen[0].version == version
        assert talk.client.received == b"welcome"
        talk.say(b"data")
        assert new.received == b"data"
        talk.end()
        assert new.heard[-1] == "connection_lost"
        assert "connection_lost" not in old.heard

    def test_gets_what_came_with_the_end_of_the_handshake(self) -> None:
        new = Recorder()

        class Switching(Upgrading):
            def upgrade(self) -> None:
                super().upgrade()
                self.transport.switch_protocol(new)

        talk = told_to(Switching())
        while not talk.client.shaken:
            talk.to_server(talk.client.output())
            talk.to_client()
        wire = talk.client.output() + talk.client.encrypt(b"data") + talk.client.farewell()
        talk.harness.feed(wire)
        assert new.received == b"data"
        assert new.heard[:3] == ["connection_made", "data_received", "eof_received"]

    @pytest.mark.parametrize("how", ["eof", "reset", "garbage", "silence"])
    def test_hears_nothing_if_the_handshake_fails(self, how: str) -> None:
        new = Recorder()

        class Switching(Upgrading):
            def upgrade(self) -> None:
                super().upgrade()
                self.transport.switch_protocol(new)

        old = Switching()
        talk = told_to(old)
        if how == "garbage":
            talk.harness.feed(b"GET / HTTP/1.1\r\n\r\n")
        elif how != "silence":
            getattr(talk.harness, "reset" if how == "reset" else "feed_eof")()
        talk.harness.advance(11)
        assert new.heard == []
        assert old.heard[-1] == "connection_lost"
        assert isinstance(old.reason, HandshakeFailed | HandshakeTimeout | ConnectionLost)


class TestADrain:
    @pytest.mark.parametrize("said", [1, 100, None])
    @BOTH
    def test_lets_a_handshake_that_has_begun_finish(self, version: str, said: int | None) -> None:
        """As one from the start of the connection: the client sees a clean end."""
        protocol = Upgrading()
        talk = told_to(protocol, Client(usual_client(version)))
        hello = talk.client.output()
        talk.harness.feed(hello[:said])
        talk.harness.drain()
        assert not talk.transport.closing
        if said is not None:
            talk.harness.feed(hello[said:])
        talk.exchange()
        assert talk.client.shaken
        assert protocol.heard[-1] == "quiesce"
        assert talk.client.ended
        talk.end()
        assert type(protocol.reason) is ServerDraining

    def test_answers_what_came_with_the_end_of_the_handshake(self) -> None:
        protocol = Upgrading()
        talk = told_to(protocol)
        talk.to_server(talk.client.output())
        talk.harness.drain()
        while not talk.client.shaken:
            talk.to_client()
        talk.to_server(talk.client.output() + talk.client.encrypt(b"MAIL\r\nRCPT\r\n"))
        talk.to_client()
        assert protocol.heard[-3:] == [b"MAIL", b"RCPT", "quiesce"]
        assert talk.client.received == b"OK MAIL\r\nOK RCPT\r\n"
        assert talk.client.ended

    @pytest.mark.parametrize("said", [0, 1, 100])
    def test_is_not_held_by_a_silent_client(self, said: int) -> None:
        protocol = Upgrading()
        talk = told_to(protocol)
        talk.to_server(talk.client.output()[:said])
        talk.harness.drain()
        talk.harness.advance(10.1)
        assert talk.harness.lost

    def test_may_be_when_the_upgrade_begins(self) -> None:
        class Late(Upgrading):
            def quiesce(self) -> None:
                self.transport.start_tls(self.context)
                self.transport.write(b"421 bye\r\n")
                self.transport.close()

        talk = in_plain(Late())
        talk.harness.drain()
        talk.exchange()
        assert talk.client.received == b"421 bye\r\n"
        assert talk.client.ended

    def test_lets_a_last_word_out_after_the_handshake(self) -> None:
        class Polite(Upgrading):
            def quiesce(self) -> None:
                self.transport.write(b"421 bye\r\n")
                self.transport.close()

        talk = told_to(Polite())
        talk.to_server(talk.client.output())
        talk.harness.drain()
        talk.exchange()
        assert talk.client.received == b"421 bye\r\n"
        assert talk.client.ended
