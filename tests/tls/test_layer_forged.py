"""Records that no well-behaved client sends, with no event loop."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tls.client_side import (
    RECORD,
    Client,
    Talk,
    nothing_logged,
    talking,
    usual_client,
)
from tests.tls.forger import (
    ALERT,
    CLIENT_HELLO,
    CLOSE_NOTIFY,
    HANDSHAKE,
    INTERNAL_ERROR,
    USER_CANCELED,
    WARNING,
    Forger12,
    Forger13,
    client_that_logs,
    message,
)
from trioproto.errors import ConnectionDone, ConnectionLost
from trioproto.testing.conformance.recorder import Recorder


def echo(self: Recorder) -> None:
    self.transport.write(self.chunks[-1])


def content(size: int) -> bytes:
    """Bytes of which each part tells where it belongs."""
    return b"".join(number.to_bytes(4, "big") for number in range((size + 3) // 4))[:size]


class TestForged13:
    """What a client of TLS 1.3 may send, though OpenSSL's never does."""

    @pytest.fixture
    def protocol(self) -> Recorder:
        return Recorder(data_received=echo)

    @pytest.fixture
    def talk(self, protocol: Recorder, tmp_path: Path) -> Talk:
        return talking(protocol, client=client_that_logs(tmp_path, "TLSv1.3"))

    @pytest.fixture
    def forger(self, talk: Talk, tmp_path: Path) -> Forger13:
        assert talk.client.shaken
        return Forger13(tmp_path)

    @pytest.mark.parametrize("padding", [0, 1, 1000])
    def test_an_empty_record_is_no_data_and_no_end(
        self, protocol: Recorder, talk: Talk, forger: Forger13, padding: int
    ) -> None:
        talk.to_server(forger.record(b"", padding=padding))
        assert protocol.heard == ["connection_made"]
        talk.to_server(forger.record(b"a") + forger.record(b"") + forger.record(b"b"))
        assert protocol.received == b"ab"

    @pytest.mark.parametrize("cut", [1, 10, None])
    def test_many_empty_records_between_data_do_no_harm(
        self, protocol: Recorder, talk: Talk, forger: Forger13, cut: int | None
    ) -> None:
        wire = b"".join(forger.record(b"") + forger.record(b"x") for _ in range(100))
        talk.to_server(wire, cut=cut)
        assert protocol.received == b"x" * 100

    def test_empty_records_for_ever_end_the_connection_or_do_nothing(
        self, protocol: Recorder, talk: Talk, forger: Forger13
    ) -> None:
        for _ in range(1000):
            if not talk.harness.lost:
                talk.to_server(forger.record(b""))
        assert protocol.received == b""
        assert not protocol.reasons or type(protocol.reason) is ConnectionLost

    @pytest.mark.parametrize("asks", [False, True])
    @pytest.mark.parametrize("cut", [1, None])
    def test_keys_may_change(
        self, protocol: Recorder, talk: Talk, forger: Forger13, asks: bool, cut: int | None
    ) -> None:
        for number in range(5):
            wire = forger.record(b"before,") + forger.key_update(asks=asks)
            talk.to_server(wire + forger.record(b"after;"), cut=cut)
            talk.to_client()
            assert protocol.received == b"before,after;" * (number + 1)
            assert talk.client.received == protocol.received
        assert not talk.transport.closing

    def test_keys_may_change_while_output_waits(
        self, protocol: Recorder, talk: Talk, forger: Forger13
    ) -> None:
        data = content(500_000)
        talk.harness.window = 0
        talk.transport.write(data)
        while talk.transport.buffered:
            talk.to_server(forger.key_update(asks=True))
            talk.harness.window = 30_000
            talk.to_client()
        assert talk.client.received == data

    @pytest.mark.parametrize("auto_pause", [True, False])
    def test_changes_of_keys_for_ever_do_not_fill_the_memory(
        self, protocol: Recorder, tmp_path: Path, auto_pause: bool
    ) -> None:
        """Each asks for an answer, and nobody reads them."""
        protocol.auto_pause = auto_pause
        client = client_that_logs(tmp_path, "TLSv1.3")
        talk = talking(protocol, client=client, max_buffered=200_000, window=0)
        forger = Forger13(tmp_path)
        for _ in range(200):
            if talk.harness.lost or not talk.harness.reading:
                break
            talk.harness.feed(b"".join(forger.key_update(asks=True) for _ in range(100)))
            assert talk.transport.buffered <= 300_000
        else:
            pytest.fail("it goes on reading")
        talk.harness.advance(31)
        assert talk.harness.lost

    @pytest.mark.parametrize("cut", [None, 1])
    def test_nothing_is_delivered_after_a_farewell(
        self, protocol: Recorder, talk: Talk, forger: Forger13, cut: int | None
    ) -> None:
        wire = forger.record(b"before") + forger.alert(CLOSE_NOTIFY, WARNING)
        talk.to_server(wire + forger.record(b"after") + forger.key_update(asks=True), cut=cut)
        if not talk.harness.lost:
            talk.harness.feed_eof()
        assert protocol.received == b"before"
        assert protocol.heard[-2:] == ["eof_received", "connection_lost"]
        assert type(protocol.reason) is ConnectionDone

    def test_nothing_is_delivered_after_a_farewell_that_is_kept_open(
        self, talk: Talk, forger: Forger13, protocol: Recorder
    ) -> None:
        protocol.acts["eof_received"] = lambda self: True
        talk.to_server(forger.record(b"before") + forger.alert(CLOSE_NOTIFY, WARNING))
        talk.to_server(forger.record(b"after"))
        talk.to_server(b"garbage")
        talk.transport.write(b"!")
        talk.to_client()
        assert protocol.received == b"before"
        assert talk.client.received == b"before!"

    def test_a_fatal_alert_is_a_loss(
        self, protocol: Recorder, talk: Talk, forger: Forger13, caplog: pytest.LogCaptureFixture
    ) -> None:
        talk.to_server(forger.alert(INTERNAL_ERROR))
        assert type(protocol.reason) is ConnectionLost
        assert "internal error" in str(protocol.reason)
        assert "eof_received" not in protocol.heard
        assert nothing_logged(caplog)

    def test_a_farewell_may_be_announced(
        self, protocol: Recorder, talk: Talk, forger: Forger13
    ) -> None:
        wire = forger.record(b"data") + forger.alert(USER_CANCELED, WARNING)
        talk.to_server(wire + forger.alert(CLOSE_NOTIFY, WARNING))
        talk.harness.feed_eof()
        assert protocol.received == b"data"
        assert type(protocol.reason) is ConnectionDone

    @pytest.mark.parametrize(
        ("content", "kind"),
        [
            (message(CLIENT_HELLO, bytes(40)), HANDSHAKE),
            (b"", HANDSHAKE),
            (b"", ALERT),
            (b"\x02", ALERT),
            (b"?", 99),
            (b"", 0),
            (bytes(RECORD + 1), 23),
            (message(24, b"\x02"), HANDSHAKE),  # a change of keys that is none
            (message(24, b""), HANDSHAKE),
            (message(4, bytes(60)), HANDSHAKE),  # a ticket, from a client
            (b"\x18\xff\xff\xff", HANDSHAKE),
        ],
        ids=lambda value: repr(value[:12]) if isinstance(value, bytes) else str(value),
    )
    def test_what_may_not_come_is_a_loss(
        self, protocol: Recorder, talk: Talk, forger: Forger13, content: bytes, kind: int
    ) -> None:
        talk.to_server(forger.record(b"fine") + forger.record(content, kind))
        if not talk.harness.lost:
            talk.to_server(forger.record(b"and on?"))
        assert type(protocol.reason) is ConnectionLost
        assert protocol.received in (b"", b"fine")  # see TestABrokenRecord
        assert "eof_received" not in protocol.heard


class TestForged12:
    """The same for TLS 1.2."""

    @pytest.fixture
    def protocol(self) -> Recorder:
        return Recorder(data_received=echo)

    @pytest.fixture
    def talk(self, protocol: Recorder, tmp_path: Path) -> Talk:
        return talking(protocol, client=client_that_logs(tmp_path, "TLSv1.2"))

    @pytest.fixture
    def forger(self, talk: Talk, tmp_path: Path) -> Forger12:
        return Forger12(tmp_path, talk.client)

    def test_an_empty_record_is_no_data_and_no_end(
        self, protocol: Recorder, talk: Talk, forger: Forger12
    ) -> None:
        talk.to_server(forger.record(b"") + forger.record(b""))
        assert protocol.heard == ["connection_made"]
        talk.to_server(forger.record(b"a") + forger.record(b"") + forger.record(b"b"))
        assert protocol.received == b"ab"

    @pytest.mark.parametrize("cut", [None, 1])
    def test_nothing_is_delivered_after_a_farewell(
        self, protocol: Recorder, talk: Talk, forger: Forger12, cut: int | None
    ) -> None:
        wire = forger.record(b"before") + forger.alert(CLOSE_NOTIFY, WARNING)
        talk.to_server(wire + forger.record(b"after"), cut=cut)
        if not talk.harness.lost:
            talk.harness.feed_eof()
        assert protocol.received == b"before"
        assert type(protocol.reason) is ConnectionDone

    def test_a_fatal_alert_is_a_loss(
        self, protocol: Recorder, talk: Talk, forger: Forger12
    ) -> None:
        talk.to_server(forger.alert(INTERNAL_ERROR))
        assert type(protocol.reason) is ConnectionLost
        assert "internal error" in str(protocol.reason)

    def test_a_second_handshake_is_refused(
        self, protocol: Recorder, talk: Talk, forger: Forger12
    ) -> None:
        hello = Client(usual_client("TLSv1.2")).output()[5:]
        talk.to_server(forger.record(hello, HANDSHAKE))
        assert talk.harness.take() or talk.harness.lost
        assert protocol.received == b""
        assert protocol.heard in (["connection_made"], ["connection_made", "connection_lost"])

    def test_second_handshakes_for_ever_do_not_fill_the_memory(
        self, protocol: Recorder, talk: Talk, forger: Forger12
    ) -> None:
        hello = Client(usual_client("TLSv1.2")).output()[5:]
        talk.harness.window = 0
        for _ in range(10_000):
            if talk.harness.lost or not talk.harness.reading:
                break
            talk.harness.feed(forger.record(hello, HANDSHAKE))
        else:
            pytest.fail("it goes on reading")
