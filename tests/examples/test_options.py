"""The options that all examples share."""

from __future__ import annotations

import signal
import socket
import struct
import sys
from contextlib import ExitStack

import pytest

from tests.examples.running import Caller, example, help_of, running
from tests.examples.test_examples import NAMES

SHARED = ["--max-connections", "--per-peer", "--idle-timeout", "--drain", "--listen"]


@pytest.mark.parametrize("name", NAMES)
def test_every_example_has_them(name: str) -> None:
    status, out, _ = help_of(name)
    assert status == 0
    assert [option for option in SHARED if option not in out] == []


def test_the_issues_own_command_serves() -> None:
    arguments = [
        "--max-connections",
        "100",
        "--per-peer",
        "10",
        "--idle-timeout",
        "60",
        "--drain",
        "15",
    ]
    with example("echo", *arguments) as server, ExitStack() as stack:
        callers = [stack.enter_context(server.connect()) for _ in range(10)]
        for caller in callers:
            caller.send(b"hello")
            assert caller.read(5) == b"hello"
        with server.connect() as one_too_many:
            assert one_too_many.read_all() == b""


def test_max_connections_lets_the_next_one_wait() -> None:
    with (
        example("echo", "--max-connections", "1") as server,
        server.connect() as first,
        server.connect() as second,
    ):
        first.send(b"1")
        assert first.read(1) == b"1"
        second.send(b"2")
        first.send_eof()
        assert first.read_all() == b""
        assert second.read(1) == b"2"


def test_idle_timeout_ends_who_is_silent() -> None:
    with example("echo", "--idle-timeout", "0.1") as server, server.connect() as caller:
        assert caller.read_all() == b""


def test_an_idle_timeout_of_zero_is_none() -> None:
    with example("echo", "--idle-timeout", "0") as server, server.connect() as caller:
        caller.send(b"1")
        assert caller.read(1) == b"1"


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("--max-connections", "0", "max_connections must be at least 1, or None"),
        ("--per-peer", "-1", "max_per_peer must be at least 1, or None"),
        ("--idle-timeout", "-1", "idle_timeout must be above 0, or None"),
        ("--drain", "-1", "drain_grace must be at least 0"),
    ],
)
def test_a_value_that_makes_no_sense_is_one_line(option: str, value: str, problem: str) -> None:
    with running(sys.executable, "-m", "examples.echo", option, value) as program:
        assert program.finish() == (1, "", f"error: {problem}\n")


def test_ctrl_c_under_load_tells_how_the_drain_goes_and_how_it_ended() -> None:
    with running(
        sys.executable, "-m", "examples.chargen", "--drain", "30",
        "--listen", "tcp:0:interface=127.0.0.1",
    ) as server:  # fmt: skip
        port = int(server.read_line().rpartition(":")[2])
        with Caller("127.0.0.1", port) as first, Caller("127.0.0.1", port) as second:
            for caller in (first, second):
                assert caller.read(1000)
            server.signal(signal.SIGINT)
            assert server.read_line() == "draining: 2 connections left"
            reset(first)
            while (line := server.read_line()) != "draining: 1 connection left":
                assert line == "draining: 2 connections left"
            reset(second)
            while (line := server.read_line()) == "draining: 1 connection left":
                pass  # this machine may be slow
            assert line == "drained: 2 finished, 0 cancelled, 0 aborted"
            assert server.finish() == (0, "", "")


def reset(caller: Caller) -> None:
    caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    caller.stream.close()
    caller.socket.close()
