"""Ways in which the kit once told something else than what was so."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.testing.foreign_driver import SimulatedService
from trioproto import Factory, Protocol
from trioproto.errors import ConnectionDone
from trioproto.testing import (
    Faults,
    Harness,
    Link,
    TranscriptError,
    conformance,
    connected,
    memory_stream_pair,
    peer,
    timeouts,
)
from trioproto.testing.pipe import Pipe


class Oops(Exception):
    """What the callbacks of these tests raise."""


class Noting(Protocol):
    """Notes what it hears."""

    def __init__(self, keep_open: bool = False) -> None:
        self.keep_open = keep_open
        self.heard: list[object] = []

    def connection_made(self) -> None:
        self.heard.append("made")

    def data_received(self, data: bytes) -> None:
        self.heard.append(data)

    def eof_received(self) -> bool:
        self.heard.append("eof")
        return self.keep_open


class Fails(Protocol):
    def data_received(self, data: bytes) -> None:
        raise Oops


# Whose error it was


async def test_a_nursery_in_the_block_that_fails_of_the_reset_is_no_error_of_its_own() -> None:
    with pytest.raises(Oops) as caught:
        async with connected(Fails) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            await stream.send_all(b"x")
            await stream.receive_some()
    (note,) = caught.value.__notes__
    assert "BrokenResourceError" in note


async def test_a_nursery_in_the_block_that_fails_otherwise_comes_out_as_it_is() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with connected(Fails) as stream, trio.open_nursery():
            await stream.send_all(b"x")
            with trio.CancelScope(shield=True):
                await wait_all_tasks_blocked()
            raise KeyError
    assert [type(each) for each in caught.value.exceptions] == [KeyError]
    assert isinstance(caught.value.__context__, Oops)


async def test_a_scripted_peer_that_is_reset_by_the_callbacks_error_is_a_note_to_it() -> None:
    with pytest.raises(Oops) as caught:
        async with connected(Fails) as stream, peer(stream) as p:
            await p.send(b"x")
            await p.expect(b"y")
    (note,) = caught.value.__notes__
    assert f"{__file__}:" in note
    assert "a reset came instead" in note


async def test_who_cancels_a_block_gets_the_callbacks_error_alone(
    autojump_clock: MockClock,
) -> None:
    class FailsWhenCancelled(Protocol):
        async def data_received(self, data: bytes) -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise Oops

    with pytest.raises(Oops), trio.move_on_after(1):
        async with connected(FailsWhenCancelled) as stream:
            await stream.send_all(b"x")
            await trio.sleep_forever()


# What a harness lets happen


@pytest.mark.parametrize("keep_open", [False, True])
def test_nothing_arrives_after_the_peers_end(keep_open: bool) -> None:
    noting = Noting(keep_open)
    harness = Harness(noting)
    harness.connect()
    harness.feed_eof()
    with pytest.raises(RuntimeError, match="after feed_eof"):
        harness.feed(b"x")
    assert noting.heard[:2] == ["made", "eof"]


def test_no_bytes_are_nothing_that_arrives() -> None:
    noting = Noting()
    harness = Harness(noting)
    harness.connect()
    harness.feed(b"")
    assert noting.heard == ["made"]


class Refills(Protocol):
    """Writes as much again whenever all has been sent, so many times."""

    def __init__(self, times: float) -> None:
        self.times = times

    def data_received(self, data: bytes) -> None:
        self.write()

    def resume_writing(self) -> None:
        self.write()

    def write(self) -> None:
        if self.times:
            self.times -= 1
            self.transport.write(bytes(10))


def test_what_is_written_when_all_was_sent_is_sent_too() -> None:
    """Though then as much waits as before."""
    harness = Harness(Refills(1000), high_water=9, low_water=0)
    harness.connect()
    harness.exchange(b"x", bytes(10_000))


def test_who_never_stops_writing_is_told_of_and_a_window_helps() -> None:
    harness = Harness(Refills(inf), high_water=9, low_water=0)
    harness.connect()
    with pytest.raises(TranscriptError, match="never stops writing"):
        harness.feed(b"x")
    harness = Harness(Refills(inf), high_water=9, low_water=0, window=25)
    harness.connect()
    harness.exchange(b"x", bytes(25))


@pytest.mark.parametrize("data", ["text", 5, None])
def test_only_bytes_can_be_fed(data: Any) -> None:
    """A number would be so many zeros."""
    harness = Harness(Noting)
    harness.connect()
    with pytest.raises(
        TypeError, match=f"a bytes-like object is required, not '{type(data).__name__}'"
    ):
        harness.feed(data)
    assert harness.reading


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_whatever_is_fed_bytes_are_received(kind: type) -> None:
    noting = Noting()
    harness = Harness(noting)
    harness.connect()
    harness.feed(kind(b"x"))
    assert noting.heard == ["made", b"x"]
    assert type(noting.heard[1]) is bytes


def test_what_a_callback_wrote_to_others_before_it_raised_is_sent() -> None:
    class TellsAndFails(Protocol):
        factory: Factory[TellsAndFails]

        def data_received(self, data: bytes) -> None:
            for each in self.factory.connections:
                each.transport.write(data)
            raise Oops

    factory = Factory(TellsAndFails)
    first, second = Harness(factory), Harness(factory)
    first.connect()
    second.connect()
    with pytest.raises(Oops):
        first.feed(b"news")
    assert second.take() == b"news"


def test_each_has_its_turn_though_that_of_another_raises() -> None:
    class Tells(Protocol):
        factory: Factory[Tells]
        stalls = False

        def data_received(self, data: bytes) -> None:
            for each in self.factory.connections:
                each.transport.write(data)

        def pause_writing(self) -> None:
            if self.stalls:
                raise Oops

    factory = Factory(Tells, high_water=1, low_water=0)
    harnesses = [Harness(factory) for _ in range(5)]
    for harness in harnesses:
        harness.connect()
    for slow in (harnesses[1], harnesses[3]):
        slow.window, slow.protocol.stalls = 0, True
    with pytest.raises(Oops):
        harnesses[0].feed(b"news")
    assert [harness.take() for harness in harnesses] == [b"news", b"", b"news", b"", b"news"]
    assert [harness.lost for harness in harnesses] == [False, True, False, True, False]


def test_time_does_not_go_back() -> None:
    harness, link = Harness(Protocol()), Link(Protocol(), Protocol())
    harness.connect()
    link.connect()
    with pytest.raises(ValueError, match="does not go back"):
        harness.advance(-0.1)
    with pytest.raises(ValueError, match="does not go back"):
        link.advance(-0.1)
    assert harness.time() == link.time() == 0


def test_a_window_of_less_than_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="window cannot be -1"):
        Harness(Protocol(), window=-1)
    harness = Harness(Protocol(), window=0)
    with pytest.raises(ValueError, match="window cannot be -1"):
        harness.window = -1


# What a link carries


class Echo(Protocol):
    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Collects(Protocol):
    got = 0

    def connection_made(self) -> None:
        self.transport.write(bytes(30_000))

    def data_received(self, data: bytes) -> None:
        self.got += len(data)
        if self.got == 30_000:
            self.transport.close()


def test_much_that_comes_byte_by_byte_is_no_endless_answering() -> None:
    bytewise = Faults(reads=(1,), writes=(1,))
    link = Link(Factory(Collects), Factory(Echo), to_server=bytewise, to_client=bytewise)
    client, _ = link.connect()
    assert client.got == 30_000
    link.advance(5)
    link.client.expect_lost(ConnectionDone)


@pytest.mark.parametrize("capacity", [0, -1])
def test_a_way_without_room_for_a_byte_is_refused(capacity: int) -> None:
    with pytest.raises(ValueError, match="at least 1 byte"):
        Pipe(capacity=capacity)
    with pytest.raises(ValueError, match="at least 1 byte"):
        Link(Protocol(), Protocol(), capacity=capacity)


# What a client has sent before the block ends


@pytest.mark.parametrize(
    "faults",
    [
        Faults(delays=(30,)),
        Faults(stalls=((2, 5), (4, 5))),
        Faults(delays=(3,), stalls=((4, 9),), drop_after=5),
    ],
)
async def test_the_server_still_reads_what_is_long_under_way(
    autojump_clock: MockClock, faults: Faults
) -> None:
    noting = Noting()
    async with connected(lambda: noting, to_server=faults) as stream:
        await stream.send_all(b"hello")
    said = [each for each in noting.heard if isinstance(each, bytes)]
    assert b"".join(said) == b"hello"
    assert ("eof" in noting.heard) == (faults.drop_after is None)


# What a failure shows


def test_where_much_differs_is_shown_in_bytes() -> None:
    harness = Harness(Echo())
    harness.connect()
    many = b"x" * 5_000
    with pytest.raises(TranscriptError) as caught:
        harness.exchange(many + b"good" + many, many + b"bad" + many)
    assert "\n  from byte 5000 on: b'goodxxxxxxxxxxxxxxxx', expected b'badx" in str(caught.value)


# What never comes


async def test_a_tls_handshake_that_never_ends_fails_and_does_not_hang(
    autojump_clock: MockClock,
) -> None:
    with pytest.raises(trio.BrokenResourceError, match="no TLS handshake in 60 s"):
        async with connected(Echo, tls=True, to_client=Faults(drop_after=100)):
            pass
    assert trio.current_time() >= 60


@pytest.mark.parametrize("seconds", [inf, nan])
def test_time_that_no_clock_reaches_is_refused(seconds: float) -> None:
    harness, link = Harness(Protocol()), Link(Protocol(), Protocol())
    harness.connect()
    link.connect()
    for driven in (harness, link):
        with pytest.raises(ValueError, match="nor on for ever"):
            driven.advance(seconds)
    assert harness.time() == link.time() == 0


def test_who_waits_for_ever_is_told_when_nothing_will_happen_any_more() -> None:
    link = Link(Protocol, Protocol, idle_timeout=None)
    link.connect()
    with pytest.raises(TranscriptError, match="has not happened"):
        link.run_until(lambda: link.lost, seconds=inf)


def test_a_harness_is_one_connection() -> None:
    factory = Factory(Protocol)
    harness = Harness(factory)
    harness.connect()
    with pytest.raises(RuntimeError, match="make another"):
        harness.connect()
    assert factory.statistics().open == 1


def test_an_end_comes_once() -> None:
    harness = Harness(Noting(keep_open=True))
    harness.connect()
    harness.feed_eof()
    with pytest.raises(RuntimeError, match=r"after feed_eof\(\)"):
        harness.feed_eof()
    assert harness.protocol.heard == ["made", "eof"]


@pytest.mark.parametrize("what", [Harness.feed_eof, Harness.reset, Harness.drain, Harness.cancel])
def test_what_came_too_early_leaves_no_trace(what: Callable[[Harness[Noting]], None]) -> None:
    harness = Harness(Noting())
    with pytest.raises(RuntimeError, match="connect"):
        what(harness)
    harness.connect()
    harness.feed(b"x")
    assert harness.protocol.heard == ["made", b"x"]
    assert [entry.data for entry in harness.transcript.entries] == ["connected", b"x"]


def test_a_link_reads_no_faster_than_the_settings_say() -> None:
    link = Link(Noting(), Noting(), receive_rate=10)
    client, server = link.connect()
    client.transport.write(bytes(30))
    sizes = []
    for _ in range(3):
        link.settle()
        sizes.append(sum(len(each) for each in server.heard if isinstance(each, bytes)))
        link.advance(1)
    assert 9 <= sizes[0] <= 10
    assert 19 <= sizes[1] <= 20
    assert 29 <= sizes[2] <= 30


async def test_all_that_a_service_under_the_suite_has_failed_with_comes_out() -> None:
    failures = [KeyError(), Oops()]
    with pytest.raises(ExceptionGroup) as caught:
        async with conformance.serving(SimulatedService, Protocol()) as service:
            service.failures += failures
    assert list(caught.value.exceptions) == failures


class Restless(trio.abc.Clock):
    """Shows another time whenever it is looked at, as real clocks do."""

    now = 0.0

    def start_clock(self) -> None:
        """Do nothing: it goes on when it is looked at."""

    def current_time(self) -> float:
        self.now += 1.0
        return self.now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        return 0.0


@pytest.mark.parametrize("delay", range(1, 10))
def test_receiving_what_arrives_between_two_looks_at_the_clock_is_a_checkpoint(delay: int) -> None:
    async def receive() -> None:
        client, server = memory_stream_pair(to_server=Faults(delays=(delay,)))
        await client.send_all(b"x")
        with trio.testing.assert_checkpoints():
            assert await server.receive_some() == b"x"

    trio.run(receive, clock=Restless())


async def test_a_program_that_is_never_quiet_is_waited_for_no_longer_than_it_has_patience(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A virtual clock stands still meanwhile, so no time of its own would ever end that."""
    monkeypatch.setattr(timeouts, "_PATIENCE", 0.02)

    async def never_waits() -> None:
        while True:
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery, connected(Noting) as stream:
        nursery.start_soon(never_waits)
        async with peer(stream) as p:
            await p.expect_nothing()
        nursery.cancel_scope.cancel()
