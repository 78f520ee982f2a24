"""What comes out of the service: errors under "raise", and interrupts always.

The rule: docs/callbacks.md, Errors.
"""

from __future__ import annotations

import signal
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from trioproto.runtime.factory import Factory
from trioproto.sansio.errors import CallbackError
from trioproto.sansio.events import Closed
from trioproto.sansio.protocol import Protocol
from trioproto.testing.conformance.failing import BoomError, BuildsOnce, async_boom, boom
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.provoking import each_callback, provoke
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import Connecting, Serving, in_turn


@each_callback()
async def test_under_raise_an_error_comes_out_as_itself(
    connect: Connecting, autojump_clock: MockClock, callback: str
) -> None:
    protocol = Recorder(**{callback: boom})
    async with connect(protocol, small_buffers=True, callback_errors="raise") as peer:
        await provoke(callback, peer, protocol)
        error = await peer.service.failure()
        assert type(error) is BoomError
        assert error.__traceback__ is not None
        assert protocol.lost


@needs(Feature.ASYNC_CODE)
@pytest.mark.parametrize("kind", ["callback", "task", "connection_lost"])
async def test_under_raise_an_error_in_async_code_comes_out_as_itself(
    connect: Connecting, kind: str
) -> None:
    acts: dict[str, Any] = {
        "callback": {"data_received": async_boom},
        "task": {"data_received": lambda self: self.transport.start_soon(async_boom, self)},
        "connection_lost": {"connection_lost": async_boom},
    }[kind]
    protocol = Recorder(**acts)
    async with connect(protocol, callback_errors="raise") as peer:
        await peer.say(b"go")
        if kind == "connection_lost":
            await peer.reset()
        error = await peer.service.failure()
        assert type(error) is BoomError
        assert protocol.lost


async def test_under_raise_an_error_in_build_protocol_comes_out_as_itself(
    serving: Serving,
) -> None:
    factory = BuildsOnce(iter([None]))
    factory.configure(callback_errors="raise")
    closed: list[Closed] = []
    factory.subscribe(lambda event: closed.append(event) if isinstance(event, Closed) else None)
    async with serving(factory) as service:
        await service.connect()
        error = await service.failure()
        assert type(error) is BoomError
    (reason,) = (each.reason for each in closed)
    assert isinstance(reason, CallbackError)
    assert reason.callback == "BuildsOnce.build_protocol"
    assert reason.__cause__ is error


@needs(Feature.ASYNC_CODE, Feature.SERVER)
async def test_under_raise_several_errors_at_once_come_as_one_flat_group(
    serving: Serving,
) -> None:
    class Last(Recorder):
        async def connection_lost(self, reason: Any) -> None:
            super().connection_lost(reason)
            raise BoomError

    factory = in_turn([Recorder(data_received=boom), Last(), Last()], callback_errors="raise")
    async with serving(factory) as service:
        peers = [await service.connect() for _ in range(3)]
        await peers[0].send(b"go")
        error = await service.failure()
        assert isinstance(error, ExceptionGroup)
        assert [type(one) for one in error.exceptions] == [BoomError] * 3
        assert all(one.__traceback__ is not None for one in error.exceptions)


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("callback", ["connection_made", "data_received", "connection_lost"])
async def test_an_interrupt_in_a_callback_comes_out(
    connect: Connecting, raised: type[BaseException], callback: str
) -> None:
    def interrupt(_: Recorder) -> None:
        raise raised

    protocol = Recorder(**{callback: interrupt})
    async with connect(protocol) as peer:
        await provoke(callback, peer, protocol)
        assert type(await peer.service.failure()) is raised
        assert protocol.lost


@needs(Feature.ASYNC_CODE)
@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("kind", ["callback", "task"])
async def test_an_interrupt_in_async_code_comes_out(
    connect: Connecting, raised: type[BaseException], kind: str
) -> None:
    async def interrupt() -> None:
        await trio.lowlevel.checkpoint()
        raise raised

    def begin(self: Recorder) -> Any:
        if kind == "callback":
            return interrupt()
        return self.transport.start_soon(interrupt)

    protocol = Recorder(data_received=begin)
    async with connect(protocol) as peer:
        await peer.send(b"go")
        assert type(await peer.service.failure()) is raised
        await peer.settle()
        assert protocol.lost


async def test_an_interrupt_in_build_protocol_comes_out(serving: Serving) -> None:
    class Interrupts(Factory[Protocol]):
        def build_protocol(self, peer: object) -> Protocol:
            raise KeyboardInterrupt

    async with serving(Interrupts()) as service:
        await service.connect()
        assert type(await service.failure()) is KeyboardInterrupt


@needs(Feature.ASYNC_CODE)
@pytest.mark.parametrize("callback", ["connection_made", "data_received"])
async def test_control_c_in_the_middle_of_a_callback_comes_out(
    connect: Connecting, callback: str
) -> None:
    """The library's own code is protected from it, the user's is not."""

    def press(_: Recorder) -> None:
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("interrupted before this")

    protocol = Recorder(**{callback: press})
    async with connect(protocol) as peer:
        await provoke(callback, peer, protocol)
        assert type(await peer.service.failure()) is KeyboardInterrupt
        await peer.settle()
        assert protocol.lost
