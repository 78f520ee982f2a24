"""One connection on standard input and output, in processes of their own."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.endpoints.sockets import child, program
from trioproto import UnknownAddress
from trioproto.endpoints import parse_endpoint

RUN = program("""
    print("returned", trioproto.run(factory, "stdio:"), file=sys.stderr)
""")
SERVE = program("""
    import trio
    print("returned", trio.run(trioproto.serve, factory, "stdio:"), file=sys.stderr)
""")
RETURNED = b"returned None\n"


def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.run(command, timeout=20, check=False, **{**pipes, **options})


@pytest.mark.parametrize("command", [RUN, SERVE], ids=["run", "serve"])
def test_pipes_are_served_until_their_end_and_nothing_else_is_printed(command: list[str]) -> None:
    done = run(command, input=b"some words")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"SOME WORDS", RETURNED)


def test_a_conversation_goes_both_ways() -> None:
    with child(RUN, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for word in (b"one\n", b"two\n", b"three\n"):
            process.stdin.write(word)
            process.stdin.flush()
            assert process.stdout.readline() == word.upper()
        assert process.communicate(timeout=20) == (b"", RETURNED)
        assert process.returncode == 0


@pytest.mark.parametrize("size", [0, 10, 3_000_000])
def test_files_are_served(folder: Path, size: int) -> None:
    source, sink = folder / "in", folder / "out"
    source.write_bytes(b"x" * size)
    with source.open("rb") as stdin, sink.open("wb") as stdout:
        done = run(RUN, stdin=stdin, stdout=stdout)
    assert done.stderr == RETURNED
    assert sink.read_bytes() == b"X" * size


def test_much_goes_through_pipes_that_are_slow_to_be_read() -> None:
    sent = os.urandom(1 << 20).hex().encode()
    done = run(RUN, input=sent)
    assert done.stdout == sent.upper()


def test_an_empty_device_is_the_end_at_once() -> None:
    done = run(RUN, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", RETURNED)


def test_a_terminal_is_served_and_blocks_again_afterwards() -> None:
    """Input and output are one open file there, which outlives the server."""
    terminal, ours = pty.openpty()
    try:
        with child(RUN, stdin=ours, stdout=ours) as process:
            os.write(terminal, b"hello\n")
            seen = b""
            while b"HELLO\r\n" not in seen:
                seen += os.read(terminal, 1000)
            assert not os.get_blocking(ours)
            os.write(terminal, b"\x04")
            assert process.wait(timeout=20) == 0
        assert os.get_blocking(ours)
    finally:
        os.close(terminal)
        os.close(ours)


@pytest.mark.parametrize("blocking", [True, False])
def test_a_socket_is_served_and_left_as_it_was(blocking: bool) -> None:
    """So does inetd start a server."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(blocking)
        with child(RUN, stdin=theirs, stdout=theirs) as process:
            ours.settimeout(20)
            ours.sendall(b"hi")
            assert ours.recv(10) == b"HI"
            ours.shutdown(socket.SHUT_WR)
            assert process.wait(timeout=20) == 0
        assert os.get_blocking(theirs.fileno()) is blocking


@pytest.mark.parametrize("count", [1, 2])
def test_a_signal_ends_it_while_input_stays_open(count: int) -> None:
    command = program("""
        class Holds(Echo):
            def quiesce(self):
                self.transport.write(b"draining\\n")
        factory.protocol = Holds if sys.argv[1] == "2" else Echo
        trioproto.run(factory, "stdio:")
    """)
    with child([*command, str(count)], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"a\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"A\n"
        process.send_signal(signal.SIGTERM)
        if count == 2:
            assert process.stdout.readline() == b"draining\n"
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == (0 if count == 1 else 143)


def test_who_closes_first_ends_at_once_while_input_stays_open() -> None:
    """No end can be sent to output alone: so there is nothing to linger for."""
    command = program("""
        import time
        class Once(Echo):
            def data_received(self, data):
                super().data_received(data)
                self.transport.close()
                self.begun = time.monotonic()
            def connection_lost(self, reason):
                print(time.monotonic() - self.begun < factory.settings.linger, file=sys.stderr)
                print(self.transport.can_write_eof, repr(reason), file=sys.stderr)
        factory.protocol = Once
        trioproto.run(factory, "stdio:")
    """)
    with child(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"a")
        process.stdin.flush()
        assert process.stdout.read() == b"A"
        assert process.stderr.read() == b"True\nFalse ConnectionDone()\n"
        assert process.wait(timeout=20) == 0


def test_a_reader_that_has_gone_is_no_traceback() -> None:
    command = program("""
        class Notes(Echo):
            def connection_lost(self, reason):
                print(type(reason).__name__, file=sys.stderr)
        factory.protocol = Notes
        trioproto.run(factory, "stdio:")
    """)
    with child(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write(b"a")
        process.stdin.flush()
        assert process.stderr.read() == b"ConnectionLost\n"
        assert process.wait(timeout=20) == 0


def test_beside_another_endpoint_its_end_is_not_the_servers() -> None:
    command = program("""
        trioproto.run(factory, "stdio:", "tcp:0:interface=127.0.0.1")
    """)
    with child(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stderr.readline().decode()
        assert line.startswith("listening on tcp:127.0.0.1:")
        process.stdin.write(b"over pipes")
        process.stdin.close()
        assert process.stdout.read(10) == b"OVER PIPES"
        port = int(line.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(b"over tcp")
            assert client.recv(10) == b"OVER TCP"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
        assert process.stdout.read() == b""


@pytest.mark.parametrize(("closed", "name"), [(0, "input"), (1, "output")])
def test_what_is_closed_is_told(closed: int, name: str) -> None:
    command = program("trioproto.run(factory, 'stdio:')")
    closing = ["sh", "-c", f'exec "$@" {closed}{"<" if closed == 0 else ">"}&-', "sh", *command]
    done = run(closing)
    assert done.returncode == 1
    assert f"cannot listen on 'stdio:': standard {name} is closed" in done.stderr.decode()


def test_the_descriptors_stay_open_for_the_program() -> None:
    command = program("""
        trioproto.run(factory, "stdio:")
        print("after", flush=True)
    """)
    done = run(command, input=b"a ")
    assert (done.stdout, done.stderr) == (b"A after\n", b"")


async def test_nothing_is_touched_before_the_connection_begins() -> None:
    before = [os.get_blocking(fd) for fd in range(3)]
    (bound,) = await parse_endpoint("stdio:").bind()
    assert bound.address == UnknownAddress("stdio:")
    assert [os.get_blocking(fd) for fd in range(3)] == before
    bound.close()
