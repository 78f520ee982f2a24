"""Slots: never more than there are, and none is lost."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trioproto import Factory, TCPAddress
from trioproto.runtime.admission import Admission
from trioproto.runtime.slots import Slot


async def slot_of(admission: Admission, *, handshake: bool = False) -> Slot:
    """What is got by who waits, while not all is over."""
    slot = await admission.wait_slot(handshake=handshake)
    assert slot is not None
    return slot


def admission_of(limit: int | None) -> Admission:
    return Admission(Factory(max_connections=limit))


async def test_there_are_as_many_slots_as_connections_allowed() -> None:
    admission = admission_of(3)
    slots = [admission.try_slot() for _ in range(5)]
    assert [slot is not None for slot in slots] == [True, True, True, False, False]


async def test_a_slot_that_was_given_back_can_be_taken_again() -> None:
    admission = admission_of(1)
    slot = admission.try_slot()
    assert slot is not None
    assert admission.try_slot() is None
    slot.release()
    assert admission.try_slot() is not None


async def test_a_slot_can_be_given_back_only_once() -> None:
    """A second time would be somebody else's."""
    admission = admission_of(2)
    slot, other = admission.try_slot(), admission.try_slot()
    assert slot is not None
    assert other is not None
    slot.release()
    slot.release()
    assert admission.try_slot() is not None
    assert admission.try_slot() is None


async def test_without_a_limit_there_is_always_a_slot() -> None:
    admission = admission_of(None)
    assert all(admission.try_slot() is not None for _ in range(5000))


async def test_those_who_wait_get_slots_in_their_order() -> None:
    admission = admission_of(1)
    taken: list[tuple[int, Slot]] = []

    async def wait(number: int) -> None:
        taken.append((number, await slot_of(admission)))

    slot: Slot | None = admission.try_slot()
    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(wait, number)
            await wait_all_tasks_blocked()
        for number in range(4):
            assert len(taken) == number
            assert slot is not None
            slot.release()
            assert admission.try_slot() is None, "it is handed on, not up for grabs"
            await wait_all_tasks_blocked()
            assert taken[-1][0] == number
            slot = taken[-1][1]


async def test_who_is_cancelled_while_waiting_takes_none() -> None:
    admission = admission_of(1)
    slot = admission.try_slot()
    assert slot is not None
    with trio.move_on_after(0) as scope:
        await slot_of(admission)
    assert scope.cancelled_caught
    slot.release()
    assert admission.try_slot() is not None


async def test_who_is_cancelled_at_once_takes_none_either() -> None:
    admission = admission_of(1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await slot_of(admission)
    assert scope.cancelled_caught
    assert admission.try_slot() is not None


# What a slot holds besides


def counts(admission: Admission) -> tuple[int, int, dict[Any, int], int, int]:
    return (
        admission.places.borrowed_tokens,
        admission.handshakes.borrowed_tokens,
        admission.peers,
        admission.refusals,
        len(admission.waiting),
    )


NOTHING: tuple[int, int, dict[Any, int], int, int] = (0, 0, {}, 0, 0)


async def test_a_handshake_is_given_back_alone_when_it_is_over() -> None:
    admission = Admission(Factory(max_handshakes=1))
    slot = admission.try_slot(handshake=True)
    assert slot is not None
    assert admission.try_slot(handshake=True) is None
    assert admission.try_slot() is not None
    slot.opened()
    slot.opened()
    assert counts(admission)[:2] == (2, 0)
    slot.release()
    assert counts(admission)[:2] == (1, 0)


async def test_what_cannot_be_had_whole_is_not_had_at_all() -> None:
    """A handshake for which there is no place."""
    admission = Admission(Factory(max_connections=1, max_handshakes=1))
    slot = admission.try_slot()
    assert admission.try_slot(handshake=True) is None
    assert counts(admission)[:2] == (1, 0)
    assert slot is not None
    slot.release()
    assert admission.try_slot(handshake=True) is not None


async def test_who_waits_for_a_handshake_keeps_no_place_from_others() -> None:
    admission = Admission(Factory(max_connections=2, max_handshakes=1))
    assert admission.try_slot(handshake=True) is not None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(admission.wait_slot, handshake=True))
        await wait_all_tasks_blocked()
        assert admission.try_slot() is not None
        nursery.cancel_scope.cancel()
    assert counts(admission)[:2] == (2, 1)


@pytest.mark.parametrize("release_first", [True, False])
async def test_a_peer_is_counted_until_its_connection_is_exempt_or_released(
    release_first: bool,
) -> None:
    admission = Admission(Factory(max_per_peer=2))
    slots = [admission.try_slot() for _ in range(3)]
    for slot in slots:
        assert slot is not None
        slot.claim(TCPAddress("192.0.2.1", 1))
    first, second, third = slots
    assert first is not None
    assert second is not None
    assert third is not None
    assert (first.refused, second.refused, third.refused) == (None, None, "max_per_peer")
    assert counts(admission) == (2, 0, {(4, 0xC0000201): 2}, 1, 0)
    third.release()
    third.release()
    for end in (first.release, first.exempt) if release_first else (first.exempt, first.release):
        end()
        assert counts(admission) == (1, 0, {(4, 0xC0000201): 1}, 0, 0)
    second.release()
    assert counts(admission) == NOTHING


async def test_a_waiting_place_that_is_given_back_unused_leaves_nothing() -> None:
    """Nobody was there any more, say."""
    admission = Admission(Factory(max_connections=1, refuse_after=1))
    slot = admission.try_slot()
    assert slot is not None
    waiting = await slot_of(admission)
    assert counts(admission)[4] == 1
    waiting.release()
    slot.release()
    assert counts(admission) == NOTHING


async def test_so_many_are_refused_with_a_word() -> None:
    admission = Admission(Factory(max_connections=1, at_limit="refuse"))
    slot = admission.try_slot()
    assert slot is not None
    refused = [await slot_of(admission) for _ in range(66)]
    assert [each.silent for each in refused] == [False] * 64 + [True] * 2
    assert {each.refused for each in refused} == {"max_connections"}
    refused[0].release()
    refused.append(await slot_of(admission))
    assert refused[-1].silent, "65 are being refused still"
    for each in refused:
        each.release()
    slot.release()
    assert counts(admission) == NOTHING


@pytest.mark.parametrize(
    "settings", [{}, {"refuse_after": 50}, {"max_accept_rate": 0.01}, {"max_handshakes": 1}]
)
@pytest.mark.parametrize("after", range(6))
async def test_whoever_is_cancelled_at_whatever_step_takes_nothing(
    autojump_clock: MockClock, settings: dict[str, Any], after: int
) -> None:
    admission = Admission(Factory(**{"max_connections": 1, **settings}))
    slot = admission.try_slot(handshake=True)
    assert slot is not None
    slot.used(None)

    async def come_and_wait() -> None:
        waiting = await slot_of(admission, handshake=True)
        async with waiting:
            await waiting.wait()
            waiting.used(None)
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(come_and_wait)
        nursery.start_soon(come_and_wait)
        for number in range(after):
            await trio.lowlevel.checkpoint()
            if number == 3:
                slot.release()
        nursery.cancel_scope.cancel()
    slot.release()
    assert counts(admission) == NOTHING


async def test_the_suspended_let_nobody_in_and_resumed_all(autojump_clock: MockClock) -> None:
    admission = Admission(Factory(max_connections=3, at_limit="refuse"))
    came: list[str | None] = []

    async def come() -> None:
        came.append((await slot_of(admission)).refused)

    admission.suspend()
    assert admission.try_slot() is None
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(come)
        await trio.sleep(100)
        assert came == []
        admission.resume()
    assert came == [None] * 3


@pytest.mark.parametrize("settings", [{}, {"max_accept_rate": 0.001}, {"max_handshakes": 1}])
@pytest.mark.parametrize("suspended", [False, True])
async def test_when_all_is_over_nobody_waits(settings: dict[str, Any], suspended: bool) -> None:
    admission = Admission(Factory(**{"max_connections": 1, **settings}))
    slot = admission.try_slot(handshake=True)
    assert slot is not None
    slot.used(None)
    if suspended:
        admission.suspend()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(partial(admission.wait_slot, handshake=True))
            await wait_all_tasks_blocked()
            admission.turn_away()
        assert await admission.wait_slot(handshake=True) is None
    slot.release()
    assert counts(admission) == NOTHING


async def test_who_waits_for_the_rate_or_a_resumption_holds_no_place(
    autojump_clock: MockClock,
) -> None:
    """So there are as many places taken as connections, and nobody is told of more."""
    told: list[int] = []

    class Tells(Factory[Any]):
        def soft_limit_reached(self, connections: int) -> None:
            told.append(connections)

    admission = Admission(Tells(max_connections=100, max_accept_rate=1, soft_limit=3))
    seen: list[int] = []

    async def come() -> None:
        slot = await slot_of(admission)
        slot.used(None)
        seen.append(int(admission.places.borrowed_tokens))

    async with trio.open_nursery() as nursery:
        for _ in range(60):
            nursery.start_soon(come)
    assert seen == list(range(1, 61))
    assert told[0] == 3


async def test_nobody_is_refused_while_there_is_nothing_in_the_way() -> None:
    """Those who waited are on their way in, one after the other; they do not count as a limit."""
    factory = Factory(max_connections=50)
    admission = Admission(factory)
    admission.suspend()
    came: list[str | None] = []

    async def come() -> None:
        came.append((await slot_of(admission)).refused)

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(come)
        await wait_all_tasks_blocked()
        admission.resume()
        factory.configure(at_limit="refuse")
        for _ in range(20):
            nursery.start_soon(come)
            await trio.lowlevel.checkpoint()
    assert came == [None] * 40
    assert factory.statistics().limits == {}


async def test_when_all_is_over_who_is_queued_comes_in_at_any_rate() -> None:
    admission = Admission(Factory(max_connections=5, max_accept_rate=1))
    for number in range(5):
        if number == 1:
            assert admission.try_slot() is None
            admission.turn_away()
        slot = admission.try_slot()
        assert slot is not None
        slot.used(None)
    assert admission.try_slot() is None
