"""The code that the pages show does what the pages say."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.examples.running import Caller, running
from tests.examples.snippets import (
    ArchiveFactory,
    Half,
    Lookup,
    patient_in_two_ways,
    serve_for_a_minute,
)
from trioproto import Factory
from trioproto.testing import Harness, connected, peer


@pytest.mark.parametrize(
    ("function", "said", "heard"),
    [("run_echo", b"hello\n", b"hello\n"), ("run_quotes", b"", b"An apple a day\r\n")],
)
def test_run_is_a_whole_program(function: str, said: bytes, heard: bytes) -> None:
    """It prints where it listens, serves, and ends well on SIGINT."""
    code = f"from tests.examples.snippets import {function}; {function}()"
    with running(sys.executable, "-c", code) as program:
        port = program.read_line().rpartition(":")[2]
        with Caller("127.0.0.1", int(port)) as caller:
            caller.send(said)
            assert caller.read_line() == heard
        program.signal(signal.SIGINT)
        assert program.finish() == (0, "", "")


async def test_a_server_in_a_block_ends_with_it(
    autojump_clock: trio.testing.MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """The block's minute passes, and the server with it."""
    await serve_for_a_minute()
    assert "127.0.0.1" in capsys.readouterr().out


def test_a_setting_is_a_keyword_or_a_class_attribute() -> None:
    """Both ways lead to the same settings."""
    by_keyword, by_class = patient_in_two_ways()
    assert by_keyword.settings == by_class.settings
    assert by_class.settings.idle_timeout is None


async def test_an_async_callback_streams(tmp_path: Path) -> None:
    """The blocks come first, then the file."""
    path = tmp_path / "rest"
    path.write_bytes(b"three\r\n")
    async with connected(ArchiveFactory(str(path))) as stream, peer(stream) as p:
        await p.send(b"go\r\n")
        await p.expect(b"one\r\ntwo\r\nthree\r\n")


async def test_an_async_callback_may_look_something_up() -> None:
    """Its answers come in the order of the questions."""
    async with connected(Lookup) as stream:
        await stream.send_all(b"127.0.0.1\r\n127.0.0.2\r\n")
        await stream.send_eof()
        received = b"".join([data async for data in stream])
    assert 0 <= received.find(b"127.0.0.1") < received.find(b"127.0.0.2")


def test_a_forwarder_pauses_the_other_side() -> None:
    """A stalled receiver stops the sender, and only the sender, until it reads again."""
    factory = Factory(Half)
    sender, receiver = Harness(factory), Harness(factory, window=0)
    first, second = sender.connect(), receiver.connect()
    first.other, second.other = second, first
    sender.feed(bytes(100_000))
    assert (sender.reading, receiver.reading) == (False, True)
    receiver.window = None
    assert (sender.reading, receiver.reading) == (True, True)
    assert receiver.take() == bytes(100_000)
