"""Unix sockets: who may connect, who did, and what they are called."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.endpoints.sockets import (
    Tells,
    bind_one,
    child,
    descriptors,
    dial_unix,
    umask,
    without_privileges,
)
from tests.serving.conversations import LOOPBACK, Echo, Greeter, dial
from trioproto import Credentials, Factory, TCPAddress, UnixAddress, open_server, serve
from trioproto.endpoints import UnixServerEndpoint
from trioproto.errors import ListenError

OURSELVES = Credentials(os.getpid(), os.geteuid(), os.getegid())


async def test_a_unix_socket_is_served_and_its_files_are_removed(emptied: Path) -> None:
    path = emptied / "echo.sock"
    async with open_server(Factory(Greeter), f"unix:{path}") as server:
        assert server.addresses == (UnixAddress(str(path)),)
        peer = dial_unix(path)
        assert await peer.receive_exactly(5) == b"hello"
        await peer.send(b"over a path")
        assert await peer.receive_exactly(11) == b"over a path"
        await peer.aclose()
    with pytest.raises(FileNotFoundError):
        dial_unix(path)


async def test_an_abstract_name_is_served_and_leaves_no_file() -> None:
    name = f"@trioproto-{os.getpid()}/a b"
    async with open_server(Factory(Greeter), f"unix:{name}") as server:
        assert server.addresses == (UnixAddress(name),)
        peer = dial_unix(name)
        assert await peer.receive_exactly(5) == b"hello"
        await peer.aclose()
        with trio.fail_after(5), pytest.raises(ListenError) as caught:
            await serve(Factory(Greeter), f"unix:{name}")
        assert caught.value.errno == errno.EADDRINUSE
    with pytest.raises(ConnectionRefusedError):
        dial_unix(name)


@pytest.mark.parametrize("size", [1, 107])
async def test_names_may_be_as_long_as_an_address_has_room_for(folder: Path, size: int) -> None:
    before = Path.cwd()
    os.chdir(folder)
    try:
        for name in ("x" * size, "@" + "x" * size, "ä" * (size // 2) + "x"):
            async with open_server(Factory(Greeter), f"unix:{name}"):
                peer = dial_unix(name)
                assert await peer.receive_exactly(5) == b"hello"
                await peer.aclose()
    finally:
        os.chdir(before)


async def test_a_relative_path_is_removed_where_it_was_made(emptied: Path) -> None:
    before = Path.cwd()
    os.chdir(emptied)
    try:
        async with open_server(Factory(Greeter), "unix:x.sock") as server:
            os.chdir(before)
            assert server.addresses == (UnixAddress("x.sock"),)
            assert sorted(each.name for each in emptied.iterdir()) == ["x.sock", "x.sock.lock"]
    finally:
        os.chdir(before)


async def test_a_name_that_is_no_text_is_served(emptied: Path) -> None:
    path = os.fsdecode(os.fsencode(emptied) + b"/\xff\xfe.sock")
    async with open_server(Factory(Greeter), UnixServerEndpoint(path)) as server:
        assert server.addresses == (UnixAddress(path),)
        peer = dial_unix(path)
        assert await peer.receive_exactly(5) == b"hello"
        await peer.aclose()


async def test_unix_and_tcp_share_a_factory(emptied: Path) -> None:
    path = emptied / "x"
    async with open_server(Factory(Greeter), f"unix:{path}", LOOPBACK) as server:
        unix, tcp = server.addresses
        assert isinstance(tcp, TCPAddress)
        assert unix == UnixAddress(str(path))
        peers = [dial_unix(path), dial(tcp)]
        for peer in peers:
            assert await peer.receive_exactly(5) == b"hello"
        assert len(server.connections) == 2
        for peer in peers:
            await peer.aclose()


async def test_much_goes_both_ways(emptied: Path) -> None:
    sent = os.urandom(3_000_000)
    path = emptied / "x"
    async with open_server(Factory(Echo), f"unix:{path}"), trio.open_nursery() as nursery:
        peer = dial_unix(path)
        nursery.start_soon(peer.send, sent)
        assert await peer.receive_exactly(len(sent)) == sent
        await peer.aclose()


# The mode


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777])
@pytest.mark.parametrize("mode", [None, 0o600, 0o660, 0o666, 0o777, 0o000])
async def test_the_mode_is_what_was_said_whatever_the_umask(
    emptied: Path, mask: int, mode: int | None
) -> None:
    path = emptied / "x"
    with umask(mask):
        bound = await bind_one(
            UnixServerEndpoint(path) if mode is None else UnixServerEndpoint(path, mode=mode)
        )
        assert stat.S_IMODE(path.stat().st_mode) == (0o600 if mode is None else mode)
        lock = Path(f"{path}.lock").stat()
        assert stat.S_IMODE(lock.st_mode) == 0o600
        bound.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize(("mode", "may"), [("600", False), ("660", False), ("666", True)])
async def test_who_may_not_write_to_the_file_cannot_connect(
    emptied: Path, mode: str, may: bool
) -> None:
    path = emptied / "x"
    async with open_server(Factory(Greeter), f"unix:{path}:mode={mode}"):
        with without_privileges():
            if not may:
                with pytest.raises(PermissionError):
                    dial_unix(path)
                return
            peer = dial_unix(path)
        assert await peer.receive_exactly(5) == b"hello"
        await peer.aclose()


async def test_nobody_gets_in_before_the_server_listens(emptied: Path) -> None:
    path = emptied / "x"
    bound = await bind_one(UnixServerEndpoint(path, mode=0o666))
    with pytest.raises(ConnectionRefusedError):
        dial_unix(path)
    bound.close()


# Who is there


async def first_line(peer: Any) -> str:
    line = b""
    while not line.endswith(b"\n"):
        line += await peer.receive_some()
    return line.decode().rstrip()


async def test_the_peer_has_credentials_and_our_end_the_path(emptied: Path) -> None:
    path = emptied / "x"
    async with open_server(Factory(Tells), f"unix:{path}"):
        peer = dial_unix(path)
        told = f"{UnixAddress('', OURSELVES)!r} {UnixAddress(str(path))!r}"
        assert await first_line(peer) == told
        await peer.aclose()


async def test_a_peer_that_has_a_name_is_shown_with_it(emptied: Path) -> None:
    path, name = emptied / "x", emptied / "client"
    async with open_server(Factory(Tells), f"unix:{path}"):
        peer = dial_unix(path, name=str(name))
        assert (await first_line(peer)).startswith(repr(UnixAddress(str(name), OURSELVES)))
        await peer.aclose()
    name.unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
async def test_credentials_are_those_of_the_time_of_connecting(emptied: Path) -> None:
    path = emptied / "x"
    async with open_server(Factory(Tells), f"unix:{path}:mode=666"):
        with without_privileges():
            peer = dial_unix(path)
        assert f"uid={65534}" in await first_line(peer)
        await peer.aclose()


async def test_credentials_name_another_process(emptied: Path) -> None:
    path = emptied / "x"
    code = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.recv(1)"
    )
    seen: list[Any] = []

    class Notes(Greeter):
        def connection_made(self) -> None:
            seen.append(self.transport.peer)
            super().connection_made()

    async with open_server(Factory(Notes), f"unix:{path}"):
        with child([sys.executable, "-c", code, str(path)]) as process:
            await trio.to_thread.run_sync(process.wait)
    (peer,) = seen
    assert peer == UnixAddress("", Credentials(process.pid, os.geteuid(), os.getegid()))


async def test_a_factory_may_refuse_by_credentials(emptied: Path) -> None:
    class Picky(Factory[Greeter]):
        def build_protocol(self, peer: Any) -> Greeter | None:
            return None if peer.credentials == OURSELVES else Greeter()

    path = emptied / "x"
    async with open_server(Picky(), f"unix:{path}"):
        peer = dial_unix(path)
        with trio.fail_after(5):
            assert await peer.receive_all() == (b"", "eof")
        await peer.aclose()


# What cannot be bound


@pytest.mark.parametrize(
    ("path", "number", "shown"),
    [
        ("nosuch/x", errno.ENOENT, "make its directory"),
        ("file/x", errno.ENOTDIR, "file/x"),
        ("x/", errno.ENOENT, "x/"),
    ],
)
async def test_a_path_that_cannot_be_is_a_listen_error(
    folder: Path, path: str, number: int, shown: str
) -> None:
    (folder / "file").touch()
    endpoint = f"unix:{folder}/{path}"
    with trio.fail_after(5), pytest.raises(ListenError) as caught:
        await serve(Factory(Greeter), endpoint)
    assert (caught.value.endpoint, caught.value.errno) == (endpoint, number)
    assert shown in str(caught.value)
    assert sorted(each.name for each in folder.iterdir()) == ["file"]


async def test_a_folder_that_is_not_ours_to_write_in_is_a_listen_error(emptied: Path) -> None:
    emptied.chmod(0o555)
    before = descriptors()
    with without_privileges(), pytest.raises(ListenError) as caught:
        await bind_one(UnixServerEndpoint(emptied / "x"))
    emptied.chmod(0o700)
    assert caught.value.errno == errno.EACCES
    assert "x.lock" in str(caught.value)
    assert "directory" in str(caught.value)
    assert descriptors() == before
