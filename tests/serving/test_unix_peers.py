"""Who is at the other end of a Unix socket, whoever made the connection, and what the log says."""

from __future__ import annotations

import logging
import os
import socket
from typing import Any

import pytest
import trio

from tests.behaviour.drivers import SocketPeer
from tests.behaviour.tls_peers import server_context
from tests.serving.conversations import Echo, dialled, outcome
from trioproto import Credentials, Factory, UnixAddress, connect, open_server, run_protocol
from trioproto.endpoints import TLSServerEndpoint, UnixServerEndpoint
from trioproto.testing.conformance.recorder import Recorder

OURSELVES = Credentials(os.getpid(), os.geteuid(), os.getegid())


class Fails(Echo):
    def data_received(self, data: bytes) -> Any:
        raise ZeroDivisionError


def a_name(of: str) -> str:
    """An abstract one, which leaves no file."""
    return f"@trioproto-{os.getpid()}-{of}"


def dial_from(own: str, path: str) -> SocketPeer:
    """Connect from an abstract name to another."""
    client = socket.socket(socket.AF_UNIX)
    dialled.append(SocketPeer(client))
    client.bind("\0" + own[1:])
    client.connect("\0" + path[1:])
    return dialled[-1]


async def test_the_peer_of_a_ready_made_stream_has_credentials() -> None:
    """As that of a socket of a server's own has."""
    theirs, ours = socket.socketpair()
    ours.setblocking(False)
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
    with theirs:
        protocol = Recorder(connection_made=lambda self: self.transport.close())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_protocol, protocol, stream)
            while not protocol.heard:
                await trio.lowlevel.checkpoint()
            theirs.shutdown(socket.SHUT_RDWR)
    assert protocol.transport.peer == UnixAddress("", OURSELVES)


async def test_the_server_of_a_connection_that_we_make_has_credentials() -> None:
    path = a_name("credentials")
    protocol = Recorder()
    async with open_server(Factory(Echo), f"unix:{path}"), connect(f"unix:{path}", protocol):
        pass
    assert protocol.transport.peer == UnixAddress(path, OURSELVES)
    assert str(protocol.transport.peer) == f"unix:{path}"


def test_a_peer_without_a_name_is_shown_as_its_process() -> None:
    assert str(UnixAddress("", OURSELVES)) == f"unix: (pid {os.getpid()})"
    assert str(UnixAddress("")) == "unix:"


NAMES = [
    pytest.param("two\nlines", r"two\nlines", id="a line end"),
    pytest.param("\x1b[2Jgone", r"\x1b[2Jgone", id="an escape sequence"),
    pytest.param("\u202elive", r"\u202elive", id="another direction"),
]


@pytest.mark.parametrize(("name", "shown"), NAMES)
async def test_the_name_that_a_peer_chose_is_printable_where_an_error_is_logged(
    name: str, shown: str, logged_errors: list[logging.LogRecord]
) -> None:
    path, own = a_name("errors"), a_name(name)
    async with open_server(Factory(Fails), f"unix:{path}"):
        peer = dial_from(own, path)
        await peer.send(b"go")
        await outcome(peer)
    (record,) = logged_errors
    assert record.getMessage().isprintable()
    assert shown in record.getMessage()


@pytest.mark.parametrize(("name", "shown"), NAMES)
async def test_the_name_that_a_peer_chose_is_printable_where_its_handshake_is_logged(
    name: str, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    path, own = a_name("handshakes"), a_name(name)
    endpoint = TLSServerEndpoint(UnixServerEndpoint(path), server_context())
    async with open_server(Factory(Echo), endpoint):
        peer = dial_from(own, path)
        await peer.send(b"GET / HTTP/1.1\r\n\r\n")
        await outcome(peer)
        peer.discard()
    (record,) = caplog.records
    assert record.getMessage().isprintable()
    assert shown in record.getMessage()


async def test_the_address_itself_is_as_the_peer_chose_it() -> None:
    path, own = a_name("as it is"), a_name("two\nlines")
    protocol = Recorder()
    async with open_server(Factory(lambda: protocol), f"unix:{path}"):
        peer = dial_from(own, path)
        while not protocol.heard:
            await trio.lowlevel.checkpoint()
        peer.discard()
    assert protocol.transport.peer == UnixAddress(own, OURSELVES)
