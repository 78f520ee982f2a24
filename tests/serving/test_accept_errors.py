"""Accepting goes on whatever the kernel says."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import trio
from trio.testing import MockClock

from tests.behaviour.drivers import PeerWasReset, SocketPeer
from tests.serving.conversations import LOOPBACK, Greeter, dial, settle
from trioproto import Factory, TCPAddress, open_server


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    """Let every call that needs a new descriptor fail with EMFILE."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = os.dup(0)
    os.close(spare)
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare, hard))
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
    autojump_clock: MockClock, logged_errors: list[object]
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
    assert all(not getattr(record, "exc_info", None) for record in logged_errors)
