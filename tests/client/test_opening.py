"""Client endpoints connecting, and failing to."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import Any, Self

import pytest
import trio
from trio.testing import MockClock

from tests.client.sites import PATIENCE, TCPSite, UnixSite, open_text
from trioproto.endpoints import TCPClientEndpoint, UnixClientEndpoint


class Names(trio.abc.HostnameResolver):
    """Knows a few names; the addresses are in the order given."""

    def __init__(self, **names: list[str]) -> None:
        self.names = names

    async def getaddrinfo(self, host: Any, port: Any, *_hints: Any, **_more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port))
            for address in self.names[name]
        ]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        raise NotImplementedError


async def test_a_name_is_looked_up_and_the_next_address_tried(tcp_site: TCPSite) -> None:
    """The first one refuses."""
    trio.socket.set_custom_hostname_resolver(Names(echo=["127.0.0.2", "127.0.0.1"]))
    stream = await open_text(f"tcp:echo:{tcp_site.port}")
    assert isinstance(stream, trio.SocketStream)
    assert stream.socket.getpeername() == ("127.0.0.1", tcp_site.port)
    await stream.aclose()


async def test_an_address_that_keeps_us_waiting_does_not_hold_up_the_next(
    tcp_site: TCPSite, autojump_clock: MockClock
) -> None:
    """A full backlog drops our SYN; long before that ends the other address is tried."""
    with full_backlog("127.0.0.2", tcp_site.port):
        trio.socket.set_custom_hostname_resolver(Names(echo=["127.0.0.2", "127.0.0.1"]))
        stream = await open_text(f"tcp:echo:{tcp_site.port}")
        assert trio.current_time() < 1
        await stream.aclose()


async def test_ipv6_addresses_are_escaped() -> None:
    with socket.socket(socket.AF_INET6) as listening:
        listening.bind(("::1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        stream = await open_text(f"tcp:\\:\\:1:{port}")
        await stream.aclose()


async def test_the_address_of_our_own_can_be_chosen(tcp_site: TCPSite) -> None:
    stream = await open_text(f"{tcp_site.text}:bindAddress=127.0.0.3")
    peer = await tcp_site.accept()
    assert peer.raw.getpeername()[0] == "127.0.0.3"
    await stream.aclose()


async def test_a_refused_connection_is_trios_error(refusing: str) -> None:
    """With what befell each address in the group that is its cause."""
    with pytest.raises(OSError, match="all attempts to connect") as caught:
        await open_text(refusing)
    group = caught.value.__cause__
    assert isinstance(group, ExceptionGroup)
    assert [each.errno for each in group.exceptions if isinstance(each, OSError)] == [
        errno.ECONNREFUSED
    ]


async def test_a_name_that_nobody_knows_is_a_gaierror() -> None:
    trio.socket.set_custom_hostname_resolver(Names())
    with pytest.raises(socket.gaierror, match="not known"):
        await open_text("tcp:nowhere:80")


@pytest.mark.parametrize("name", ["a..b", "x" * 64, "-" * 300])
async def test_what_cannot_be_a_name_is_a_gaierror_too(name: str) -> None:
    """The codec's own would be a ValueError, which nobody expects of the network."""
    with pytest.raises(socket.gaierror):
        await open_text(f"tcp:{name}:80")


def full_backlog(host: str, port: int) -> Any:
    """A listening socket with no room for one more connection."""
    return FullBacklog(socket.AF_INET, (host, port))


class FullBacklog:
    def __init__(self, family: int, address: Any) -> None:
        self.family = family
        self.sockets = [socket.socket(family)]
        self.sockets[0].bind(address)
        self.sockets[0].listen(0)
        self.address = self.sockets[0].getsockname()

    def __enter__(self) -> Self:
        for _ in range(10):
            sock = socket.socket(self.family)
            sock.setblocking(False)
            sock.connect_ex(self.address)
            self.sockets.append(sock)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for sock in self.sockets:
            sock.close()


async def test_connecting_over_tcp_has_a_deadline(autojump_clock: MockClock) -> None:
    with full_backlog("127.0.0.1", 0) as full:
        text = f"tcp:127.0.0.1:{full.address[1]}"
        with pytest.raises(TimeoutError, match="within 30 s") as caught:
            await open_text(text)
        assert text in str(caught.value)
        assert caught.value.errno == errno.ETIMEDOUT
        assert trio.current_time() == 30
        with pytest.raises(TimeoutError, match="within 5 s"):
            await open_text(f"{text}:timeout=5")
        assert trio.current_time() == 35


async def test_a_deadline_can_be_left_to_the_caller(autojump_clock: MockClock) -> None:
    with full_backlog("127.0.0.1", 0) as full:
        endpoint = TCPClientEndpoint("127.0.0.1", full.address[1], timeout=None)
        with trio.move_on_after(100) as scope:
            await endpoint.open()
        assert scope.cancelled_caught


async def test_connecting_to_a_unix_socket_has_a_deadline(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """A full backlog there is an error at once, and no connection: it is tried again."""
    with FullBacklog(socket.AF_UNIX, str(tmp_path / "socket")):
        with pytest.raises(TimeoutError, match="within 3 s"):
            await open_text(f"unix:{tmp_path / 'socket'}:timeout=3")
        assert trio.current_time() == pytest.approx(3)


async def test_a_unix_socket_is_connected_as_soon_as_there_is_room(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    with FullBacklog(socket.AF_UNIX, str(tmp_path / "socket")) as full:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(make_room, full)
            stream = await open_text(f"unix:{tmp_path / 'socket'}")
        await stream.send_all(b"hello")
        await stream.aclose()


async def make_room(full: FullBacklog) -> None:
    await trio.sleep(2)
    while True:
        full.sockets[0].setblocking(False)
        try:
            accepted = full.sockets[0].accept()[0]
        except BlockingIOError:
            return
        full.sockets.append(accepted)
        await trio.lowlevel.checkpoint()


async def test_an_abstract_name_is_no_file() -> None:
    name = f"trioproto-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"\0{name}")
        listening.listen()
        stream = await open_text(f"unix:@{name}")
        assert isinstance(stream, trio.SocketStream)
        assert stream.socket.getpeername() == f"\0{name}".encode()
        await stream.aclose()


async def test_a_missing_unix_socket_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing") as caught:
        await open_text(f"unix:{tmp_path / 'nothing'}")
    assert caught.value.filename == str(tmp_path / "nothing")


async def test_a_unix_socket_that_nobody_listens_on_is_the_systems_error(tmp_path: Path) -> None:
    """A stale file, say."""
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "socket"))
    with pytest.raises(ConnectionRefusedError):
        await open_text(f"unix:{tmp_path / 'socket'}")


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_cancelled_while_connecting_nothing_stays_open(
    kind: str, autojump_clock: MockClock, tmp_path: Path
) -> None:
    address: Any = ("127.0.0.1", 0) if kind == "tcp" else str(tmp_path / "socket")
    with FullBacklog(getattr(socket, f"AF_{'INET' if kind == 'tcp' else 'UNIX'}"), address) as full:
        endpoint = (
            TCPClientEndpoint("127.0.0.1", full.address[1])
            if kind == "tcp"
            else UnixClientEndpoint(str(tmp_path / "socket"))
        )
        with trio.move_on_after(1) as scope:
            await endpoint.open()
        assert scope.cancelled_caught


async def test_cancelled_before_connecting_nothing_is_opened(tmp_path: Path) -> None:
    site = UnixSite(tmp_path)
    with trio.CancelScope() as scope, trio.fail_after(PATIENCE):
        scope.cancel()
        await open_text(site.text)
    assert scope.cancelled_caught
    site.close()
