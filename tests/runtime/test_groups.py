"""Exceptions out of nurseries: nothing is lost, and one comes as itself."""

from __future__ import annotations

import traceback

import pytest
import trio

from trioproto.runtime.groups import merge, split_errors, ungrouped, users_block


class Boom(Exception):
    """An error of the user's."""


async def a_cancellation() -> trio.Cancelled:
    """Be cancelled, and catch it."""
    caught: list[trio.Cancelled] = []
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as exc:
            caught.append(exc)
            raise
    return caught[0]


def leaves(exc: BaseException) -> list[BaseException]:
    if isinstance(exc, BaseExceptionGroup):
        return [leaf for each in exc.exceptions for leaf in leaves(each)]
    return [exc]


# merge


def test_nothing_merged_is_nothing() -> None:
    assert merge() is None
    assert merge(None, None) is None


def test_one_exception_merged_is_itself() -> None:
    boom = Boom()
    assert merge(None, boom, None) is boom


def test_one_exception_in_nested_groups_is_itself() -> None:
    boom = Boom()
    assert merge(ExceptionGroup("outer", [ExceptionGroup("inner", [boom])])) is boom


def test_several_are_one_flat_group_in_order() -> None:
    booms = [Boom(number) for number in range(4)]
    merged = merge(ExceptionGroup("", [booms[0], ExceptionGroup("", booms[1:3])]), booms[3])
    assert type(merged) is ExceptionGroup
    assert list(merged.exceptions) == booms


def test_an_interrupt_beside_an_error_keeps_both() -> None:
    boom, interrupt = Boom(), KeyboardInterrupt()
    merged = merge(boom, interrupt)
    assert type(merged) is BaseExceptionGroup
    assert list(merged.exceptions) == [boom, interrupt]


async def test_cancelled_is_kept_with_errors_and_once_is_enough() -> None:
    first, second = await a_cancellation(), await a_cancellation()
    boom = Boom()
    merged = merge(BaseExceptionGroup("", [first, boom]), second)
    assert isinstance(merged, BaseExceptionGroup)
    assert list(merged.exceptions) == [first, boom]


async def test_cancelled_alone_is_itself() -> None:
    cancelled = await a_cancellation()
    assert merge(cancelled) is cancelled
    assert merge(BaseExceptionGroup("", [cancelled, await a_cancellation()])) is cancelled


# split_errors


def test_an_error_is_an_error_and_an_interrupt_goes_on() -> None:
    boom, interrupt = Boom(), KeyboardInterrupt()
    assert split_errors(boom) == (boom, None)
    assert split_errors(interrupt) == (None, interrupt)


def test_a_group_of_errors_only_is_an_error() -> None:
    group = ExceptionGroup("mine", [Boom(), ValueError()])
    assert split_errors(group) == (group, None)


async def test_a_mixed_group_is_parted_and_none_is_lost() -> None:
    cancelled, boom, interrupt = await a_cancellation(), Boom(), KeyboardInterrupt()
    mixed = BaseExceptionGroup("", [boom, BaseExceptionGroup("", [cancelled, interrupt])])
    errors, rest = split_errors(mixed)
    assert errors is not None
    assert rest is not None
    assert (leaves(errors), leaves(rest)) == ([boom], [cancelled, interrupt])


async def test_a_cancellation_is_no_error() -> None:
    cancelled = await a_cancellation()
    assert split_errors(cancelled) == (None, cancelled)
    group = BaseExceptionGroup("", [cancelled])
    errors, rest = split_errors(group)
    assert errors is None
    assert rest is not None
    assert leaves(rest) == [cancelled]


# ungrouped


async def fail_when_cancelled(exc: BaseException) -> None:
    try:
        await trio.sleep_forever()
    finally:
        raise exc


async def fail(exc: BaseException) -> None:
    await trio.lowlevel.checkpoint()
    raise exc


async def in_nurseries(exc: BaseException, depth: int = 3) -> None:
    if not depth:
        await fail(exc)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(in_nurseries, exc, depth - 1)


async def test_one_error_out_of_nurseries_comes_as_itself() -> None:
    boom = Boom()
    with pytest.raises(Boom) as caught, ungrouped():
        await in_nurseries(boom)
    assert caught.value is boom
    assert "fail" in [frame.name for frame in traceback.extract_tb(boom.__traceback__)]


async def test_it_keeps_its_own_cause_and_context_untouched() -> None:
    boom, cause, context = Boom(), ValueError("cause"), KeyError("context")
    boom.__cause__, boom.__context__ = cause, context
    with pytest.raises(Boom), ungrouped():
        await in_nurseries(boom)
    assert boom.__cause__ is cause
    assert boom.__context__ is context
    assert (cause.__context__, context.__context__) == (None, None)


async def test_it_gets_no_cause_and_context_that_it_did_not_have() -> None:
    boom = Boom()
    with pytest.raises(Boom), ungrouped():
        await in_nurseries(boom)
    assert (boom.__cause__, boom.__context__) == (None, None)
    assert boom.__suppress_context__ is False


async def test_several_errors_come_as_one_flat_group() -> None:
    booms = [Boom(number) for number in range(3)]

    async def fail_together() -> None:
        async with trio.open_nursery() as nursery:
            for boom in booms:
                nursery.start_soon(in_nurseries, boom)

    with pytest.raises(ExceptionGroup) as caught, ungrouped():
        await fail_together()
    assert all(isinstance(each, Boom) for each in caught.value.exceptions)
    assert set(caught.value.exceptions) == set(booms)


async def test_cancellation_passes_and_is_caught_by_its_scope() -> None:
    with trio.move_on_after(0) as scope:
        with ungrouped():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                nursery.start_soon(trio.sleep_forever)
    assert scope.cancelled_caught


async def test_an_error_beside_a_cancellation_comes_out_of_its_scope() -> None:
    boom = Boom()

    async def cancelled_together(scope: trio.CancelScope) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_when_cancelled, boom)
            nursery.start_soon(trio.sleep_forever)
            await trio.lowlevel.checkpoint()
            scope.cancel()

    with pytest.raises(ExceptionGroup) as caught, trio.CancelScope() as scope, ungrouped():
        await cancelled_together(scope)
    assert leaves(caught.value) == [boom]


def test_what_is_no_group_passes() -> None:
    boom = Boom()
    with pytest.raises(Boom) as caught, ungrouped():
        raise boom
    assert caught.value is boom


def test_without_an_exception_nothing_happens() -> None:
    with ungrouped(), users_block():
        pass


# users_block


async def raise_in_users_block(exc: BaseException, beside: BaseException | None = None) -> None:
    """Raise in the block, inside a nursery of the library's, which may have an error of its own."""
    async with trio.open_nursery() as nursery:
        if beside is not None:
            nursery.start_soon(fail_when_cancelled, beside)
            await trio.lowlevel.checkpoint()
        with users_block():
            raise exc


async def test_a_group_of_the_users_own_stays_that_group() -> None:
    mine = ExceptionGroup("mine", [Boom()])
    with pytest.raises(ExceptionGroup) as caught, ungrouped():
        await raise_in_users_block(mine)
    assert caught.value is mine
    assert (mine.__cause__, mine.__context__) == (None, None)


async def test_a_group_of_the_users_beside_another_error_stays_whole() -> None:
    mine, boom = ExceptionGroup("mine", [ValueError(), KeyError()]), Boom()
    with pytest.raises(ExceptionGroup) as caught, ungrouped():
        await raise_in_users_block(mine, beside=boom)
    assert set(caught.value.exceptions) == {mine, boom}


async def test_a_cancellation_in_the_users_block_passes() -> None:
    with trio.move_on_after(0) as scope:
        with ungrouped():
            async with trio.open_nursery():
                with users_block():
                    await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_of_a_users_group_with_an_interrupt_nothing_is_lost() -> None:
    boom, interrupt = Boom(), KeyboardInterrupt()
    with pytest.raises(BaseExceptionGroup) as caught, ungrouped():
        await raise_in_users_block(BaseExceptionGroup("mine", [boom, interrupt]))
    assert leaves(caught.value) == [boom, interrupt]
