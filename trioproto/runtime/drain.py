"""Ending all connections of a scope: first gently, then not; and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import trio

from trioproto.sansio import holds
from trioproto.sansio.connection import Connection
from trioproto.sansio.connection_info import class_name
from trioproto.sansio.errors import ConnectionClosed, ServerDraining
from trioproto.sansio.events import Event, Opened
from trioproto.sansio.lifecycle import State

if TYPE_CHECKING:
    from trioproto.runtime.scope import Scope
    from trioproto.sansio.addresses import Address

Ended: TypeAlias = Literal["finished", "cancelled", "aborted"]
"""How a connection ended; :class:`DrainReport` says what the words mean."""


@dataclass(frozen=True, slots=True)
class DrainedConnection:
    """How one connection ended in a drain.

    Attributes:
        peer: who it was.
        protocol: the qualified name of its protocol's class when the drain began.
        ended: ``"finished"``, ``"cancelled"`` or ``"aborted"``.
        reason: what its ``connection_lost`` got.
    """

    peer: Address
    protocol: str
    ended: Ended
    reason: ConnectionClosed


@dataclass(frozen=True, slots=True)
class DrainReport:
    """How the connections ended that were open when a drain began, or opened in it.

    Attributes:
        finished: by themselves within the grace, or flushed soon after it.
        cancelled: because their async callback was cancelled after it.
        aborted: because they could not even be flushed in time, or their peers,
            who had been told the end, did not end theirs.
        connections: each of them.
    """

    finished: int
    cancelled: int
    aborted: int
    connections: tuple[DrainedConnection, ...] = field(default=(), compare=False, repr=False)


async def drain(
    scope: Scope, grace: trio.CancelScope, force: float, accepted: trio.Event | None = None
) -> DrainReport:
    """End all connections of *scope*.

    Args:
        scope: nothing new is to be let in.
        grace: a scope, not entered yet, whose deadline ends the gentle part.
        force: seconds after it until what is left is aborted.
        accepted: set when all that was queued has been accepted; these drain from
            their beginning.
    """
    began_at = scope.time()
    monitor = scope.factory._monitor
    scope.draining = True
    drained = _open(scope)
    monitor.drain_started(len(drained), max(0, grace.deadline - began_at), force)
    with monitor.subscribe(_NotesOpened(drained)):
        cancelled, aborted = await _end_all(scope, grace, force, accepted)
    report = _report(drained, cancelled, aborted)
    seconds = scope.time() - began_at
    monitor.drain_finished(report.finished, report.cancelled, report.aborted, seconds)
    return report


async def _end_all(
    scope: Scope, grace: trio.CancelScope, force: float, accepted: trio.Event | None
) -> tuple[set[Connection], set[Connection]]:
    """End all connections; return those that were cancelled, and those that were aborted."""
    monitor = scope.factory._monitor
    for connection in scope.live():
        connection.drain()
    scope.turn_arrivals_away(silent_only=True)
    if accepted is not None:
        await accepted.wait()
    with grace:
        await scope.wait_empty()
    scope.turn_arrivals_away(silent_only=False)
    left = _unended(scope.live())
    cancelled = {each for each in left if each.holds & holds.BUSY}
    if left:
        monitor.drain_progress("cancel", len(left))
    for connection in (*left, *scope.refused()):
        if connection.holds & holds.BUSY:
            connection.abort(ServerDraining())
        else:
            connection.close(ServerDraining())
    with trio.move_on_after(force):
        await scope.wait_empty()
    aborted = _unended(scope.live()) - cancelled
    if aborted:
        monitor.drain_progress("abort", len(aborted))
    for connection in (*aborted, *scope.refused()):
        connection.abort(ServerDraining())
    await scope.wait_empty()
    return cancelled, aborted


class _NotesOpened:
    """Adds connections that are opened meanwhile: queued ones, and handshakes that had begun."""

    def __init__(self, drained: dict[Connection, str]) -> None:
        self._drained = drained

    def __call__(self, event: Event) -> None:
        if isinstance(event, Opened):
            assert isinstance(event.transport, Connection)
            self._drained[event.transport] = event.protocol


def _open(scope: Scope) -> dict[Connection, str]:
    """Return the connections that are open, and what their protocols are."""
    protocols = scope.factory._monitor.open
    return {each: class_name(protocols[each]) for each in scope.live() if each in protocols}


def _unended(connections: list[Connection]) -> set[Connection]:
    """Leave out those that have ended, and only have their last callback to make."""
    return {each for each in connections if each.state < State.ENDED}


def _report(
    begun: dict[Connection, str], cancelled: set[Connection], aborted: set[Connection]
) -> DrainReport:
    """Count, and say who they were."""
    drained = []
    counts: dict[Ended, int] = {"finished": 0, "cancelled": 0, "aborted": 0}
    for connection, protocol in begun.items():
        ended: Ended = "finished"
        if connection in cancelled:
            ended = "cancelled"
        elif connection in aborted:
            ended = "aborted"
        counts[ended] += 1
        reason = connection.end_as_error()
        drained.append(DrainedConnection(connection.peer, protocol, ended, reason))
    return DrainReport(**counts, connections=tuple(drained))
