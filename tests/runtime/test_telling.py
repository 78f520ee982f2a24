"""Lines on a standard stream: nothing waits for it, and nothing fails with it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from trioproto.runtime.telling import Teller


@contextmanager
def pipe() -> Iterator[tuple[int, TextIO]]:
    """Both ends of one."""
    reader, writer = os.pipe()
    with open(writer, "w") as file:
        try:
            yield reader, file
        finally:
            with suppress(OSError):
                os.close(reader)


def test_lines_are_said_at_once() -> None:
    with pipe() as (reader, file):
        Teller(file).say("one", "two")
        assert os.read(reader, 100) == b"one\ntwo\n"


def test_a_stream_that_is_no_file_of_the_systems_takes_them_too() -> None:
    text = io.StringIO()
    Teller(text).say("one", "two")
    assert text.getvalue() == "one\ntwo\n"


def test_what_would_have_to_wait_is_left_out() -> None:
    with pipe() as (reader, file):
        os.set_blocking(file.fileno(), False)
        filled = 0
        with suppress(BlockingIOError):
            while True:
                filled += os.write(file.fileno(), bytes(4096))
        os.set_blocking(file.fileno(), True)
        teller = Teller(file)
        teller.say("nobody reads this")
        while filled:
            filled -= len(os.read(reader, 65536))
        teller.say("somebody reads this")
        assert os.read(reader, 100) == b"somebody reads this\n"


def test_when_the_reader_has_gone_nothing_more_is_said_and_nothing_fails() -> None:
    with pipe() as (reader, file):
        os.close(reader)
        teller = Teller(file)
        teller.say("one", "two")
        teller.say("three")


def test_a_closed_stream_is_no_error() -> None:
    text = io.StringIO()
    text.close()
    Teller(text).say("one")


def test_a_program_whose_reader_has_gone_ends_with_status_zero() -> None:
    code = """
import sys
from trioproto.runtime.telling import Teller
sys.stdin.readline()
Teller(sys.stdout).say("one")
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        process.stdin.write(b"go\n")
        process.stdin.close()
        assert process.wait(timeout=20) == 0
        assert process.stderr.read() == b""


def test_a_full_disk_is_no_error() -> None:
    with open("/dev/full", "w") as full:
        teller = Teller(full)
        teller.say("one")
        teller.say("two")
