"""Any conversation over TLS, in any order and cut anyhow, keeps to a few rules."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tls.client_side import VERSIONS, Client, Talk, default_server, usual_client
from tests.tls.upgrading import in_plain
from trioproto.errors import ConnectionDone
from trioproto.testing.conformance.recorder import Recorder, keep_open

SIZES = st.sampled_from([1, 10, 1000, 16_384, 16_385, 50_000])
STEPS = st.one_of(
    st.tuples(st.just("say"), SIZES),
    st.tuples(st.just("carry"), st.sampled_from([1, 5, 20, 500, 20_000, 1 << 20])),
    st.tuples(st.just("write"), SIZES),
    st.tuples(st.just("window"), st.sampled_from([0, 1, 30, 5000, 100_000])),
    st.tuples(st.just("wait"), st.floats(0, 1)),
    st.tuples(st.sampled_from(["pause", "resume", "take"]), st.none()),
)
ENDS = st.sampled_from(["close", "farewell", "write_eof"])


class Walk:
    """A talk, what each side has said in it, and what is on its way."""

    def __init__(self, protocol: Recorder, version: str, *, upgrades: bool) -> None:
        client = Client(usual_client(version))
        options: dict[str, Any] = {"handshake_timeout": 1000, "idle_timeout": None}
        options |= {"write_timeout": None, "close_timeout": 1000, "linger": 1000}
        if upgrades:
            self.talk = in_plain(protocol, client, **options)
            self.talk.transport.start_tls(default_server())
        else:
            self.talk = Talk(protocol, client, **options)
        self.protocol = protocol
        self.said, self.written = bytearray(), bytearray()
        self.under_way = bytearray()
        self.counter = 0
        self.last: int | None = None

    def step(self, what: str, how: Any) -> None:
        getattr(self, what)(how)
        self.check()

    def check(self) -> None:
        assert self.said.startswith(self.protocol.received)
        assert self.written.startswith(self.talk.client.received)
        assert self.talk.client.error is None
        assert self.protocol.heard.count("connection_made") <= 1
        assert self.protocol.heard.count("connection_lost") <= 1

    def content(self, size: int) -> bytes:
        self.counter += 1
        return bytes([self.counter % 256]) * size

    def say(self, size: int) -> None:
        if self.talk.client.shaken:
            data = self.content(size)
            self.said += data
            self.under_way += self.talk.client.output() + self.talk.client.encrypt(data)

    def carry(self, size: int) -> None:
        self.under_way += self.talk.client.output()
        if self.under_way and self.talk.harness.reading and not self.talk.harness.lost:
            self.talk.harness.feed(bytes(self.under_way[:size]))
            del self.under_way[:size]

    def write(self, size: int) -> None:
        if not self.talk.transport.closing:
            data = self.content(size)
            self.written += data
            self.talk.transport.write(data)

    def window(self, size: int) -> None:
        self.talk.harness.window = size

    def wait(self, seconds: float) -> None:
        self.talk.harness.advance(seconds)

    def pause(self, _: None) -> None:
        self.talk.transport.pause_reading()

    def resume(self, _: None) -> None:
        self.talk.transport.resume_reading()

    def take(self, _: None) -> None:
        self.talk.to_client()
        if self.talk.harness.write_closed:
            if self.last is None:
                self.last = len(self.talk.client.seen)
            assert len(self.talk.client.seen) == self.last, "nothing may follow our end"

    def come_to_rest(self) -> None:
        """Let all go out and come in that can."""
        self.talk.transport.resume_reading()
        moved = True
        while moved:
            self.talk.harness.window = None
            before = len(self.talk.client.seen)
            self.take(None)
            moved = len(self.talk.client.seen) > before
            self.under_way += self.talk.client.output()
            moved = moved or bool(self.under_way and self.talk.harness.reading)
            self.carry(1 << 20)
            self.check()


@pytest.mark.parametrize("upgrades", [False, True])
@pytest.mark.parametrize("version", VERSIONS)
@given(before=st.lists(STEPS, max_size=25), end=ENDS, after=st.lists(STEPS, max_size=10))
def test_any_walk(
    version: str,
    upgrades: bool,
    before: list[tuple[str, Any]],
    end: str,
    after: list[tuple[str, Any]],
) -> None:
    protocol = Recorder(eof_received=keep_open)
    walk = Walk(protocol, version, upgrades=upgrades)
    for step in before:
        walk.step(*step)
    if end == "close":
        ends_with_close(walk, after)
    elif end == "farewell":
        ends_with_their_farewell(walk, after)
    elif version == "TLSv1.3":
        ends_with_our_eof(walk, after)


def ends_with_close(walk: Walk, after: list[tuple[str, Any]]) -> None:
    if not walk.protocol.heard:
        return  # nobody has the transport yet
    walk.talk.transport.close()
    delivered = walk.protocol.received
    for step in after:
        walk.step(*step)
    walk.come_to_rest()
    assert walk.protocol.received == delivered
    assert walk.talk.client.received == walk.written
    if walk.written:
        assert walk.talk.client.ended
    assert walk.talk.harness.write_closed


def ends_with_their_farewell(walk: Walk, after: list[tuple[str, Any]]) -> None:
    walk.come_to_rest()
    walk.under_way += walk.talk.client.farewell()
    for step in after:
        if step[0] not in ("say", "write"):
            walk.step(*step)
    walk.come_to_rest()
    assert walk.protocol.received == walk.said
    assert "eof_received" in walk.protocol.heard
    walk.talk.transport.close()
    walk.come_to_rest()
    assert walk.talk.client.received == walk.written
    assert walk.talk.harness.write_closed
    if not walk.talk.harness.lost:
        walk.talk.harness.feed_eof()
    assert type(walk.protocol.reason) is ConnectionDone


def ends_with_our_eof(walk: Walk, after: list[tuple[str, Any]]) -> None:
    walk.come_to_rest()
    walk.talk.transport.write_eof()
    for step in after:
        if step[0] != "write":
            walk.step(*step)
    walk.come_to_rest()
    assert walk.talk.client.received == walk.written
    assert walk.talk.client.ended
    assert walk.protocol.received == walk.said
    assert not walk.talk.harness.lost
