"""STARTTLS with no event loop: what goes in plain and what does not, and injections."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from tests.behaviour.recorder import Recorder, keep_open, never
from tests.behaviour.tls_peers import NAME
from tests.tls.client_side import (
    VERSIONS,
    Client,
    Talk,
    default_server,
    for_client,
    for_server,
    nothing_logged,
    one_warning,
    talking,
)
from tests.tls.upgrading import COMMAND, GO, Upgrading, in_plain, told_to, upgraded
from trioproto import Protocol
from trioproto.errors import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    EarlyPlaintext,
    HandshakeFailed,
    HandshakeTimeout,
    IdleTimeout,
    OutboundOverflow,
    ServerCancelled,
    ServerDraining,
)

BOTH = pytest.mark.parametrize("version", VERSIONS)


@BOTH
class TestAnUpgrade:
    def test_is_answered_in_plain_and_all_else_is_encrypted(self, version: str) -> None:
        protocol = Upgrading()
        talk = in_plain(protocol, Client(for_client(version)))
        talk.harness.feed(b"EHLO\r\n" + COMMAND + b"\r\n")
        assert talk.harness.take() == b"OK EHLO\r\n" + GO
        assert protocol.transport.tls is None
        talk.exchange()
        assert talk.client.shaken
        assert protocol.transport.tls is not None
        assert protocol.transport.tls.version == version
        talk.say(b"MAIL\r\nRCPT\r\n")
        assert protocol.lines == [b"EHLO", COMMAND, b"MAIL", b"RCPT"]
        assert talk.client.received == b"OK MAIL\r\nOK RCPT\r\n"
        assert b"MAIL" not in talk.client.seen
        assert protocol.heard.count("connection_made") == 1

    def test_may_come_byte_by_byte(self, version: str) -> None:
        protocol = Upgrading()
        talk = in_plain(protocol, Client(for_client(version)), window=0)
        talk.to_server(COMMAND + b"\r\n", cut=1)
        plain = b""
        while len(plain) < len(GO):
            talk.harness.window = 1
            plain += talk.harness.take()
        assert plain == GO
        while not (talk.client.shaken and protocol.transport.tls):
            talk.to_server(talk.client.output(), cut=1)
            talk.harness.window = 1
            talk.to_client()
        talk.harness.window = None
        talk.say(b"QUIT\r\n", cut=1)
        assert talk.client.received == b"OK QUIT\r\n"

    def test_sends_in_plain_what_was_written_before_and_still_waits(self, version: str) -> None:
        protocol = Upgrading()
        talk = in_plain(protocol, Client(for_client(version)), window=0)
        talk.transport.write(b"x" * 50_000)
        talk.harness.feed(COMMAND + b"\r\n")
        plain = b""
        while len(plain) < 50_000 + len(GO):
            talk.harness.window = 1000
            plain += talk.harness.take()
        assert plain == b"x" * 50_000 + GO
        talk.harness.window = None
        talk.exchange()
        talk.say(b"QUIT\r\n")
        assert talk.client.received == b"OK QUIT\r\n"

    def test_encrypts_what_is_written_after_the_call(self, version: str) -> None:
        class Eager(Upgrading):
            def upgrade(self) -> None:
                self.transport.write(b"220 ")
                self.transport.write(b"go\r\n")
                self.transport.start_tls(self.context)
                self.transport.write(b"secret ")
                self.transport.writelines([b"in ", b"callback "])

        talk = told_to(Eager(), Client(for_client(version)))
        talk.transport.write(b"from elsewhere ")
        hello = talk.client.output()
        talk.harness.feed(hello[:50])
        talk.transport.write(b"in mid-handshake")
        talk.harness.feed(hello[50:])
        talk.exchange()
        assert talk.client.received == b"secret in callback from elsewhere in mid-handshake"
        assert b"secret" not in talk.client.seen

    def test_may_end_in_one_chunk_with_data_the_farewell_and_the_end(self, version: str) -> None:
        protocol = Upgrading()
        talk = told_to(protocol, Client(for_client(version)))
        while not talk.client.shaken:
            talk.to_server(talk.client.output())
            talk.to_client()
        wire = talk.client.output() + talk.client.encrypt(b"MAIL\r\nRCPT\r\n")
        talk.harness.feed(wire + talk.client.farewell())
        if not talk.harness.lost:
            talk.harness.feed_eof()
        assert protocol.heard[2:] == [b"MAIL", b"RCPT", "eof_received", "connection_lost"]
        assert type(protocol.reason) is ConnectionDone

    def test_may_be_cut_anywhere_together_with_the_first_data(self, version: str) -> None:
        for at in range(1, 400, 3):
            protocol = Upgrading()
            talk = told_to(protocol, Client(for_client(version)))
            while not talk.client.shaken:
                wire = talk.client.output()
                talk.to_server(wire[:at])
                talk.to_server(wire[at:])
                talk.to_client()
            wire = talk.client.output() + talk.client.encrypt(b"MAIL\r\n")
            talk.to_server(wire[:at])
            talk.to_server(wire[at:])
            assert protocol.lines == [COMMAND, b"MAIL"]

    def test_may_begin_in_connection_made(self, version: str) -> None:
        protocol = Recorder(
            connection_made=lambda self: self.transport.start_tls(default_server()),
            data_received=lambda self: self.transport.write(b"hi"),
        )
        talk = in_plain(protocol, Client(for_client(version)))
        talk.exchange()
        assert protocol.heard == ["connection_made"]
        talk.say(b"hello")
        assert protocol.received == b"hello"
        assert talk.client.received == b"hi"

    def test_may_begin_outside_of_callbacks(self, version: str) -> None:
        protocol = Upgrading()
        talk = in_plain(protocol, Client(for_client(version)))
        talk.transport.write(b"plain")
        talk.transport.start_tls(default_server())
        assert talk.harness.take() == b"plain"
        talk.exchange()
        talk.say(b"QUIT\r\n")
        assert talk.client.received == b"OK QUIT\r\n"

    def test_of_a_protocol_without_frames(self, version: str) -> None:
        def upgrade(self: Recorder) -> None:
            if self.received == b"go":
                self.transport.start_tls(default_server())

        protocol = Recorder(data_received=upgrade)
        talk = in_plain(protocol, Client(for_client(version)))
        talk.harness.feed(b"go")
        talk.exchange()
        talk.say(b"data")
        assert protocol.chunks == [b"go", b"data"]

    def test_is_told_of_for_ever(self, version: str) -> None:
        protocol = Upgrading()
        talk = upgraded(protocol, Client(for_client(version)))
        talk.end()
        assert type(protocol.reason) is ConnectionDone
        assert protocol.transport.tls is not None
        assert protocol.transport.tls.version == version

    def test_needs_a_farewell_from_then_on(self, version: str) -> None:
        protocol = Upgrading()
        talk = upgraded(protocol, Client(for_client(version)))
        talk.harness.feed_eof()
        assert type(protocol.reason) is ConnectionLost
        assert "eof_received" not in protocol.heard

    def test_says_farewell_at_its_end(self, version: str) -> None:
        protocol = Upgrading()
        talk = upgraded(protocol, Client(for_client(version)))
        talk.transport.write(b"221 bye\r\n")
        talk.transport.close()
        talk.to_client()
        assert talk.client.received == b"221 bye\r\n"
        assert talk.client.ended
        assert talk.harness.write_closed

    def test_may_be_refused_by_the_client(
        self, version: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        protocol = Upgrading()
        talk = told_to(protocol, Client(for_client(version, trusts=False)))
        talk.exchange()
        talk.harness.advance(3)
        assert type(protocol.reason) is HandshakeFailed
        assert "unknown ca" in str(protocol.reason)
        assert one_warning(caplog)

    def test_may_be_refused_by_us(self, version: str, caplog: pytest.LogCaptureFixture) -> None:
        protocol = Upgrading(for_server(asks=True))
        talk = told_to(protocol, Client(for_client(version)))
        talk.exchange()
        talk.harness.advance(3)
        assert type(protocol.reason) is HandshakeFailed
        assert talk.client.error is not None
        assert "ALERT" in str(talk.client.error)
        assert one_warning(caplog)


class TestEarlyPlaintext:
    """May have been injected: it is never delivered."""

    @pytest.mark.parametrize(
        "early", [b"RCPT TO:<evil>\r\n", b"R", b"half a line", b"\r\n", b"a\r\nb\r\nc", b"\x16"]
    )
    def test_in_the_commands_chunk_ends_the_connection(
        self, early: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        protocol = Upgrading()
        talk = in_plain(protocol)
        talk.harness.feed(COMMAND + b"\r\n" + early)
        assert protocol.heard == ["connection_made", COMMAND, "connection_lost"]
        assert type(protocol.reason) is EarlyPlaintext
        assert protocol.reason.found == early
        assert talk.harness.transport.broken
        assert not talk.harness.write_closed
        assert repr(early) in one_warning(caplog)

    def test_is_shown_in_part(self) -> None:
        protocol = Upgrading()
        in_plain(protocol).harness.feed(COMMAND + b"\r\n" + b"x" * 1000)
        assert isinstance(protocol.reason, EarlyPlaintext)
        assert protocol.reason.found == b"x" * 32

    @pytest.mark.parametrize("early", [b"RCPT TO:<evil>\r\n", b"half a line", b"\x16\x03"])
    @pytest.mark.parametrize("then_hello", [False, True])
    def test_in_a_later_chunk_is_no_handshake(
        self, early: bytes, then_hello: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        protocol = Upgrading()
        talk = told_to(protocol)
        talk.harness.feed(early + (talk.client.output() if then_hello else b""))
        if not talk.harness.lost:
            talk.harness.feed_eof()
        assert protocol.heard == ["connection_made", COMMAND, "connection_lost"]
        assert isinstance(protocol.reason, HandshakeFailed)
        assert one_warning(caplog)

    def test_may_be_a_hello_that_came_too_early(self) -> None:
        """It did come in plain: a client has to wait for the answer."""
        protocol = Upgrading()
        talk = in_plain(protocol)
        talk.harness.feed(COMMAND + b"\r\n" + talk.client.output())
        assert type(protocol.reason) is EarlyPlaintext

    def test_while_the_protocol_pauses_is_not_delivered_either(self) -> None:
        class Pausing(Upgrading):
            def line_received(self, line: bytes) -> None:
                self.heard.append(line)
                self.transport.pause_reading()

        protocol = Pausing()
        talk = in_plain(protocol)
        talk.harness.feed(b"one\r\ntwo\r\n")
        talk.transport.start_tls(default_server())
        talk.transport.resume_reading()
        assert protocol.lines == [b"one"]
        assert type(protocol.reason) is EarlyPlaintext
        assert protocol.reason.found == b"two\r\n"

    def test_in_raw_mode_is_not_delivered_either(self) -> None:
        class Raw(Upgrading):
            def upgrade(self) -> None:
                self.set_raw_mode()
                self.transport.start_tls(self.context)

            def raw_data_received(self, data: bytes) -> None:
                self.heard.append(data)

        protocol = Raw()
        talk = in_plain(protocol)
        talk.harness.feed(COMMAND + b"\r\nevil")
        assert protocol.lines == [COMMAND]
        assert type(protocol.reason) is EarlyPlaintext

    def test_may_be_thrown_away_by_who_knows_better(self) -> None:
        class Careless(Upgrading):
            def upgrade(self) -> None:
                self.clear_line_buffer()
                super().upgrade()

        protocol = Careless()
        talk = in_plain(protocol)
        talk.harness.feed(COMMAND + b"\r\nMAIL\r\n")
        assert talk.harness.take() == GO
        talk.exchange()
        assert talk.client.shaken
        assert protocol.lines == [COMMAND]

    def test_is_not_delivered_to_a_protocol_that_takes_over(self) -> None:
        new = Recorder(connection_made=never, data_received=never)

        class Switching(Upgrading):
            def upgrade(self) -> None:
                self.transport.switch_protocol(new)
                self.transport.start_tls(self.context)

        protocol = Switching()
        talk = in_plain(protocol)
        talk.harness.feed(COMMAND + b"\r\nevil\r\n")
        assert new.heard == []
        assert protocol.heard[-1] == "connection_lost"
        assert type(protocol.reason) is EarlyPlaintext

    def test_sends_nothing_of_what_was_to_be_encrypted(self) -> None:
        class Eager(Upgrading):
            def upgrade(self) -> None:
                super().upgrade()
                self.transport.write(b"secret")

        talk = in_plain(Eager())
        talk.harness.feed(COMMAND + b"\r\nevil\r\n")
        assert b"secret" not in talk.harness.take()
        assert talk.transport.buffered == 0


class TestAWrongCall:
    """Is told at once, and the connection can be used on."""

    def usable(self, talk: Talk, protocol: Upgrading) -> None:
        talk.harness.feed(b"MAIL\r\n")
        assert talk.harness.take() == b"OK MAIL\r\n"
        assert not protocol.transport.closing
        assert protocol.transport.tls is None

    def test_with_the_other_sides_context(self) -> None:
        class Mistaken(Upgrading):
            def upgrade(self) -> None:
                with pytest.raises(ssl.SSLError):
                    self.transport.start_tls(for_client())

        protocol = Mistaken()
        talk = in_plain(protocol)
        talk.harness.feed(COMMAND + b"\r\n")
        self.usable(talk, protocol)
        with pytest.raises(ssl.SSLError):
            talk.transport.start_tls(for_server(), server_side=False, server_hostname=NAME)
        self.usable(talk, protocol)
        talk.transport.start_tls(default_server())
        talk.exchange()
        assert talk.client.shaken

    def test_without_a_name_to_verify(self) -> None:
        protocol = Upgrading()
        talk = in_plain(protocol)
        with pytest.raises(ValueError, match="name"):
            talk.transport.start_tls(for_client(), server_side=False)
        self.usable(talk, protocol)

    def test_twice_in_a_callback(self) -> None:
        class Twice(Upgrading):
            def upgrade(self) -> None:
                super().upgrade()
                with pytest.raises(RuntimeError, match="under way"):
                    self.transport.start_tls(self.context)

        protocol = Twice()
        talk = told_to(protocol)
        with pytest.raises(RuntimeError, match="under way"):
            talk.transport.start_tls(default_server())
        talk.harness.feed(talk.client.output())
        with pytest.raises(RuntimeError, match="under way"):
            talk.transport.start_tls(default_server())
        talk.exchange()
        talk.say(b"MAIL\r\n")
        assert talk.client.received == b"OK MAIL\r\n"

    def test_in_the_opening_handshake(self) -> None:
        """By who is in no callback of this connection."""
        protocol = Recorder()
        talk = Talk(protocol)
        with pytest.raises(RuntimeError):
            talk.transport.start_tls(default_server())
        talk.exchange()
        assert protocol.heard == ["connection_made"]

    def test_when_our_side_has_ended(self) -> None:
        protocol = Upgrading()
        talk = in_plain(protocol)
        talk.transport.write_eof()
        with pytest.raises(RuntimeError):
            talk.transport.start_tls(default_server())
        talk.harness.feed(b"MAIL\r\n")
        assert protocol.lines == [b"MAIL"]

    def test_when_their_side_has_ended(self) -> None:
        protocol = Recorder(eof_received=keep_open)
        talk = in_plain(protocol)
        talk.harness.feed_eof()
        with pytest.raises(RuntimeError):
            talk.transport.start_tls(default_server())
        talk.transport.write(b"still here")
        assert talk.harness.take() == b"still here"

    @pytest.mark.parametrize("end", ["close", "abort", "reset"])
    def test_on_a_closing_connection_does_nothing(self, end: str) -> None:
        protocol = Upgrading()
        talk = in_plain(protocol)
        getattr(talk.harness if end == "reset" else talk.transport, end)()
        talk.transport.start_tls(default_server())
        talk.transport.start_tls(for_client())
        if not talk.harness.lost:
            talk.harness.feed_eof()
        kinds = {"close": ConnectionDone, "abort": ConnectionAborted, "reset": ConnectionLost}
        assert type(protocol.reason) is kinds[end]
        assert talk.harness.take() == b""


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
        talk = told_to(protocol, Client(for_client(version)))
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
        talk = told_to(old, Client(for_client(version)))
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
        talk = told_to(protocol, Client(for_client(version)))
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
        talk = upgraded(protocol, Client(for_client(version)))
        outer = protocol.transport.tls
        talk.say(COMMAND + b"\r\n")
        assert talk.client.received == GO
        inner = Client(for_client())
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
        talk = upgraded(protocol, Client(for_client(version)))
        talk.say(COMMAND + b"\r\nMAIL\r\n")
        assert protocol.lines == [COMMAND, COMMAND]
        assert type(protocol.reason) is EarlyPlaintext

    def test_ends_with_the_outer_ones_farewell_as_a_cut(self, version: str) -> None:
        protocol = Upgrading()
        talk = upgraded(protocol, Client(for_client(version)))
        talk.say(COMMAND + b"\r\n")
        inner = Client(for_client())
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
    inner = Client(for_client())
    through(talk, inner)
    through(talk, inner, inner.encrypt(b"MAIL\r\n"))
    assert inner.received == b"OK MAIL\r\n"
