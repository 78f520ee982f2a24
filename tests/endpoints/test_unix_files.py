"""What is at a Unix socket's path already, and what is left there."""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio

from tests.endpoints.sockets import (
    bind_alone,
    bind_one,
    child,
    children,
    dial_unix,
    foreign_listener,
    leave_stale,
    program,
    without_privileges,
)
from tests.serving.conversations import LOOPBACK, Counting, Greeter, Holds, settle
from trioproto import Factory, open_server, serve
from trioproto.endpoints import Bound, UnixServerEndpoint
from trioproto.errors import ListenError


async def is_in_use(path: Path) -> bool:
    try:
        bound = await bind_one(UnixServerEndpoint(path))
    except ListenError as error:
        return (error.errno, error.endpoint) == (errno.EADDRINUSE, f"unix:{path}")
    bound.close()
    return False


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


# What is replaced


async def test_what_a_crashed_server_left_is_replaced(emptied: Path) -> None:
    path = emptied / "x"
    leave_stale(path)
    Path(f"{path}.lock").touch()
    async with open_server(Factory(Greeter), f"unix:{path}"):
        peer = dial_unix(path)
        assert await peer.receive_exactly(5) == b"hello"
        await peer.aclose()


def test_what_a_killed_process_left_is_replaced(emptied: Path) -> None:
    path = emptied / "x"
    serving = program(f"trioproto.run(factory, 'unix:{path}')")
    for _ in range(2):
        with child(serving) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == f"listening on unix:{path}\n".encode()
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert names(emptied) == ["x", "x.lock"]
    bind_alone(UnixServerEndpoint(path)).close()


async def test_a_lock_file_that_was_left_without_a_socket_is_no_hindrance(emptied: Path) -> None:
    (emptied / "x.lock").touch()
    assert not await is_in_use(emptied / "x")


# What is not


async def test_a_server_that_listens_is_not_replaced(emptied: Path) -> None:
    path = emptied / "x"
    async with open_server(Factory(Greeter), f"unix:{path}"):
        assert await is_in_use(path)
        peer = dial_unix(path)
        assert await peer.receive_exactly(5) == b"hello"
        await peer.aclose()


async def test_a_server_that_does_not_listen_yet_is_not_replaced(emptied: Path) -> None:
    """It refuses connections as a stale file does: only the lock tells them apart."""
    path = emptied / "x"
    bound = await bind_one(UnixServerEndpoint(path))
    assert await is_in_use(path)
    bound.listen(5)
    dial_unix(path)
    bound.close()
    assert not await is_in_use(path)


async def test_the_same_path_twice_in_one_server_is_an_error(emptied: Path) -> None:
    endpoint = f"unix:{emptied}/x"
    factory = Counting()
    with trio.fail_after(5), pytest.raises(ListenError) as caught:
        await serve(factory, endpoint, endpoint)
    assert caught.value.errno == errno.EADDRINUSE
    assert factory.log == []


async def test_a_foreign_server_is_not_replaced(folder: Path) -> None:
    path = folder / "x"
    with foreign_listener(path) as sock:
        assert await is_in_use(path)
        assert names(folder) == ["x"]
        dial_unix(path)
        sock.accept()[0].close()  # ours, that looked
        sock.accept()[0].close()


async def test_a_foreign_server_whose_queue_is_full_is_not_replaced(folder: Path) -> None:
    path = folder / "x"
    with foreign_listener(path, backlog=0):
        waiting: list[socket.socket] = []
        with suppress(BlockingIOError):
            while True:
                waiting.append(socket.socket(socket.AF_UNIX))
                waiting[-1].setblocking(False)
                waiting[-1].connect(str(path))
        assert await is_in_use(path)
        for each in waiting:
            each.close()
    assert names(folder) == ["x"]


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
async def test_a_foreign_socket_of_another_type_is_not_replaced(
    folder: Path, kind: socket.SocketKind
) -> None:
    path = folder / "x"
    with socket.socket(socket.AF_UNIX, kind) as sock:
        sock.bind(str(path))
        if kind is socket.SOCK_SEQPACKET:
            sock.listen()
        assert await is_in_use(path)
    assert names(folder) == ["x"]


def make_file(path: Path) -> None:
    path.write_bytes(b"precious")


def make_link(path: Path) -> None:
    leave_stale(path.with_suffix(".real"))
    path.symlink_to(path.with_suffix(".real"))


@pytest.mark.parametrize("make", [make_file, Path.mkdir, os.mkfifo, make_link])
@pytest.mark.parametrize("name", ["x", "x.lock"])
async def test_what_is_no_socket_is_never_removed(
    folder: Path, make: Callable[[Path], None], name: str
) -> None:
    make(folder / name)
    before = {each.name: each.lstat().st_ino for each in folder.iterdir()}
    with trio.fail_after(5), pytest.raises(ListenError) as caught:
        await serve(Factory(Greeter), f"unix:{folder}/x")
    assert caught.value.errno in (errno.EEXIST, errno.ELOOP, errno.EISDIR)
    assert repr(str(folder / name)) in str(caught.value)
    assert {each.name: each.lstat().st_ino for each in folder.iterdir()} == before


# What is left


async def test_the_path_is_free_again_after_an_error_in_lifespan(emptied: Path) -> None:
    class Fails(Counting):
        @asynccontextmanager
        async def lifespan(self) -> AsyncIterator[None]:
            assert names(emptied) == ["x", "x.lock"]
            raise OSError("no database")
            yield

    with trio.fail_after(5), pytest.raises(OSError, match="no database"):
        await serve(Fails(), f"unix:{emptied}/x")


async def test_the_path_is_free_again_after_an_error_in_the_block(emptied: Path) -> None:
    with pytest.raises(ValueError, match="mine"):
        async with open_server(Factory(Greeter), f"unix:{emptied}/x"):
            raise ValueError("mine")


async def test_the_path_is_free_again_after_cancellation(emptied: Path) -> None:
    with trio.CancelScope() as scope:
        async with open_server(Factory(Holds), f"unix:{emptied}/x"):
            peer = dial_unix(emptied / "x")
            assert await peer.receive_exactly(5) == b"hello"
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_the_path_is_free_again_if_a_later_endpoint_cannot_be_bound(emptied: Path) -> None:
    with trio.fail_after(5), pytest.raises(ListenError):
        await serve(Factory(Greeter), f"unix:{emptied}/x", "tcp:0:interface=192.0.2.1")


async def test_the_path_is_free_again_if_another_cannot_listen(emptied: Path) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        bound = f"tcp:{port}:interface=127.0.0.1"
        # Both may bind as long as nobody listens.
        with pytest.raises(ListenError, match="in use"):
            async with open_server(ListensBetween(taken), f"unix:{emptied}/x", bound):
                pass


class ListensBetween(Factory[Greeter]):
    """Somebody else listens on the port between our binding it and listening."""

    protocol = Greeter

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        self.sock.listen()
        yield


async def test_a_successor_can_have_the_path_while_a_server_drains(emptied: Path) -> None:
    path = emptied / "x"
    async with (
        open_server(Factory(Holds), f"unix:{path}") as old,
        trio.open_nursery() as nursery,
    ):
        peer = dial_unix(path)
        assert await peer.receive_exactly(5) == b"hello"
        nursery.start_soon(old.drain)
        assert await peer.receive_exactly(8) == b"draining"
        await settle()
        async with open_server(Factory(Greeter), f"unix:{path}"):
            newer = dial_unix(path)
            assert await newer.receive_exactly(5) == b"hello"
            await newer.aclose()
        await peer.aclose()
        await old.drain(grace=0)


@pytest.mark.parametrize("name", ["x", "x.lock"])
async def test_a_file_that_somebody_else_put_there_meanwhile_stays(folder: Path, name: str) -> None:
    async with open_server(Factory(Greeter), f"unix:{folder}/x"):
        (folder / name).unlink()
        (folder / name).write_bytes(b"precious")
    assert names(folder) == [name]
    assert (folder / name).read_bytes() == b"precious"


async def test_files_that_are_gone_already_are_no_error(folder: Path) -> None:
    async with open_server(Factory(Greeter), f"unix:{folder}/x"):
        for each in folder.iterdir():
            each.unlink()
    assert names(folder) == []


async def test_files_that_are_not_ours_to_remove_any_more_are_no_error(folder: Path) -> None:
    """So it is after a server has given up its rights."""
    bound = await bind_one(UnixServerEndpoint(folder / "x"))
    folder.chmod(0o555)
    with without_privileges():
        bound.close()
    folder.chmod(0o777)
    assert names(folder) == ["x", "x.lock"]
    assert not await is_in_use(folder / "x")
    assert names(folder) == []


async def test_a_path_can_be_served_again_and_again(emptied: Path) -> None:
    endpoint = UnixServerEndpoint(emptied / "x")
    for _ in range(5):
        async with open_server(Factory(Greeter), endpoint, LOOPBACK):
            peer = dial_unix(emptied / "x")
            assert await peer.receive_exactly(5) == b"hello"
            await peer.aclose()


# Races


@pytest.mark.parametrize("stale", [False, True])
def test_of_many_servers_at_once_exactly_one_gets_the_path(emptied: Path, stale: bool) -> None:
    path = emptied / "x"
    many = 20
    for _ in range(10):
        if stale:
            leave_stale(path)
        together = threading.Barrier(many)

        def race() -> Bound | int | None:
            together.wait()  # noqa: B023 - all are done before the next round
            try:
                return bind_alone(UnixServerEndpoint(path))
            except ListenError as error:
                return error.errno

        with ThreadPoolExecutor(many) as pool:
            found = [each.result() for each in [pool.submit(race) for _ in range(many)]]
        (winner,) = [each for each in found if isinstance(each, Bound)]
        assert [each for each in found if each is not winner] == [errno.EADDRINUSE] * (many - 1)
        winner.listen(5)
        dial_unix(path)
        winner.close()


def test_of_many_processes_at_once_exactly_one_serves_the_path(emptied: Path) -> None:
    path = emptied / "x"
    leave_stale(path)
    serving = program(f"""
        print("ready", flush=True)
        sys.stdin.readline()
        try:
            trioproto.run(factory, 'unix:{path}')
        except OSError as error:
            print(error.errno, flush=True)
    """)
    many = 8
    with children(serving, many) as processes:
        inputs = [each.stdin for each in processes if each.stdin is not None]
        outputs = [each.stdout for each in processes if each.stdout is not None]
        for output in outputs:
            assert output.readline() == b"ready\n"
        for go in inputs:
            go.write(b"go\n")
            go.flush()
        said = [each.readline().decode().rstrip() for each in outputs]
        assert sorted(said) == [str(errno.EADDRINUSE)] * (many - 1) + [f"listening on unix:{path}"]
        winner = processes[said.index(f"listening on unix:{path}")]
        winner.send_signal(signal.SIGTERM)
        assert winner.wait(timeout=20) == 0


def test_a_path_has_one_owner_at_a_time_however_they_come_and_go(emptied: Path) -> None:
    path = emptied / "x"
    owners: list[int] = []
    at_once: list[int] = []
    together = threading.Barrier(8)

    def come_and_go(number: int) -> int:
        together.wait()
        won = 0
        for _ in range(100):
            try:
                bound = bind_alone(UnixServerEndpoint(path))
            except ListenError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
            owners.append(number)
            at_once.append(len(owners))
            bound.listen(5)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
            owners.remove(number)
            bound.close()
            won += 1
        return won

    with ThreadPoolExecutor(8) as pool:
        won = sum(pool.map(come_and_go, range(8)))
    assert won > 0
    assert set(at_once) == {1}
