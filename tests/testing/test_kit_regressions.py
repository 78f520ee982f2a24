"""Ways in which the kit once told something else than what was so."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trioproto import Protocol
from trioproto.testing import connected, peer


class Oops(Exception):
    """What the callbacks of these tests raise."""


class Fails(Protocol):
    def data_received(self, data: bytes) -> None:
        raise Oops


# Whose error it was


async def test_a_nursery_in_the_block_that_fails_of_the_reset_is_no_error_of_its_own() -> None:
    with pytest.raises(Oops) as caught:
        async with connected(Fails) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            await stream.send_all(b"x")
            await stream.receive_some()
    (note,) = caught.value.__notes__
    assert "BrokenResourceError" in note


async def test_a_nursery_in_the_block_that_fails_otherwise_comes_out_as_it_is() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with connected(Fails) as stream, trio.open_nursery():
            await stream.send_all(b"x")
            with trio.CancelScope(shield=True):
                await wait_all_tasks_blocked()
            raise KeyError
    assert [type(each) for each in caught.value.exceptions] == [KeyError]
    assert isinstance(caught.value.__context__, Oops)


async def test_a_scripted_peer_that_is_reset_by_the_callbacks_error_is_a_note_to_it() -> None:
    with pytest.raises(Oops) as caught:
        async with connected(Fails) as stream, peer(stream) as p:
            await p.send(b"x")
            await p.expect(b"y")
    (note,) = caught.value.__notes__
    assert f"{__file__}:" in note
    assert "a reset came instead" in note


async def test_who_cancels_a_block_gets_the_callbacks_error_alone(
    autojump_clock: MockClock,
) -> None:
    class FailsWhenCancelled(Protocol):
        async def data_received(self, data: bytes) -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise Oops

    with pytest.raises(Oops), trio.move_on_after(1):
        async with connected(FailsWhenCancelled) as stream:
            await stream.send_all(b"x")
            await trio.sleep_forever()
