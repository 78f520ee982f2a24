"""A switch that is refused, or that fails.

The rule: docs/framing.md, Another protocol in mid-stream.
"""

from __future__ import annotations

import pytest

from trioproto.sansio.errors import CallbackError, ConnectionAborted, ConnectionDone
from trioproto.testing.conformance.preamble import Preamble, Refusing
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import Connecting


async def test_a_second_switch_before_the_first_is_an_error(connect: Connecting) -> None:
    new = Recorder()

    class Hasty(Preamble):
        def switch(self) -> None:
            super().switch()
            with pytest.raises(RuntimeError, match="already"):
                self.transport.switch_protocol(Recorder())

    async with connect(Hasty(new)) as peer:
        await peer.say(b"go\r\nx")
        assert new.received == b"x"


async def test_only_an_unused_protocol_can_take_over(connect: Connecting) -> None:
    old = Preamble(Recorder())
    async with connect(old):
        with pytest.raises(RuntimeError, match="in use"):
            old.transport.switch_protocol(old)
        with pytest.raises(TypeError, match="not a Protocol"):
            old.transport.switch_protocol(Recorder)  # type: ignore[arg-type]


async def test_two_connections_cannot_switch_to_the_same_protocol(connect: Connecting) -> None:
    new = Recorder()
    refused: list[str] = []

    class Greedy(Preamble):
        def switch(self) -> None:
            try:
                super().switch()
            except RuntimeError as error:
                refused.append(str(error))

    first, second = Greedy(new), Greedy(new)
    async with connect(first) as peer, connect(second) as other:
        await peer.say(b"go\r\n")
        await other.say(b"go\r\n")
        assert len(refused) == 1
        assert "in use" in refused[0]


async def test_on_a_closing_connection_nothing_is_switched(connect: Connecting) -> None:
    new = Recorder()

    class Closing(Preamble):
        def switch(self) -> None:
            self.transport.close()
            super().switch()

    old = Closing(new)
    async with connect(old) as peer:
        await peer.say(b"go\r\nx")
        await peer.say_eof()
        assert new.heard == []
        assert old.heard[-1] is ConnectionDone


async def test_a_connection_that_ends_first_is_the_old_protocols(connect: Connecting) -> None:
    new = Recorder()

    class Leaving(Preamble):
        def switch(self) -> None:
            super().switch()
            self.transport.abort()

    old = Leaving(new)
    async with connect(old) as peer:
        await peer.say(b"go\r\nx")
        assert old.heard == ["made", b"go", ConnectionAborted]
        assert new.heard == []


@pytest.mark.usefixtures("logged_errors")
async def test_a_receiver_that_cannot_be_made_ends_the_connection(connect: Connecting) -> None:
    new = Refusing()
    async with connect(Preamble(new)) as peer:
        await peer.say(b"go\r\n")
        assert new.heard == []
        assert new.transport.closing


@pytest.mark.usefixtures("logged_errors")
async def test_when_the_new_one_cannot_be_attached_the_old_one_hears_of_the_end(
    connect: Connecting,
) -> None:
    old = Preamble(Refusing())
    async with connect(old) as peer:
        await peer.say(b"go\r\n")
        assert old.heard == ["made", b"go", CallbackError]


class WithFaultyRest(Preamble):
    def take_rest(self) -> bytes:
        raise ValueError("no rest")


async def test_a_receiver_that_fails_to_hand_over_ends_this_connection_only(
    connect: Connecting, logged_errors: list[object]
) -> None:
    old = WithFaultyRest(Recorder())
    async with connect(old) as peer:
        await peer.say(b"go\r\n")
        assert old.heard == ["made", b"go", CallbackError]
        assert old.new.heard == []  # type: ignore[attr-defined]
    assert len(logged_errors) == 1
