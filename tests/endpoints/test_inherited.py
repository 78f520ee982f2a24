"""Sockets that this process was started with."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from tests.endpoints.sockets import bind_one, descriptors, dial_unix
from tests.serving.conversations import LOOPBACK, Greeter, dial, listens
from trioproto import Factory, TCPAddress, UnixAddress, open_server, serve
from trioproto.endpoints import FDServerEndpoint, SystemdServerEndpoint
from trioproto.errors import EndpointError, ListenError


@contextmanager
def inherited(family: int = socket.AF_INET, *, listening: bool = True) -> Iterator[socket.socket]:
    with socket.socket(family) as sock:
        sock.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        if listening:
            sock.listen()
        yield sock


@pytest.mark.parametrize("listening", [True, False])
async def test_an_inherited_socket_is_served_whether_it_listens_or_not(listening: bool) -> None:
    with inherited(listening=listening) as sock:
        address = TCPAddress(*sock.getsockname())
        async with open_server(Factory(Greeter), f"fd:{sock.fileno()}") as server:
            assert server.addresses == (address,)
            peer = dial(address)
            assert await peer.receive_exactly(5) == b"hello"
            await peer.aclose()


async def test_who_connects_between_two_servers_waits_for_the_next(folder: Path) -> None:
    """What a restart must not lose: the descriptor stays, and its queue."""
    with inherited() as sock:
        address = TCPAddress(*sock.getsockname())
        before = dial(address)
        for _ in range(3):
            async with open_server(Factory(Greeter), f"fd:{sock.fileno()}"):
                assert await before.receive_exactly(5) == b"hello"
                await before.aclose()
            before = dial(address)
        assert listens(address)
    assert not listens(address)


async def test_an_inherited_unix_socket_is_served_and_its_file_is_not_ours(folder: Path) -> None:
    path = folder / "x"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        async with open_server(Factory(Greeter), f"fd:{sock.fileno()}") as server:
            assert server.addresses == (UnixAddress(str(path)),)
            peer = dial_unix(path)
            assert await peer.receive_exactly(5) == b"hello"
            await peer.aclose()
    assert path.is_socket()


async def test_an_inherited_socket_goes_to_no_child_and_does_not_block() -> None:
    with inherited() as sock:
        os.set_inheritable(sock.fileno(), True)
        os.set_blocking(sock.fileno(), True)
        bound = await bind_one(FDServerEndpoint(sock.fileno()))
        assert isinstance(bound.source, socket.socket)
        for each in (sock, bound.source):
            assert not os.get_inheritable(each.fileno())
            assert not os.get_blocking(each.fileno())
        assert bound.listens
        bound.close()
        assert descriptors()[sock.fileno()].startswith("socket:")


def a_datagram_socket() -> int:
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return sock.detach()


def a_connection() -> int:
    ours, theirs = socket.socketpair()
    theirs.close()
    return ours.detach()


def a_live_connection() -> int:
    with inherited() as sock:
        dial(TCPAddress(*sock.getsockname()))
        return sock.accept()[0].detach()


def unbound() -> int:
    return socket.socket().detach()


def unbound_unix() -> int:
    return socket.socket(socket.AF_UNIX).detach()


def a_pipe() -> int:
    ours, theirs = os.pipe()
    os.close(theirs)
    return ours


def a_file() -> int:
    return os.open(__file__, os.O_RDONLY)


def a_directory() -> int:
    return os.open("/", os.O_RDONLY)


def a_device() -> int:
    return os.open(os.devnull, os.O_RDONLY)


@pytest.mark.parametrize(
    ("make", "shown"),
    [
        (a_datagram_socket, ["dgram", "ListenStream="]),
        (a_connection, ["one connection", "Accept=no"]),
        (a_live_connection, ["one connection", "Accept=no"]),
        (unbound, ["without an address", "bind it first"]),
        (unbound_unix, ["without an address", "bind it first"]),
        (a_pipe, ["a pipe", "has to be a socket"]),
        (a_file, ["a file", "has to be a socket"]),
        (a_directory, ["a directory", "has to be a socket"]),
        (a_device, ["a device", "has to be a socket"]),
    ],
)
async def test_what_cannot_be_listened_on_is_told(
    make: Callable[[], int], shown: list[str]
) -> None:
    fd = make()
    try:
        before = descriptors()
        with trio.fail_after(5), pytest.raises((EndpointError, ListenError)) as caught:
            await serve(Factory(Greeter), LOOPBACK, f"fd:{fd}")
        assert descriptors() == before
        assert isinstance(caught.value, EndpointError | ListenError)
        assert caught.value.endpoint == f"fd:{fd}"
        for each in (f"descriptor {fd}", *shown):
            assert each in str(caught.value)
    finally:
        os.close(fd)


async def test_a_connection_that_was_reset_is_told() -> None:
    """It has no peer any more by which it could be told from a socket that is bound only."""
    with inherited() as sock:
        peer = dial(TCPAddress(*sock.getsockname()))
        connection = sock.accept()[0]
        await peer.reset()
    with pytest.raises(ConnectionResetError):
        connection.recv(1)
    fd = connection.detach()
    try:
        with trio.fail_after(5), pytest.raises(ListenError, match="was not connected") as caught:
            await serve(Factory(Greeter), f"fd:{fd}")
        assert caught.value.errno == errno.EINVAL
    finally:
        os.close(fd)


async def test_a_closed_descriptor_is_told() -> None:
    fd = a_device()
    os.close(fd)
    with trio.fail_after(5), pytest.raises(ListenError, match=f"no descriptor {fd}") as caught:
        await serve(Factory(Greeter), f"fd:{fd}")
    assert caught.value.errno == errno.EBADF


# As systemd passes them


class Passed:
    """This process, as if it had been started with sockets: what is in between is none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._set = monkeypatch.setenv
        self._names: dict[int, str] = {}
        self._set("LISTEN_PID", str(os.getpid()))

    def add(self, sock: socket.socket, name: str = "x") -> int:
        """Pass a socket; return its index."""
        self._names[sock.fileno() - 3] = name
        names = [self._names.get(each, "unused") for each in range(max(self._names) + 1)]
        self._set("LISTEN_FDS", str(len(names)))
        self._set("LISTEN_FDNAMES", ":".join(names))
        return sock.fileno() - 3


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Passed:
    return Passed(monkeypatch)


@pytest.mark.parametrize("domain", ["", "domain=INET:"])
async def test_a_passed_socket_is_found_by_its_index(passed: Passed, domain: str) -> None:
    with inherited() as sock:
        index = passed.add(sock)
        address = TCPAddress(*sock.getsockname())
        async with open_server(Factory(Greeter), f"systemd:{domain}index={index}") as server:
            assert server.addresses == (address,)
            peer = dial(address)
            assert await peer.receive_exactly(5) == b"hello"
            await peer.aclose()


async def test_all_sockets_of_a_name_are_served(passed: Passed, folder: Path) -> None:
    with (
        inherited() as one,
        inherited(socket.AF_INET6) as two,
        inherited() as other,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        unix.bind(str(folder / "x"))
        for sock in (one, two, unix):
            passed.add(sock, "web server")
        passed.add(other, "other")
        async with open_server(Factory(Greeter), "systemd:name=web server") as server:
            assert set(server.addresses) == {
                TCPAddress(*one.getsockname()),
                TCPAddress(*two.getsockname()[:2]),
                UnixAddress(str(folder / "x")),
            }


@pytest.mark.parametrize(
    ("family", "domain", "found"),
    [(socket.AF_INET, "INET6", "INET"), (socket.AF_INET6, "UNIX", "INET6")],
)
async def test_another_family_than_expected_is_told(
    passed: Passed, family: int, domain: str, found: str
) -> None:
    with inherited(family) as sock:
        endpoint = f"systemd:domain={domain}:index={passed.add(sock)}"
        before = descriptors()
        with trio.fail_after(5), pytest.raises(EndpointError) as caught:
            await serve(Factory(Greeter), endpoint)
        assert caught.value.endpoint == endpoint
        assert f"domain {found}, not {domain}" in caught.value.problem
        assert f"domain={found}" in caught.value.problem
        assert descriptors() == before


async def test_of_several_sockets_one_that_is_wrong_lets_go_of_all(passed: Passed) -> None:
    with inherited() as one, socket.socket(type=socket.SOCK_DGRAM) as wrong:
        passed.add(one)
        passed.add(wrong)
        before = descriptors()
        with pytest.raises(EndpointError, match="dgram"):
            await bind_many(SystemdServerEndpoint(name="x"))
        assert descriptors() == before


async def bind_many(endpoint: SystemdServerEndpoint) -> None:
    for bound in await endpoint.bind():
        bound.close()


async def test_sockets_that_were_not_passed_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        monkeypatch.delenv(name, raising=False)
    with (
        trio.fail_after(5),
        pytest.raises(EndpointError, match="LISTEN_PID is not set: start it by"),
    ):
        await serve(Factory(Greeter), "systemd:domain=INET:index=0")
