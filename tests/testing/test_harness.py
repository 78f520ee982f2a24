"""The harness itself: what only a driver that is driven by hand can show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from trioproto import Factory, TCPAddress
from trioproto.errors import (
    AsyncCallbackError,
    CallbackError,
    ConnectionDone,
    ConnectionLost,
    ServerCancelled,
    ServerDraining,
)
from trioproto.testing import Harness
from trioproto.testing.conformance.recorder import CALLBACKS, Recorder


def connected(protocol: Recorder, **options: Any) -> Harness[Any]:
    harness: Harness[Any] = Harness(protocol, **options)
    assert harness.connect() is protocol
    return harness


def make_happen(callback: str, harness: Harness[Any]) -> None:
    makers: dict[str, Callable[[], object]] = {
        "connection_made": harness.connect,
        "data_received": lambda: harness.feed(b"data"),
        "eof_received": harness.feed_eof,
        "pause_writing": lambda: harness.transport.write(bytes(1 << 20)),
        "resume_writing": lambda: setattr(harness, "window", None),
        "timed_out": lambda: harness.advance(61),
        "quiesce": harness.drain,
        "connection_lost": harness.reset,
    }
    if callback == "resume_writing":
        harness.transport.write(bytes(1 << 20))
    makers[callback]()


@pytest.mark.parametrize("callback", CALLBACKS)
def test_every_async_callback_is_refused(callback: str) -> None:
    async def never(_: Recorder) -> None:
        raise AssertionError("there is nothing to run this")

    harness = Harness(Recorder(**{callback: never}), window=0)
    if callback != "connection_made":
        harness.connect()
    with pytest.raises(AsyncCallbackError, match=r"^Recorder has an async callback, and a harness"):
        make_happen(callback, harness)


@pytest.mark.parametrize("callback", CALLBACKS)
def test_what_a_callback_raises_comes_out_of_the_call_that_led_to_it(callback: str) -> None:
    def fail(_: Recorder) -> None:
        raise ZeroDivisionError

    protocol = Recorder(**{callback: fail})
    harness = Harness(protocol, window=0)
    if callback != "connection_made":
        harness.connect()
    with pytest.raises(ZeroDivisionError):
        make_happen(callback, harness)
    assert harness.lost
    if callback != "connection_lost":
        assert isinstance(protocol.reason, CallbackError)
    protocol.check()


def test_a_task_is_refused() -> None:
    async def never() -> None:
        raise AssertionError("there is nothing to run this")

    harness = connected(Recorder(data_received=lambda self: self.transport.start_soon(never)))
    with pytest.raises(AsyncCallbackError):
        harness.feed(b"go")


def test_take_returns_what_came_since_the_last_time() -> None:
    harness = connected(Recorder())
    harness.transport.write(b"one")
    harness.transport.write(b"two")
    assert harness.take() == b"onetwo"
    assert harness.take() == b""
    harness.transport.write(b"three")
    assert harness.take() == b"three"


def test_the_window_is_how_much_the_peer_still_takes() -> None:
    harness = connected(Recorder(), window=3)
    harness.transport.write(b"abcdef")
    assert (harness.take(), harness.window, harness.transport.buffered) == (b"abc", 0, 3)
    harness.window = 2
    assert (harness.take(), harness.transport.buffered) == (b"de", 1)
    harness.window = None
    assert (harness.take(), harness.transport.buffered) == (b"f", 0)


def test_the_peer_sees_our_eof_after_all_that_waits() -> None:
    harness = connected(Recorder(), window=3)
    harness.transport.write(b"abcdef")
    harness.transport.close()
    assert not harness.write_closed
    harness.window = None
    assert harness.take() == b"abcdef"
    assert harness.write_closed
    assert not harness.lost
    harness.feed_eof()
    assert harness.lost


def test_time_passes_only_by_advancing() -> None:
    protocol = Recorder()
    harness = connected(protocol, idle_timeout=10, linger=2)
    harness.advance(9.9)
    assert protocol.heard == ["connection_made"]
    harness.advance(0.2)
    assert protocol.heard == ["connection_made", "timed_out"]
    harness.advance(1.8)
    assert not harness.lost
    harness.advance(0.2)
    assert harness.lost


def test_each_deadline_on_the_way_fires_in_its_turn() -> None:
    protocol = Recorder(timed_out=lambda _: None)
    harness = connected(protocol, idle_timeout=10)
    harness.advance(35)
    assert protocol.heard.count("timed_out") == 3


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (Harness.feed_eof, ConnectionDone),
        (Harness.reset, ConnectionLost),
        (Harness.cancel, ServerCancelled),
    ],
)
def test_each_end_has_its_reason(
    end: Callable[[Harness[Any]], None], reason: type[Exception]
) -> None:
    protocol = Recorder()
    harness = connected(protocol)
    end(harness)
    assert harness.lost
    assert type(harness.reason) is reason
    assert harness.reason is protocol.reason


def test_there_is_no_reason_before_the_end() -> None:
    harness = connected(Recorder())
    harness.feed(b"data")
    assert harness.reason is None


def test_a_drain_tells_closes_and_lingers() -> None:
    protocol = Recorder()
    harness = connected(protocol)
    harness.drain()
    assert protocol.heard == ["connection_made", "quiesce"]
    assert harness.write_closed
    harness.feed_eof()
    assert type(protocol.reason) is ServerDraining


def test_what_arrives_after_the_end_is_ignored() -> None:
    protocol = Recorder()
    harness = connected(protocol)
    harness.reset()
    harness.feed(b"late")
    harness.feed_eof()
    harness.reset()
    harness.advance(1000)
    harness.drain()
    harness.cancel()
    assert protocol.heard == ["connection_made", "connection_lost"]


def test_what_is_fed_while_paused_comes_after_resuming_in_order() -> None:
    protocol = Recorder()
    harness = connected(protocol)
    harness.transport.pause_reading()
    assert not harness.reading
    harness.feed(b"one")
    harness.feed(b"two")
    harness.feed_eof()
    assert protocol.heard == ["connection_made"]
    harness.transport.resume_reading()
    assert protocol.received == b"onetwo"
    assert protocol.heard[-2:] == ["eof_received", "connection_lost"]


def test_the_peer_may_be_given() -> None:
    peer = TCPAddress("192.0.2.7", 4711)
    protocol = Recorder()
    connected(protocol, peer=peer)
    assert protocol.transport.peer == peer


def test_a_protocol_alone_gets_a_factory_of_its_own() -> None:
    protocol = Recorder()
    harness = connected(protocol)
    assert protocol.factory is harness.factory
    assert list(harness.factory.connections) == [protocol]


def test_two_harnesses_of_one_factory_share_its_connections() -> None:
    factory = Factory(Recorder)
    first, second = Harness(factory), Harness(factory)
    first.connect()
    second.connect()
    assert len(factory.connections) == 2
    for protocol in factory.connections:
        protocol.transport.write(b"all")
    assert (first.take(), second.take()) == (b"all", b"all")
    first.reset()
    assert list(factory.connections) == [second.protocol]
