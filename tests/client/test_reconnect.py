"""``stay_connected``: when it connects again, and what it leaves behind."""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from tests.client.sites import PATIENCE, Fixed, Site, TCPSite
from trioproto import Factory, Reconnector, TCPAddress, stay_connected
from trioproto.endpoints import ClientEndpoint
from trioproto.errors import (
    ConnectionAborted,
    ConnectionDone,
    EndpointError,
    ServerCancelled,
)
from trioproto.testing.conformance.recorder import Recorder

NO = ConnectionRefusedError("refused")


class BoomError(Exception):
    """What blocks, endpoints and factories of these tests raise."""


class Remembers(Factory[Recorder]):
    """Keeps what it has built, and notes its lifespan."""

    def __init__(self, build: Callable[[], Any] = Recorder, **settings: Any) -> None:
        super().__init__(**settings)
        self.build = build
        self.built: list[Any] = []
        self.peers: list[Any] = []
        self.log: list[str] = []

    def build_protocol(self, peer: Any) -> Any:
        self.peers.append(peer)
        self.built.append(self.build())
        return self.built[-1]

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        self.log.append("entered")
        try:
            yield
        finally:
            self.log.append(f"left with {len(self.connections)}")

    def check(self) -> None:
        for protocol in self.built:
            if protocol is not None:
                protocol.check()


class Server(ClientEndpoint):
    """Where every attempt succeeds, or none, over streams in memory."""

    def __init__(self, *, up: bool = True) -> None:
        self.text = "memory"
        self.up = up
        self.times: list[float] = []
        self.streams: list[Any] = []

    async def open(self) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        self.times.append(trio.current_time())
        if not self.up:
            raise ConnectionRefusedError("down")
        ours, theirs = trio.testing.memory_stream_pair()
        self.streams.append(theirs)
        return ours

    async def hang_up(self) -> None:
        await self.streams[-1].aclose()
        await trio.testing.wait_all_tasks_blocked()


def no_jitter() -> float:
    return 0.0


def gaps(times: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(times)]


# When


async def test_the_waits_grow_to_a_maximum(autojump_clock: MockClock) -> None:
    """By half each time, from a second and a half to a minute."""
    server = Server(up=False)
    async with stay_connected(Remembers(), server, jitter=no_jitter) as kept:
        await trio.sleep(1000)
        assert kept.attempts == kept.failures == len(server.times)
    assert server.times[0] == 0
    waits = gaps(server.times)
    assert waits[:4] == pytest.approx([1.5, 2.25, 3.375, 5.0625])
    assert waits == pytest.approx([min(1.5 ** (n + 1), 60) for n in range(len(waits))])
    assert waits[-1] == 60


async def test_the_policy_can_be_chosen(autojump_clock: MockClock) -> None:
    server = Server(up=False)
    options: Any = {"initial": 2, "factor": 3, "maximum": 50}
    async with stay_connected(Remembers(), server, jitter=lambda: 0.5, **options):
        await trio.sleep(200)
    assert gaps(server.times)[:5] == pytest.approx([6.5, 18.5, 50.5, 50.5, 50.5])


async def test_a_factor_of_one_does_not_grow(autojump_clock: MockClock) -> None:
    server = Server(up=False)
    async with stay_connected(
        Remembers(), server, initial=10, factor=1, maximum=10, jitter=no_jitter
    ):
        await trio.sleep(100)
    assert set(gaps(server.times)) == {10}


async def test_the_waits_never_overflow(autojump_clock: MockClock) -> None:
    """A server may be down for weeks."""
    server = Server(up=False)
    logging.getLogger("trioproto").disabled = True
    try:
        async with stay_connected(Remembers(), server, factor=1e50, jitter=no_jitter) as kept:
            await trio.sleep(60 * 1000)
            assert kept.failures > 990
    finally:
        logging.getLogger("trioproto").disabled = False
    assert set(gaps(server.times)) == {60}


async def test_the_jitter_is_up_to_a_second(autojump_clock: MockClock) -> None:
    """Evenly, and another one each time."""
    server = Server(up=False)
    jitter = random.Random(1).random
    async with stay_connected(Remembers(), server, factor=1, jitter=jitter):
        await trio.sleep(200)
    waits = gaps(server.times)
    expected = random.Random(1)
    assert waits == pytest.approx([1 + expected.random() for _ in waits])


async def test_by_default_there_is_jitter(autojump_clock: MockClock) -> None:
    server = Server(up=False)
    async with stay_connected(Remembers(), server, factor=1):
        await trio.sleep(100)
    waits = gaps(server.times)
    assert all(1 <= wait < 2 for wait in waits)
    assert len(set(waits)) > 30


async def test_a_connection_starts_the_policy_anew(autojump_clock: MockClock) -> None:
    """After a loss the first wait is the initial one; then it grows again."""
    server = Server(up=False)
    async with stay_connected(Remembers(), server, jitter=no_jitter) as kept:
        await trio.sleep(100)
        assert kept.failures > 5
        server.up = True
        await kept.wait_connected()
        assert kept.failures == 0
        await trio.sleep(50)
        server.up = False
        lost = trio.current_time()
        await server.hang_up()
        await trio.sleep(10)
        after = [time - lost for time in server.times if time > lost]
        assert after == pytest.approx([1, 1 + 1.5, 1 + 1.5 + 2.25, 1 + 1.5 + 2.25 + 3.375])
        assert kept.failures == 4


async def test_a_server_that_hangs_up_at_once_is_not_pestered(autojump_clock: MockClock) -> None:
    """Each time it was a connection; about one a second."""
    server = Server()
    async with stay_connected(Remembers(), server, jitter=no_jitter) as kept:
        for _ in range(10):
            await kept.wait_connected()
            await server.hang_up()
    assert gaps(server.times) == pytest.approx([1.0] * 9)


@pytest.mark.parametrize(
    ("options", "name"),
    [({"initial": -1}, "initial"), ({"factor": 0.5}, "factor"), ({"maximum": 0.5}, "maximum")],
)
async def test_a_policy_out_of_range_is_a_value_error(options: Any, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        async with stay_connected(Remembers(), Server(), **options):
            raise AssertionError


# Connected


async def test_a_lost_connection_is_made_again(autojump_clock: MockClock) -> None:
    """With another protocol, built for the server's address; ``lifespan`` is entered once."""
    server, factory = Server(), Remembers()
    async with stay_connected(factory, server, jitter=no_jitter) as kept:
        first = await kept.wait_connected()
        assert kept.protocol is first is factory.built[0]
        assert await kept.wait_connected() is first
        assert list(factory.connections) == [first]
        await server.hang_up()
        assert kept.protocol is None
        second = await kept.wait_connected()
        assert kept.protocol is second is factory.built[1]
        assert second.factory is factory
        assert (kept.attempts, kept.failures) == (2, 0)
        await server.streams[-1].send_all(b"hello")
        await trio.testing.wait_all_tasks_blocked()
        assert second.received == b"hello"
        assert factory.log == ["entered"]
    assert factory.log == ["entered", "left with 0"]
    factory.check()


async def test_it_connects_over_real_sockets(socket_site: Site) -> None:
    """The protocol is built for the address that was connected to."""
    factory = Remembers()
    async with stay_connected(factory, socket_site.text, initial=0, jitter=no_jitter) as kept:
        for number in range(3):
            peer = await socket_site.accept()
            with trio.fail_after(PATIENCE):
                protocol = await kept.wait_connected()
            assert len(factory.built) == number + 1
            protocol.transport.write(b"hello")
            assert await peer.receive_exactly(5) == b"hello"
            await peer.aclose()
            await protocol.transport.wait_closed()
    # A Unix socket's address has the server's process behind it.
    peers = [str(each).partition(" (pid")[0] for each in factory.peers]
    assert peers[:3] == [socket_site.text] * 3
    factory.check()


async def test_who_waits_gets_the_next_connection(autojump_clock: MockClock) -> None:
    """All of them the same one."""
    server, factory = Server(up=False), Remembers()
    got: list[Any] = []

    async def wait() -> None:
        got.append(await kept.wait_connected())

    async with (
        stay_connected(factory, server) as kept,
        trio.open_nursery() as nursery,
    ):
        for _ in range(3):
            nursery.start_soon(wait)
        await trio.sleep(10)
        assert got == []
        server.up = True
    assert got == factory.built[:1] * 3


async def test_a_connection_that_closes_counts_no_more(autojump_clock: MockClock) -> None:
    """It may still flush, but is of no use to anybody; when it has ended, there is another."""
    server = Server()
    async with stay_connected(Remembers(), server, jitter=no_jitter) as kept:
        first = await kept.wait_connected()
        first.transport.close()
        assert kept.protocol is None
        await server.streams[0].aclose()
        assert await kept.wait_connected() is not first


async def test_a_connection_lost_at_once_is_nobodys(autojump_clock: MockClock) -> None:
    """Who waits goes on waiting."""
    server = Server()
    ends = ["close", "abort", ""]

    def end(recorder: Recorder) -> None:
        how = ends.pop(0)
        if how:
            getattr(recorder.transport, how)()

    factory = Remembers(lambda: Recorder(connection_made=end))
    async with stay_connected(factory, server, jitter=no_jitter) as kept:
        with trio.fail_after(100):
            protocol = await kept.wait_connected()
        assert protocol is factory.built[-1]
        assert len(factory.built) == 3
        assert kept.failures == 0
        await server.streams[-1].aclose()
        await protocol.transport.wait_closed()
    factory.check()


async def test_a_factory_has_one_use_at_a_time(autojump_clock: MockClock) -> None:
    factory = Remembers()
    async with stay_connected(factory, Server()):
        with pytest.raises(RuntimeError, match="in use"):
            async with stay_connected(factory, Server()):
                raise AssertionError
    async with stay_connected(factory, Server()):
        pass
    assert factory.log == ["entered", "left with 0"] * 2


# Failures


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert all(each.exc_info is None for each in caplog.records)
    return [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]


async def test_a_failed_attempt_is_one_line(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Which endpoint, why, and when the next one comes."""
    endpoint = Fixed(NO)
    async with stay_connected(Remembers(), endpoint, jitter=no_jitter):
        await trio.sleep(1)
    assert warnings(caplog) == ["fixed: refused; attempt 1, the next one in 1.5 s"]


async def test_the_line_says_what_befell_each_address(
    refusing: str, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with stay_connected(Remembers(), refusing, jitter=no_jitter):
        while not caplog.records:
            await trio.lowlevel.checkpoint()
    (line,) = warnings(caplog)
    assert line.startswith(
        f"{refusing}: all attempts to connect to {refusing[4:]} failed; [Errno 111]"
    )
    assert "\n" not in line


async def test_a_protocol_that_is_not_built_is_a_failure(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection is closed, and the next one made later."""
    server, factory = Server(), Remembers(lambda: None)
    async with stay_connected(factory, server, jitter=no_jitter) as kept:
        await trio.sleep(5)
        assert kept.failures == 3
    assert gaps(server.times) == pytest.approx([1.5, 2.25])
    assert len(warnings(caplog)) == 3
    assert "no protocol was built" in warnings(caplog)[0]
    for stream in server.streams:
        assert await stream.receive_some() == b""


async def test_build_protocol_raises_and_it_is_a_failure(
    autojump_clock: MockClock, logged_errors: list[Any]
) -> None:
    """Logged as on a server."""

    def build() -> Any:
        raise BoomError

    factory = Remembers(build)
    async with stay_connected(factory, Server(), jitter=no_jitter) as kept:
        await trio.sleep(1)
        assert kept.failures == 1
    assert len(logged_errors) == 1


async def test_a_handshake_that_fails_is_a_failure(
    tcp_site: TCPSite, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    factory = Remembers()
    text = f"tls:127.0.0.1:{tcp_site.port}"
    async with stay_connected(factory, text, jitter=no_jitter) as kept:
        peer = await tcp_site.accept()
        await peer.receive_some()
        await peer.send_eof()
        while not kept.failures:
            await trio.lowlevel.checkpoint()
    assert all(each.heard == [] for each in factory.built)
    assert any(line.startswith(f"{text}: ") for line in warnings(caplog))


@pytest.mark.parametrize("text", ["tcp:8007", "tls:a:1:trustRoots={}"])
async def test_what_can_never_work_is_not_tried(text: str, tmp_path: Any) -> None:
    """A bad string, a file that is no certificate: that is the caller's to mend."""
    (tmp_path / "file").touch()
    factory = Remembers()
    with pytest.raises(EndpointError):
        async with stay_connected(factory, text.format(tmp_path / "file")):
            raise AssertionError
    assert factory.log == []


async def test_what_is_no_oserror_ends_it(autojump_clock: MockClock) -> None:
    """An endpoint of the user's own is broken: nobody would ever see that in the log."""
    with pytest.raises(BoomError):
        async with stay_connected(Remembers(), Fixed(NO, BoomError())):
            await trio.sleep_forever()


async def test_a_callbacks_error_comes_out_if_the_settings_say_so() -> None:
    def boom(_: Recorder) -> None:
        raise BoomError

    factory = Remembers(lambda: Recorder(connection_made=boom), callback_errors="raise")
    with pytest.raises(BoomError):
        async with stay_connected(factory, Server()):
            await trio.sleep_forever()
    assert factory.log == ["entered", "left with 0"]


# Leaving


async def test_leaving_closes_the_connection_cleanly(socket_site: Site) -> None:
    """What waits is flushed; all is over then."""
    async with trio.open_nursery() as nursery:
        factory = Remembers()

        async def read() -> None:
            peer = await socket_site.accept()
            assert await peer.receive_all() == (bytes(1 << 20), "eof")
            await peer.aclose()

        nursery.start_soon(read)
        async with stay_connected(factory, socket_site.text) as kept:
            (await kept.wait_connected()).transport.write(bytes(1 << 20))
    (protocol,) = factory.built
    assert type(protocol.reason) is ConnectionDone
    assert factory.log == ["entered", "left with 0"]


async def test_leaving_while_it_waits_takes_no_time(autojump_clock: MockClock) -> None:
    server = Server(up=False)
    async with stay_connected(Remembers(), server) as kept:
        await trio.sleep(0.5)
    assert trio.current_time() == 0.5
    assert kept.protocol is None


async def test_leaving_while_it_connects_takes_no_time(autojump_clock: MockClock) -> None:
    class Hangs(Fixed):
        async def open(self) -> trio.abc.Stream:
            await trio.sleep_forever()
            raise AssertionError

    async with stay_connected(Remembers(), Hangs()) as kept:
        await trio.sleep(1)
    assert trio.current_time() == 1
    assert kept.attempts == 1


async def test_leaving_while_it_shakes_hands_takes_no_time(
    tcp_site: TCPSite, autojump_clock: MockClock
) -> None:
    factory = Remembers()
    async with stay_connected(factory, f"tls:127.0.0.1:{tcp_site.port}"):
        peer = await tcp_site.accept()
        await peer.receive_some()
    assert trio.current_time() < 1
    assert [each.heard for each in factory.built] == [[]]


async def test_an_exception_resets_and_comes_out_as_itself() -> None:
    factory = Remembers()

    async def use() -> None:
        async with stay_connected(factory, Server()) as kept:
            await kept.wait_connected()
            raise BoomError

    with pytest.raises(BoomError):
        await use()
    (protocol,) = factory.built
    assert type(protocol.reason) is ConnectionAborted
    assert factory.log == ["entered", "left with 0"]


async def test_a_group_of_the_blocks_own_stays_a_group() -> None:
    given = ExceptionGroup("mine", [BoomError()])
    with pytest.raises(ExceptionGroup) as caught:
        async with stay_connected(Remembers(), Server()):
            raise given
    assert caught.value is given


async def test_who_still_waits_after_the_block_is_told(autojump_clock: MockClock) -> None:

    async def wait(kept: Reconnector[Recorder]) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await kept.wait_connected()

    async with (
        trio.open_nursery() as nursery,
        stay_connected(Remembers(), Server(up=False)) as kept,
    ):
        nursery.start_soon(wait, kept)
        await trio.sleep(1)
    with pytest.raises(trio.ClosedResourceError):
        await kept.wait_connected()


async def use(site: TCPSite, factory: Remembers, reached: list[str]) -> None:
    """Connect, lose that, connect again, leave."""
    async with stay_connected(factory, site.text, initial=0, jitter=no_jitter) as kept:
        reached.append("entered")
        for number in ("first", "second"):
            protocol = await kept.wait_connected()
            protocol.transport.write(b"hello")
            reached.append(number)
            peer = await site.accept()
            await peer.receive_exactly(5)
            await peer.aclose()
            await protocol.transport.wait_closed()
    reached.append("left")


async def cancel_after(ticks: int, scope: trio.CancelScope) -> None:
    for _ in range(ticks):
        await trio.lowlevel.checkpoint()
    scope.cancel()


async def test_cancelled_at_any_await_it_leaves_nothing(tcp_site: TCPSite) -> None:
    """After so many ticks, for each number until it is done before."""
    seen: set[str] = set()
    before = trio.lowlevel.current_statistics().tasks_living
    for ticks in range(10_000):
        factory, reached = Remembers(), list[str]()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cancel_after, ticks, scope)
                await use(tcp_site, factory, reached)
                nursery.cancel_scope.cancel()
        factory.check()
        assert len(factory.connections) == 0
        assert trio.lowlevel.current_statistics().tasks_living == before
        assert all(type(each.reason) in (ServerCancelled, ConnectionDone) for each in factory.built)
        seen.update(reached)
        for peer in tcp_site.peers:
            peer.discard()
        while tcp_site.pending():
            tcp_site.listening.accept()[0].close()
        if "left" in reached and not scope.cancelled_caught:
            break
    assert seen == {"entered", "first", "second", "left"}


async def test_the_servers_address_is_what_protocols_are_built_for(tcp_site: TCPSite) -> None:
    factory = Remembers()
    async with stay_connected(factory, tcp_site.text) as kept:
        await kept.wait_connected()
        (await tcp_site.accept()).discard()
    assert factory.peers == [TCPAddress("127.0.0.1", tcp_site.port)]
