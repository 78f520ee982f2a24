"""Timeouts with a virtual clock: minutes pass in no time, and to the second."""

import pytest
import trio
from trio.testing import MockClock

from trioproto import Factory
from trioproto.framing import LineReceiver
from trioproto.testing import Harness, connected, peer


class Login(LineReceiver):
    """Asks for a password for at most half a minute, and looks it up for a while."""

    def connection_made(self) -> None:
        self.transport.set_timeout(30)
        self.send_line(b"password?")

    def timed_out(self) -> None:
        self.send_line(b"too late")
        self.transport.close()

    async def line_received(self, line: bytes) -> None:
        self.transport.set_timeout(None)
        await trio.sleep(2)  # the database is slow
        self.send_line(b"welcome" if line == b"secret" else b"no")


async def test_who_takes_too_long_is_told_so(autojump_clock: MockClock) -> None:
    async with connected(Factory(Login)) as stream, peer(stream) as p:
        await p.expect(b"password?\r\n")
        await p.expect_nothing(29.9)
        await p.expect(b"too late\r\n", timeout=0.1)
        await p.expect_eof()
    assert trio.current_time() < 31


async def test_who_is_in_time_may_wait_for_the_answer(autojump_clock: MockClock) -> None:
    async with connected(Factory(Login)) as stream, peer(stream) as p:
        await p.expect(b"password?\r\n")
        await trio.sleep(29.9)
        await p.send(b"secret\r\n")
        await p.expect_nothing(1.9)
        await p.expect(b"welcome\r\n", timeout=0.1)
        await p.expect_nothing(3600)


@pytest.mark.parametrize(("seconds", "told"), [(29.9, b""), (30.0, b"too late\r\n")])
def test_without_a_loop_the_clock_is_moved_by_hand(seconds: float, told: bytes) -> None:
    harness = Harness(Login)
    harness.connect()
    harness.expect(b"password?\r\n")
    harness.advance(seconds)
    harness.expect(told)
    assert harness.write_closed == bool(told)
