"""Socket activation: the environment, and processes that are really started so."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.endpoints.sockets import child, program
from trioproto.endpoints.systemd import Activation

ACTIVATE = shutil.which("systemd-socket-activate")


def environment(pid: object = 7, fds: object = 1, names: str | None = None) -> dict[str, str]:
    found = {"LISTEN_PID": str(pid), "LISTEN_FDS": str(fds)}
    return found if names is None else {**found, "LISTEN_FDNAMES": names}


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (environment(), ("unknown",)),
        (environment(fds=2), ("unknown", "unknown")),
        (environment(fds=0), ()),
        (environment(fds=0, names=""), ()),
        (environment(fds=1, names=""), ("",)),
        (environment(fds=1, names="a.socket"), ("a.socket",)),
        (environment(fds=3, names="a:b:a"), ("a", "b", "a")),
        ({**environment(), "OTHER": "x"}, ("unknown",)),
    ],
)
def test_the_environment_names_the_descriptors(
    given: dict[str, str], names: tuple[str, ...]
) -> None:
    assert Activation.read(given, 7) == Activation(names)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({}, "LISTEN_PID is not set"),
        ({"LISTEN_FDS": "1"}, "LISTEN_PID is not set"),
        ({"LISTEN_PID": "7"}, "LISTEN_FDS is not set"),
        (environment(pid=8), "meant for process 8, and this is 7"),
        (environment(pid="x"), "LISTEN_PID is 'x', and should be a number"),
        (environment(fds="x"), "LISTEN_FDS is 'x', and should be a number"),
        (environment(fds="-1"), "LISTEN_FDS is '-1', and should be a number"),
        (environment(fds="²"), "LISTEN_FDS is '²', and should be a number"),
        (environment(fds="9" * 5000), "should be a number"),
        (environment(fds=2, names="a"), "'a' names 1 sockets, not 2"),
        (environment(fds=1, names="a:b"), "'a:b' names 2 sockets, not 1"),
        (environment(fds=0, names="a"), "'a' names 1 sockets, not 0"),
    ],
)
def test_an_environment_that_is_not_for_us_is_told(given: dict[str, str], shown: str) -> None:
    with pytest.raises(LookupError) as caught:
        Activation.read(given, 7)
    assert shown in caught.value.args[0]


def test_descriptors_are_counted_from_three() -> None:
    activation = Activation(("a", "b", "a"))
    assert [activation.numbered(each) for each in range(3)] == [3, 4, 5]
    assert activation.named("a") == [3, 5]
    assert activation.named("b") == [4]


@pytest.mark.parametrize(
    ("names", "shown"),
    [((), "none were passed"), (("a", "b"), "2 were passed ('a', 'b')")],
)
def test_what_was_not_passed_is_told_with_what_was(names: tuple[str, ...], shown: str) -> None:
    activation = Activation(names)
    with pytest.raises(LookupError) as caught:
        activation.numbered(2)
    assert shown in caught.value.args[0]
    with pytest.raises(LookupError) as caught:
        activation.named("c")
    assert shown in caught.value.args[0]


# Real processes

STARTER = """
import os, sys
first, count, names, *command = sys.argv[1:]
for number in range(int(count)):
    os.dup2(int(first) + number, 3 + number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=count, LISTEN_FDNAMES=names)
os.execv(command[0], command)
"""
FIRST = 50


@contextmanager
def passing(sockets: list[socket.socket]) -> Iterator[list[int]]:
    """Give sockets numbers that nobody else uses, one after the other."""
    fds = list(range(FIRST, FIRST + len(sockets)))
    for fd, sock in zip(fds, sockets, strict=True):
        os.dup2(sock.fileno(), fd)
    try:
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


def talk(address: object, family: int = socket.AF_INET) -> None:
    with socket.socket(family) as client:
        client.settimeout(20)
        client.connect(address)  # type: ignore[arg-type]
        client.sendall(b"hi")
        assert client.recv(10) == b"HI"


def test_a_process_that_is_started_with_sockets_serves_them(folder: Path) -> None:
    endpoints = "'systemd:domain=INET:index=0', 'systemd:domain=UNIX:name=local'"
    command = program(f"""
        trioproto.run(factory, {endpoints})
        trioproto.run(factory, {endpoints})
    """)
    path = str(folder / "x")
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
        tcp.bind(("127.0.0.1", 0))
        unix.bind(path)
        for sock in (tcp, unix):
            sock.listen()
        with passing([tcp, unix]) as fds:
            starter = [sys.executable, "-c", STARTER, str(FIRST), "2", "web:local", *command]
            with child(starter, pass_fds=fds) as process:
                assert process.stdout is not None
                assert process.stderr is not None
                for number in (signal.SIGTERM, signal.SIGINT):
                    for _ in range(2):
                        assert process.stdout.readline().startswith(b"listening on ")
                    talk(tcp.getsockname())
                    talk(path, socket.AF_UNIX)
                    process.send_signal(number)
                assert process.wait(timeout=20) == 0
                assert process.stderr.read() == b""


def test_the_sockets_are_not_for_a_process_that_another_has_started() -> None:
    command = program("""
        import subprocess
        subprocess.run([sys.executable, '-c', sys.argv[1]])
    """)
    inner = program("trioproto.run(factory, 'systemd:index=0')")[-1]
    with socket.socket() as tcp:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        with passing([tcp]) as fds:
            starter = [sys.executable, "-c", STARTER, str(FIRST), "1", "web", *command, inner]
            with child(starter, pass_fds=fds) as process:
                out, err = process.communicate(timeout=30)
    assert out == b""
    assert f"meant for process {process.pid}".encode() in err


@pytest.mark.skipif(ACTIVATE is None, reason="systemd-socket-activate is not installed")
def test_systemd_starts_us_for_the_first_connection(folder: Path) -> None:
    path = str(folder / "x")
    assert ACTIVATE is not None
    command = program("trioproto.run(factory, 'systemd:domain=UNIX:name=echo')")
    activate = [ACTIVATE, f"--listen={path}", "--fdname=echo", *command]
    with child(activate) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        assert b"Listening on" in process.stderr.readline()
        for _ in range(2):
            talk(path, socket.AF_UNIX)
        assert process.stdout.readline() == f"listening on unix:{path}\n".encode()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
