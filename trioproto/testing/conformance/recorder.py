"""A protocol that notes what it hears, and can be told what to do then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trioproto.sansio.errors import ConnectionClosed
from trioproto.sansio.protocol import Protocol

CALLBACKS = (
    "connection_made",
    "data_received",
    "eof_received",
    "pause_writing",
    "resume_writing",
    "timed_out",
    "quiesce",
    "connection_lost",
)

Act = Callable[["Recorder"], Any]


class Recorder(Protocol):
    """Notes its callbacks in order; ``Recorder(data_received=act)`` acts in one.

    An act gets the recorder, its result is the callback's: so an ``async def``
    makes that callback an async one. Where no act is given, the callback does
    as in ``Protocol``.
    """

    def __init__(self, **acts: Act) -> None:
        assert set(acts) <= set(CALLBACKS)
        self.acts = acts
        self.heard: list[str] = []
        self.chunks: list[bytes] = []
        self.reasons: list[ConnectionClosed] = []

    @property
    def received(self) -> bytes:
        """All chunks as one."""
        return b"".join(self.chunks)

    @property
    def reason(self) -> ConnectionClosed:
        """The reason that ``connection_lost`` was given, the only time that it was called."""
        (reason,) = self.reasons
        return reason

    @property
    def lost(self) -> bool:
        """Whether ``connection_lost`` was called."""
        return bool(self.reasons)

    def check(self) -> None:
        """Hold what was heard to the rule: made first, lost last, each once."""
        if self.heard:
            assert self.heard[0] == "connection_made"
            assert self.heard[-1] == "connection_lost"
            assert self.heard.count("connection_made") == 1
            assert self.heard.count("connection_lost") == 1

    def _act(self, name: str, default: Callable[[], Any]) -> Any:
        self.heard.append(name)
        act = self.acts.get(name)
        return default() if act is None else act(self)

    def connection_made(self) -> Any:
        return self._act("connection_made", super().connection_made)

    def data_received(self, data: bytes) -> Any:
        assert type(data) is bytes
        assert data
        self.chunks.append(data)
        return self._act("data_received", lambda: None)

    def eof_received(self) -> Any:
        return self._act("eof_received", super().eof_received)

    def pause_writing(self) -> Any:
        return self._act("pause_writing", super().pause_writing)

    def resume_writing(self) -> Any:
        return self._act("resume_writing", super().resume_writing)

    def timed_out(self) -> Any:
        return self._act("timed_out", super().timed_out)

    def quiesce(self) -> Any:
        return self._act("quiesce", super().quiesce)

    def connection_lost(self, reason: ConnectionClosed) -> Any:
        self.reasons.append(reason)
        return self._act("connection_lost", lambda: None)


def keep_open(_: Recorder) -> bool:
    """An act for ``eof_received``."""
    return True


def never(*_: object) -> Any:
    """An act that must not happen."""
    raise AssertionError("this callback must not be called")
