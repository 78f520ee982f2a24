"""What a server holds: places, connections, bytes, tasks, descriptors; and what it has left."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from trioproto.factory import Factory
    from trioproto.runtime.admission import Admission

_DESCRIPTORS = "/proc/self/fd"


class LeftOverError(AssertionError):
    """Something was left that should have gone.

    Attributes:
        left: what, and how many of it, or which.
    """

    def __init__(self, left: dict[str, object], when: str) -> None:
        self.left = left
        self.when = when
        super().__init__(left, when)

    def __str__(self) -> str:
        what = ", ".join(f"{name}: {_shown(each)}" for name, each in self.left.items())
        return f"left over {self.when}: {what}"


def _shown(left: object) -> str:
    return ", ".join(map(str, left)) if isinstance(left, list) else str(left)


# Counted by the library


def held_by(factory: Factory[Any], admission: Admission) -> dict[str, int]:
    """Everything of which a connection has its part; without connections all of it is 0."""
    now = factory.statistics()
    return {
        "places": admission.places.borrowed_tokens,
        "handshakes": admission.handshakes.borrowed_tokens,
        "peers": sum(admission.peers.values()),
        "groups of peers": len(admission.peers),
        "refusals": admission.refusals,
        "waiting": len(admission.waiting),
        "connections": len(factory.connections),
        "described": len(factory.connection_info()),
        "buffered": now.buffered,
        "opening": now.opening,
        "open": now.open,
    }


# Tasks


class StartedTasks:
    """The tasks that were started by what began while this was entered.

    Tasks inherit the context of who starts them, in whichever nursery: so what a
    callback leaves behind in a nursery of the test's is found too. System tasks
    inherit nothing: those count that are new.
    """

    def __init__(self) -> None:
        self._before = set(_system_tasks())

    def __enter__(self) -> None:
        self._token = _started_by.set(self)

    def __exit__(self, *_: object) -> None:
        _started_by.reset(self._token)

    def left(self) -> list[str]:
        """Return the names of those that still run."""
        root = trio.lowlevel.current_root_task()
        system = _system_tasks()
        ours = [each for each in _below(root) if each.context.get(_started_by) is self]
        new = [each for each in system if each not in self._before and each not in ours]
        return [*(each.name for each in ours), *(f"{each.name} (system)" for each in new)]


_started_by: ContextVar[StartedTasks] = ContextVar("trioproto.testing.started_by")


def _system_tasks() -> list[trio.lowlevel.Task]:
    """Return trio's own tasks, and the test's main task."""
    root = trio.lowlevel.current_root_task()
    assert root is not None
    return [each for nursery in root.child_nurseries for each in nursery.child_tasks]


def _below(task: trio.lowlevel.Task | None) -> Iterator[trio.lowlevel.Task]:
    assert task is not None
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield child
            yield from _below(child)


# Descriptors


def open_descriptors() -> dict[int, str] | None:
    """Return the sockets, pipes and the like that this process has open, and what they are.

    Files are left out: whoever caches something has some. ``None`` where there is no
    ``/proc`` to ask.
    """
    try:
        numbers = os.listdir(_DESCRIPTORS)
    except OSError:
        return None
    found = {}
    for number in numbers:
        try:
            target = os.readlink(f"{_DESCRIPTORS}/{number}")
        except OSError:
            continue  # the one with which the folder was read
        if ":[" in target or target.startswith("anon_inode:"):
            found[int(number)] = target
    return found


def described(descriptors: Iterable[tuple[int, str]]) -> list[str]:
    """Say what descriptors are; of sockets also where they lead."""
    return [f"{number} ({_describe(number, target)})" for number, target in descriptors]


def _describe(number: int, target: str) -> str:
    if not target.startswith("socket:"):
        return target
    try:
        with socket.socket(fileno=os.dup(number)) as sock:
            return f"{target} {_addresses(sock)}"
    except OSError:
        return target


def _addresses(sock: socket.socket) -> str:
    text = f"{sock.family.name} at {sock.getsockname()!r}"
    try:
        return f"{text} to {sock.getpeername()!r}"
    except OSError:
        return text
