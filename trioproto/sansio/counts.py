"""Counting what happens to the connections of one factory.

Each connection is counted where it begins and where it ends, once, and its bytes
are added up when it ends; nothing is counted for each message. What is asked of
the live ones is summed up when it is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

KINDS = 100
"""Different keys of one mapping; all further ones are counted as ``OTHER``."""
OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What a factory has done since it was made, and does now.

    At any time ``accepted == opening + open + sum(closed.values())``.

    Attributes:
        accepted: connections that have begun: accepted, given to ``handle``, or
            made by ``stay_connected``.
        opening: those of them that are on their way to be open: they owe a PROXY
            header or a TLS handshake.
        open: those that are open, until ``connection_lost`` is due.
        opened: all that have been open.
        closed: those that have ended, open or not, by the name of their reason's
            class.
        refused: peers that were sent away, by what for. Who was found to be in
            the way of a limit was never accepted; whom ``build_protocol`` or a
            limit after the PROXY header refused is in ``accepted`` and
            ``closed`` as well.
        errors: errors in user code, by the name of the exception's class.
        limits: how often it was told that a limit is reached: once in
            ``alarm_interval`` seconds at most.
        drained: connections that were open when a drain began, by how they ended:
            ``finished``, ``cancelled``, ``aborted``.
        slow_callbacks: how often a callback has kept everything else waiting.
        bytes_received: bytes that came, as they were on the wire; without PROXY
            headers.
        bytes_sent: bytes that the kernel, or the stream, has taken.
        buffered: bytes that wait to be sent.
    """

    accepted: int
    opening: int
    open: int
    opened: int
    closed: Mapping[str, int]
    refused: Mapping[str, int]
    errors: Mapping[str, int]
    limits: Mapping[str, int]
    drained: Mapping[str, int]
    slow_callbacks: int
    bytes_received: int
    bytes_sent: int
    buffered: int


class Tally(dict[str, int]):
    """Counts by name; users make up names, so there is an end to their number."""

    def add(self, name: str, count: int = 1) -> None:
        """Count *name*."""
        if name not in self and len(self) >= KINDS:
            name = OTHER
        self[name] = self.get(name, 0) + count


class Counts:
    """What is counted when it happens; :class:`Statistics` says what it means.

    Attributes:
        ended: all connections that have ended.
    """

    def __init__(self) -> None:
        self.accepted = 0
        self.opened = 0
        self.ended = 0
        self.closed = Tally()
        self.refused = Tally()
        self.errors = Tally()
        self.limits = Tally()
        self.drained = Tally()
        self.slow_callbacks = 0
        self.bytes_received = 0
        self.bytes_sent = 0

    def end(self, reason: BaseException, received: int, sent: int) -> None:
        """Count a connection that has ended, and its bytes."""
        self.ended += 1
        self.closed.add(type(reason).__name__)
        self.bytes_received += received
        self.bytes_sent += sent

    def statistics(self, *, open: int, received: int, sent: int, buffered: int) -> Statistics:  # noqa: A002 - as the field
        """Sum up, with what the live connections have added."""
        return Statistics(
            accepted=self.accepted,
            opening=self.accepted - open - self.ended,
            open=open,
            opened=self.opened,
            closed=dict(self.closed),
            refused=dict(self.refused),
            errors=dict(self.errors),
            limits=dict(self.limits),
            drained=dict(self.drained),
            slow_callbacks=self.slow_callbacks,
            bytes_received=self.bytes_received + received,
            bytes_sent=self.bytes_sent + sent,
            buffered=buffered,
        )
