"""STARTTLS with no event loop: what goes in plain and what does not, and injections."""

from __future__ import annotations

import ssl
from contextlib import suppress

import pytest

from tests.behaviour.tls_peers import NAME
from tests.tls.client_side import (
    VERSIONS,
    Client,
    Talk,
    default_server,
    for_client,
    for_server,
    one_warning,
    usual_client,
)
from tests.tls.upgrading import COMMAND, GO, Upgrading, in_plain, told_to, upgraded
from trioproto.errors import (
    CallbackError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    EarlyPlaintext,
    HandshakeFailed,
)
from trioproto.testing.conformance.recorder import Recorder, keep_open, never

BOTH = pytest.mark.parametrize("version", VERSIONS)


@BOTH
class TestAnUpgrade:
    def test_is_answered_in_plain_and_all_else_is_encrypted(self, version: str) -> None:
        protocol = Upgrading()
        talk = in_plain(protocol, Client(usual_client(version)))
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
        talk = in_plain(protocol, Client(usual_client(version)), window=0)
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
        talk = in_plain(protocol, Client(usual_client(version)), window=0)
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

        talk = told_to(Eager(), Client(usual_client(version)))
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
        talk = told_to(protocol, Client(usual_client(version)))
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
            talk = told_to(protocol, Client(usual_client(version)))
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
        talk = in_plain(protocol, Client(usual_client(version)))
        talk.exchange()
        assert protocol.heard == ["connection_made"]
        talk.say(b"hello")
        assert protocol.received == b"hello"
        assert talk.client.received == b"hi"

    def test_may_begin_outside_of_callbacks(self, version: str) -> None:
        protocol = Upgrading()
        talk = in_plain(protocol, Client(usual_client(version)))
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
        talk = in_plain(protocol, Client(usual_client(version)))
        talk.harness.feed(b"go")
        talk.exchange()
        talk.say(b"data")
        assert protocol.chunks == [b"go", b"data"]

    def test_is_told_of_for_ever(self, version: str) -> None:
        protocol = Upgrading()
        talk = upgraded(protocol, Client(usual_client(version)))
        talk.end()
        assert type(protocol.reason) is ConnectionDone
        assert protocol.transport.tls is not None
        assert protocol.transport.tls.version == version

    def test_needs_a_farewell_from_then_on(self, version: str) -> None:
        protocol = Upgrading()
        talk = upgraded(protocol, Client(usual_client(version)))
        talk.harness.feed_eof()
        assert type(protocol.reason) is ConnectionLost
        assert "eof_received" not in protocol.heard

    def test_says_farewell_at_its_end(self, version: str) -> None:
        protocol = Upgrading()
        talk = upgraded(protocol, Client(usual_client(version)))
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
        talk = told_to(protocol, Client(usual_client(version)))
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

    def test_that_waits_in_a_chunk_of_its_own_is_not_delivered_either(self) -> None:
        protocol = Recorder(data_received=lambda self: self.transport.pause_reading())
        talk = in_plain(protocol)
        talk.harness.feed(b"one")
        talk.harness.feed(b"two")
        talk.transport.start_tls(default_server())
        talk.transport.resume_reading()
        talk.harness.advance(11)
        assert protocol.received == b"one"
        assert type(protocol.reason) is EarlyPlaintext
        assert protocol.reason.found == b"two"

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

    def test_in_eof_received_ends_the_connection_at_the_latest_then(self) -> None:
        def upgrade(self: Recorder) -> bool:
            self.transport.start_tls(default_server())
            return True

        protocol = Recorder(eof_received=upgrade)
        talk = in_plain(protocol)
        with suppress(RuntimeError):
            talk.harness.feed_eof()
        assert isinstance(protocol.reason, HandshakeFailed | CallbackError)

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
