"""Callbacks that raise, and what must have been told of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import trio

from trioproto.runtime.factory import Factory
from trioproto.sansio.errors import CallbackError
from trioproto.testing.conformance.recorder import Recorder

Log = list[logging.LogRecord]


class BoomError(Exception):
    """What the callbacks of these tests raise."""


def boom(_: Recorder) -> None:
    """Raise, as an act of a callback."""
    raise BoomError("in a callback")


async def async_boom(_: Recorder) -> None:
    """Raise after having waited."""
    await trio.lowlevel.checkpoint()
    raise BoomError("in an async callback")


async def eager_async_boom(_: Recorder) -> None:
    """Raise before having waited."""
    raise BoomError("before its first await")


def only_error(logged: Log) -> BaseException | None:
    """Return what was logged, once and with its traceback."""
    (record,) = logged
    assert record.exc_info
    return record.exc_info[1]


def assert_reported(logged: Log, protocol: Recorder, callback: str) -> None:
    """Logged once, with the traceback and the peer's address; the reason says as much."""
    error = only_error(logged)
    assert isinstance(error, BoomError)
    assert str(protocol.transport.peer) in logged[0].getMessage()
    assert isinstance(protocol.reason, CallbackError)
    assert protocol.reason.__cause__ is error
    assert callback in protocol.reason.callback


class BuildsOnce(Factory[Recorder]):
    """Raises for all connections but those of *good* turns."""

    def __init__(self, good: Iterator[Recorder | None]) -> None:
        super().__init__()
        self.good = good

    def build_protocol(self, peer: object) -> Recorder:
        built = next(self.good)
        if built is None:
            raise BoomError("in build_protocol")
        return built
