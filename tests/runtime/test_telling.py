"""Lines on a standard stream: nothing waits for it, and nothing fails with it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import suppress

import pytest

from trioproto.runtime.telling import Teller

PROGRAM = """
import sys
from trioproto.runtime.telling import Teller
sys.stdin.readline()
Teller(sys.stdout).say(*sys.argv[1:])
"""


def run(stdout: int, *lines: str, encoding: str = "utf-8") -> subprocess.Popen[bytes]:
    """Have a program say *lines*, once it has read one."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *lines],
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )


def ends_well(process: subprocess.Popen[bytes]) -> bytes:
    out, err = process.communicate(b"go\n", timeout=20)
    assert (process.returncode, err) == (0, b"")
    return out


def test_lines_are_said() -> None:
    assert ends_well(run(subprocess.PIPE, "one", "two")) == b"one\ntwo\n"


def test_what_the_encoding_does_not_have_is_escaped() -> None:
    out = ends_well(run(subprocess.PIPE, "caf\xe9", "two", encoding="ascii"))
    assert out == b"caf\\xe9\ntwo\n"


def test_a_stream_that_is_no_standard_one_takes_them_too() -> None:
    text = io.StringIO()
    Teller(text).say("one", "two")
    assert text.getvalue() == "one\ntwo\n"


def test_a_closed_stream_is_no_error() -> None:
    text = io.StringIO()
    text.close()
    Teller(text).say("one")


def test_a_program_that_was_started_without_the_stream_says_nothing() -> None:
    command = [sys.executable, "-c", PROGRAM, "one", "two"]
    ends_well(
        subprocess.Popen(
            ["sh", "-c", 'exec "$@" >&-', "sh", *command],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    )


def test_what_would_have_to_wait_is_left_out() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, bytes(4096))
    os.set_blocking(writer, True)
    ends_well(run(writer, "nobody reads this"))
    os.close(writer)
    with open(reader, "rb") as pipe:
        assert pipe.read().strip(b"\0") == b""


def test_when_the_reader_has_gone_nothing_is_said_and_nothing_fails() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ends_well(run(writer, "one", "two"))
    os.close(writer)


def test_a_full_disk_is_no_error() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    ends_well(run(full, "one", "two"))
    os.close(full)


def test_what_the_program_prints_itself_still_arrives(capfd: pytest.CaptureFixture[str]) -> None:
    """Also after a line of ours that could not be said."""
    code = """
import sys
from trioproto.runtime.telling import Teller
Teller(sys.stdout).say("caf\\xe9")
print("after")
"""
    subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=True,
        timeout=20,
    )
    assert capfd.readouterr().out == "caf\\xe9\nafter\n"
