"""Slots: never more than there are, and none is lost."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from trioproto import Factory
from trioproto.runtime.admission import Admission
from trioproto.runtime.slots import Slot


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
        taken.append((number, await admission.wait_slot()))

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
        await admission.wait_slot()
    assert scope.cancelled_caught
    slot.release()
    assert admission.try_slot() is not None


async def test_who_is_cancelled_at_once_takes_none_either() -> None:
    admission = admission_of(1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await admission.wait_slot()
    assert scope.cancelled_caught
    assert admission.try_slot() is not None
