"""Records of a TLS layer, with no event loop: of all sizes, cut anywhere, forged."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tls.client_side import (
    RECORD,
    VERSIONS,
    Talk,
    nothing_logged,
    talking,
)
from trioproto.errors import ConnectionLost
from trioproto.testing.conformance.recorder import Recorder

MIB = 1 << 20
SIZES = [1, 2, 100, RECORD - 1, RECORD, RECORD + 1, 5 * RECORD, MIB]


def echo(self: Recorder) -> None:
    self.transport.write(self.chunks[-1])


@cache
def content(size: int) -> bytes:
    """Bytes of which each part tells where it belongs."""
    return b"".join(number.to_bytes(4, "big") for number in range((size + 3) // 4))[:size]


def any_talk(version: str = "TLSv1.3") -> tuple[Recorder, Talk]:
    protocol = Recorder()
    return protocol, talking(protocol, version)


@pytest.mark.parametrize("version", VERSIONS)
class TestData:
    @pytest.mark.parametrize("size", SIZES)
    def test_of_any_size_comes_and_goes(self, version: str, size: int) -> None:
        protocol = Recorder(data_received=echo)
        protocol.auto_pause = False
        talk = talking(protocol, version)
        data = content(size)
        talk.to_server(talk.client.encrypt(data), cut=65536)
        talk.to_client()
        assert protocol.received == data
        assert talk.client.received == data

    @pytest.mark.parametrize("size", [1, 300, RECORD])
    @pytest.mark.parametrize("cut", [1, 7, 5000])
    def test_may_be_cut_into_pieces_of_any_size(self, version: str, size: int, cut: int) -> None:
        protocol = Recorder(data_received=echo)
        talk = talking(protocol, version)
        talk.to_server(talk.client.encrypt(content(size)), cut=cut)
        talk.to_client()
        assert protocol.received == content(size)
        assert talk.client.received == content(size)

    def test_in_many_records_may_come_at_once(self, version: str) -> None:
        protocol, talk = any_talk(version)
        data = content(3000)
        wire = b"".join(talk.client.encrypt(data[at : at + 1]) for at in range(len(data)))
        talk.harness.feed(wire)
        assert protocol.received == data

    def test_may_be_cut_at_every_place_of_a_record(self, version: str) -> None:
        protocol, talk = any_talk(version)
        size = len(talk.client.encrypt(b"first") + talk.client.encrypt(b"second"))
        protocol, talk = any_talk(version)
        for at in range(1, size):
            protocol.chunks.clear()
            wire = talk.client.encrypt(b"first") + talk.client.encrypt(b"second")
            talk.harness.feed(wire[:at])
            talk.harness.feed(wire[at:])
            assert protocol.received == b"firstsecond"

    def test_comes_as_soon_as_its_record_is_whole(self, version: str) -> None:
        protocol, talk = any_talk(version)
        first, second = talk.client.encrypt(b"first"), talk.client.encrypt(b"second")
        talk.harness.feed(first[:-1])
        assert protocol.received == b""
        talk.harness.feed(first[-1:] + second[:-1])
        assert protocol.received == b"first"
        talk.harness.feed(second[-1:])
        assert protocol.chunks == [b"first", b"second"]

    @pytest.mark.parametrize("cut", [1000, 65536])
    def test_comes_in_chunks_of_no_more_than_is_read_at_once(self, version: str, cut: int) -> None:
        """As the protocol was told: see ``data_received``."""
        protocol, talk = any_talk(version)
        offset = talk.client.encrypt(bytes(100))  # so that chunks and records are out of step
        talk.to_server(offset + talk.client.encrypt(bytes(MIB)), cut=cut)
        assert len(protocol.received) == MIB + 100
        assert max(map(len, protocol.chunks)) <= talk.transport.settings.read_size

    @pytest.mark.parametrize("size", [1, 1000, 20_000])
    def test_comes_in_chunks_of_little_more_if_little_is_read_at_once(
        self, version: str, size: int
    ) -> None:
        """A record is not cut up again."""
        protocol = Recorder()
        talk = talking(protocol, version, read_size=size)
        offset = talk.client.encrypt(bytes(100))
        talk.to_server(offset + talk.client.encrypt(bytes(4 * RECORD)), cut=size)
        assert len(protocol.received) == 4 * RECORD + 100
        assert max(map(len, protocol.chunks)) <= size + RECORD

    @pytest.mark.parametrize("size", SIZES)
    @pytest.mark.parametrize("window", [1, 100, RECORD, 100_000])
    def test_goes_out_through_any_window(self, version: str, size: int, window: int) -> None:
        if size > 200 * window:
            size = 200 * window + 1
        protocol = Recorder()
        talk = talking(protocol, version, window=0)
        data = content(size)
        talk.transport.write(data)
        while talk.transport.buffered:
            talk.harness.window = window
            talk.to_client()
        assert talk.client.received == data

    def test_of_no_bytes_is_nothing(self, version: str) -> None:
        talk = talking(Recorder(), version)
        talk.transport.write(b"")
        talk.transport.writelines([])
        assert talk.harness.take() == b""

    @pytest.mark.parametrize("kind", [bytearray, memoryview])
    def test_may_be_any_buffer_and_change_later(self, version: str, kind: type) -> None:
        talk = talking(Recorder(), version, window=0)
        below = bytearray(content(70_000))
        talk.transport.write(kind(below))
        below[:] = bytes(len(below))
        talk.harness.window = None
        talk.to_client()
        assert talk.client.received == content(70_000)


@given(
    st.sampled_from(VERSIONS),
    st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=20),
    st.data(),
)
def test_any_records_in_any_chunks_are_the_same_data(
    version: str, records: list[bytes], data: st.DataObject
) -> None:
    protocol, talk = any_talk(version)
    wire = b"".join(map(talk.client.encrypt, records))
    while wire:
        at = data.draw(st.integers(1, len(wire)))
        talk.harness.feed(wire[:at])
        wire = wire[at:]
    assert protocol.received == b"".join(records)


@pytest.mark.parametrize("version", VERSIONS)
class TestABrokenRecord:
    """Ends the connection, and nothing of it is delivered."""

    def lost(self, protocol: Recorder) -> None:
        assert protocol.heard[-1] == "connection_lost"
        assert protocol.heard.count("connection_lost") == 1
        assert "eof_received" not in protocol.heard
        assert type(protocol.reason) is ConnectionLost

    def test_wherever_a_bit_was_flipped(self, version: str) -> None:
        size = len(talking(Recorder(), version).client.encrypt(b"data"))
        for at in range(size):
            protocol, talk = any_talk(version)
            wire = bytearray(talk.client.encrypt(b"data") + talk.client.encrypt(b"more"))
            wire[at] ^= 1 << at % 8
            talk.harness.feed(bytes(wire))
            if not talk.harness.lost:
                # Its length was changed: it is too long, and never becomes whole.
                assert at in (3, 4)
                talk.harness.feed_eof()
            assert protocol.received == b""
            self.lost(protocol)

    def test_takes_nothing_away_of_what_came_whole_before(self, version: str) -> None:
        """Whether it came in the same chunk or not."""
        for cut in (None, 1):
            protocol, talk = any_talk(version)
            wire = bytearray(talk.client.encrypt(b"good") + talk.client.encrypt(b"broken"))
            wire[-1] ^= 1
            talk.to_server(bytes(wire), cut=cut)
            assert protocol.received == b"good"
            self.lost(protocol)

    @pytest.mark.parametrize("cut", [None, 1])
    @pytest.mark.parametrize(
        "said",
        [
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x17\x03\x03\x00\x05hello",
            b"\x17\x03\x03\xff\xff" + bytes(100),  # longer than a record can be
            b"\x17\x03\x03\x48\x01" + bytes(100),
            b"\x15\x03\x03\x00\x02\x02\x50",  # a fatal alert, in plain
            b"\x15\x03\x03\x00\x02\x01\x00",  # a close_notify, in plain
            b"\x16\x03\x03\x00\x04\x01\x00\x00\x00",  # a hello, in plain
            b"\x17\x03\x03\x00\x00",
            bytes(40),
        ],
        ids=lambda said: repr(said[:12]),
    )
    def test_may_be_none_at_all(self, version: str, said: bytes, cut: int | None) -> None:
        protocol, talk = any_talk(version)
        talk.say(b"fine so far")
        talk.to_server(said, cut=cut)
        assert protocol.received == b"fine so far"
        self.lost(protocol)
        assert talk.harness.transport.broken

    def test_may_be_an_old_one_again(self, version: str) -> None:
        protocol, talk = any_talk(version)
        wire = talk.client.encrypt(b"pay")
        talk.harness.feed(wire)
        talk.harness.feed(wire)
        assert protocol.received == b"pay"
        self.lost(protocol)

    def test_may_be_in_the_wrong_order(self, version: str) -> None:
        protocol, talk = any_talk(version)
        first, second = talk.client.encrypt(b"first"), talk.client.encrypt(b"second")
        talk.harness.feed(second + first)
        assert protocol.received == b""
        self.lost(protocol)

    def test_is_not_logged(self, version: str, caplog: pytest.LogCaptureFixture) -> None:
        _, talk = any_talk(version)
        talk.harness.feed(b"garbage, as from a scanner")
        assert talk.harness.lost
        assert nothing_logged(caplog)
