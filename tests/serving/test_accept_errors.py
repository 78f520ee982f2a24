"""Accepting goes on whatever the kernel says."""

from __future__ import annotations

import errno
import logging
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import SocketPeer
from tests.serving.conversations import LOOPBACK, Counting, Greeter, dial, settle
from tests.serving.test_listeners import offer
from tests.tls.over_wire import open_descriptors
from trioproto import Factory, TCPAddress, connect, open_server, serve
from trioproto.endpoints import Bound, ServerEndpoint
from trioproto.errors import ConnectionLost
from trioproto.runtime.poller import Poller
from trioproto.sansio.addresses import address_from_sockaddr
from trioproto.testing import MemoryListener, PlainMemoryStream
from trioproto.testing.conformance.peer import PeerWasReset
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import in_turn


@contextmanager
def no_more_descriptors(but: int = 0) -> Iterator[None]:
    """Let every call that needs a new descriptor fail with EMFILE, once *but* are taken."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = os.dup(0)
    os.close(spare)
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare + but, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def first_word(peer: SocketPeer) -> bytes:
    """What a queued peer hears: it is served or shed, but not left hanging."""
    try:
        return await peer.receive_some()
    except PeerWasReset:
        return b""


async def test_accepting_survives_emfile_and_serves_again(
    autojump_clock: MockClock, logged_errors: list[logging.LogRecord]
) -> None:
    async with open_server(Factory(Greeter, idle_timeout=None), LOOPBACK) as server:
        (address,) = server.addresses
        assert isinstance(address, TCPAddress)
        before = dial(address)
        assert await before.receive_exactly(5) == b"hello"
        queued = [socket.socket() for _ in range(3)]
        peers = [SocketPeer(client) for client in queued]
        await settle()
        with no_more_descriptors():
            for client in queued:
                try:
                    client.connect((address.host, address.port))
                except BlockingIOError:
                    pass  # the kernel does it meanwhile
            await settle()
            await before.send(b"still served")
            assert await before.receive_exactly(12) == b"still served"
            await trio.sleep(10)
        with trio.fail_after(60):
            after = dial(address)
            assert await after.receive_exactly(5) == b"hello"
            for peer in peers:
                assert await first_word(peer) in (b"", b"hello")
        for peer in (before, after, *peers):
            await peer.aclose()
    assert not any(record.exc_info for record in logged_errors)


def poller_of(factory: Factory[Any]) -> Poller:
    assert factory._scope is not None
    return factory._scope.poller


class Failing(MemoryListener):
    """Fails first, as the kernel may."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)

    async def accept(self) -> PlainMemoryStream:
        await trio.lowlevel.checkpoint()
        if self.errors:
            raise self.errors.pop(0)
        return await super().accept()


@pytest.mark.parametrize(
    "number",
    [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED, errno.EPROTO],
)
async def test_accepting_goes_on_after_what_passes(
    autojump_clock: MockClock, logged_errors: list[logging.LogRecord], number: int
) -> None:
    listener = Failing(*[OSError(number, os.strerror(number)) for _ in range(3)])
    async with open_server(Factory(Greeter), LOOPBACK, listener) as server:
        over_tcp = dial(server.addresses[0])
        assert await over_tcp.receive_exactly(5) == b"hello"
        with trio.fail_after(60):
            peer = await offer(listener)
            assert await peer.receive_exactly(5) == b"hello"
        await peer.aclose()
        await over_tcp.aclose()
    assert not any(record.exc_info for record in logged_errors)


async def test_a_listener_that_is_broken_ends_the_server_with_its_error() -> None:
    factory = Counting()
    with trio.fail_after(60), pytest.raises(OSError, match="bad") as caught:
        await serve(factory, LOOPBACK, Failing(OSError(errno.EBADF, "bad")))
    assert caught.value.errno == errno.EBADF
    assert factory.log == ["entered", "left with 0"]


async def test_a_server_that_backs_off_says_so_once_in_the_interval_and_can_be_stopped(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    failing = [OSError(errno.EMFILE, "too many") for _ in range(10_000)]
    async with open_server(Factory(Greeter, alarm_interval=2), Failing(*failing)) as server:
        await trio.sleep(3)
        server.stop()
        with trio.fail_after(5):
            await server.wait_closed()
    assert caplog.messages == [f"accepting on Failing: [Errno {errno.EMFILE}] too many"] * 2


async def test_a_server_has_its_poller_before_descriptors_run_out(
    autojump_clock: MockClock,
) -> None:
    """Who is accepted with the last descriptor is served."""
    async with open_server(Factory(Greeter, idle_timeout=None), LOOPBACK) as server:
        (address,) = server.addresses
        assert isinstance(address, TCPAddress)
        client = socket.socket()
        await settle()
        with no_more_descriptors(but=1):
            client.connect((address.host, address.port))
            peer = SocketPeer(client)
            assert await peer.receive_exactly(5) == b"hello"
        await peer.aclose()


class FullEpoll:
    """Has no room for one socket, in place of a system that has none."""

    def __init__(self, epoll: Any) -> None:
        self.epoll = epoll
        self.full = True

    def register(self, fd: int, events: int) -> None:
        if self.full:
            self.full = False
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.epoll.register(fd, events)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.epoll, name)


async def test_who_cannot_be_watched_is_lost_and_the_others_are_served(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[Recorder] = []

    def build() -> Recorder:
        made.append(Recorder(data_received=lambda self: self.transport.write(b"served")))
        return made[-1]

    factory = Factory(build)
    async with open_server(factory, LOOPBACK) as server:
        peers = []
        for number in range(3):
            if number == 1:
                poller = poller_of(factory)
                poller._epoll = FullEpoll(poller._epoll)  # type: ignore[assignment]
            peers.append(dial(server.addresses[0]))
            await settle()
        for peer in (peers[0], peers[2]):
            await peer.send(b"x")
            assert await peer.receive_exactly(6) == b"served"
        assert await peers[1].receive_all() == (b"", "reset")
        for peer in peers:
            await peer.aclose()
    reason = made[1].reason
    assert isinstance(reason, ConnectionLost)
    assert isinstance(reason.__cause__, OSError)
    assert reason.__cause__.errno == errno.ENOSPC
    assert caplog.messages == [
        f"connection from {made[1].transport.peer}: the system has no room in an epoll: {reason}"
    ]


async def test_who_cannot_be_watched_again_is_lost_and_the_server_goes_on(
    autojump_clock: MockClock,
) -> None:
    """A hang-up takes a descriptor out of the epoll, until it is read from again."""
    paused, other = Recorder(), Recorder()
    factory = in_turn([paused, other])
    async with open_server(factory, LOOPBACK) as server:
        peer = dial(server.addresses[0])
        await settle()
        paused.transport.pause_reading()
        await peer.send(b"the last")
        await peer.send_eof()
        await settle()
        paused.transport.write_eof()
        await settle()
        poller = poller_of(factory)
        poller._epoll = FullEpoll(poller._epoll)  # type: ignore[assignment]
        paused.transport.resume_reading()
        await settle()
        reason = paused.reason
        assert isinstance(reason, ConnectionLost)
        assert isinstance(reason.__cause__, OSError)
        assert reason.__cause__.errno == errno.ENOSPC
        late = dial(server.addresses[0])
        await late.send(b"x")
        await settle()
        assert other.received == b"x"
        await peer.aclose()
        await late.aclose()


async def test_who_waits_and_cannot_be_watched_waits_all_the_same(
    autojump_clock: MockClock,
) -> None:
    factory = Factory(Greeter, max_connections=1, refuse_after=60)
    async with open_server(factory, LOOPBACK) as server:
        first = dial(server.addresses[0])
        assert await first.receive_exactly(5) == b"hello"
        poller = poller_of(factory)
        poller._epoll = FullEpoll(poller._epoll)  # type: ignore[assignment]
        late = dial(server.addresses[0])
        await settle()
        await first.aclose()
        assert await late.receive_exactly(5) == b"hello"
        await late.aclose()


async def test_a_client_that_can_have_no_poller_leaves_no_socket_open(
    autojump_clock: MockClock,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        endpoint = f"tcp:127.0.0.1:{listening.getsockname()[1]}"
        before = open_descriptors()
        with no_more_descriptors(but=1):
            with pytest.raises(OSError, match="Too many open files"):
                async with connect(endpoint, Greeter()):
                    pytest.fail("there is no descriptor for an epoll")
            assert open_descriptors() == before


class Gone(socket.socket):
    """A connection of which the kernel says that it has gone already, as some do."""

    def setblocking(self, flag: bool, /) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


class AcceptsOneThatHasGone(socket.socket):
    """Listens; the first of its connections has gone when it is accepted."""

    first = True

    def accept(self) -> tuple[socket.socket, Any]:
        accepted, address = super().accept()
        if self.first:
            self.first = False
            return Gone(fileno=accepted.detach()), address
        return accepted, address


class Given(ServerEndpoint):
    """A socket that listens already."""

    text = "given"

    def __init__(self, listening: socket.socket) -> None:
        self.listening = listening

    async def bind(self) -> list[Bound]:
        address = address_from_sockaddr(self.listening.getsockname())
        return [Bound(self.listening, address, self.text, listens=True)]


async def test_one_that_has_gone_when_it_is_accepted_keeps_no_place(
    autojump_clock: MockClock,
) -> None:
    listening = AcceptsOneThatHasGone()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    listening.setblocking(False)
    factory = Factory(Greeter, max_connections=1)
    async with open_server(factory, Given(listening)) as server:
        with trio.fail_after(60):
            assert await first_word(dial(server.addresses[0])) == b""
            after = dial(server.addresses[0])
            assert await after.receive_exactly(5) == b"hello"
        assert server.statistics().accepted == 1
        await after.aclose()
