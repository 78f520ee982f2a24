"""The options that all examples share."""

from __future__ import annotations

import signal
import socket
import struct
import sys
from contextlib import ExitStack
from typing import Any

import pytest

from examples._options import limits, options
from tests.examples.running import REPOSITORY, Caller, called, example, running
from tests.examples.test_examples import NAMES

SHARED = ["--max-connections", "--per-peer", "--idle-timeout", "--drain", "--listen ENDPOINT"]


@pytest.mark.parametrize("name", NAMES)
def test_help_says_what_it_does_and_what_can_be_set(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--help` shows the module's own words, and the options that all share."""
    monkeypatch.setenv("COLUMNS", "80")
    status, out, err = called(name, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: python -m examples.{name}")
    words = (REPOSITORY / "examples" / f"{name}.py").read_text(encoding="utf-8").split('"""')[1]
    assert words.strip() in out
    assert [option for option in SHARED if option not in out] == []
    assert "tcp:8007:interface=127.0.0.1" in " ".join(out.split())


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


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {}),
        (["--max-connections", "1"], {"max_connections": 1}),
        (["--per-peer", "2"], {"max_per_peer": 2}),
        (["--idle-timeout", "0.1"], {"idle_timeout": 0.1}),
        (["--idle-timeout", "0"], {"idle_timeout": None}),
        (["--drain", "0"], {"drain_grace": 0}),
    ],
    ids=" ".join,
)
def test_what_is_given_becomes_a_setting(arguments: list[str], expected: dict[str, Any]) -> None:
    """What is not given is as the factory has it."""
    assert limits(options("echo", None).parse_args(arguments)) == expected


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
    assert called("echo", option, value) == (1, "", f"error: {problem}\n")


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
