"""The life of a connection, as one table.

Two rules hold for the whole of it. A connection only ever moves down the list
of states, never back. And no code elsewhere assigns a state: it sends an event
and takes what the table answers; an event that the table does not know in that
state is a defect of this library, not of its user.

Above ``FLUSHING`` the protocol is served. From ``FLUSHING`` on nothing more is
delivered to it. From ``ENDED`` on nothing more is read or written either, and
all that is left to do is ``connection_lost``.
"""

from __future__ import annotations

from enum import IntEnum, auto


class State(IntEnum):
    """Where a connection is; the order is the order of its life."""

    OPENING = 0
    """The layers below the protocol are not ready; it has heard nothing yet."""
    OPEN = 1
    """Both sides may send."""
    READ_ENDED = 2
    """The peer has sent EOF and the protocol kept its own side open."""
    WRITE_ENDED = 3
    """The protocol has ended its side and still reads."""
    FLUSHING = 4
    """It closes; what waits is sent, what comes is discarded."""
    LINGERING = 5
    """Everything is sent and shut down; the peer's EOF is awaited."""
    ENDED = 6
    """The stream is finished; user code is being stopped."""
    LOST = 7
    """``connection_lost`` has been called."""


class Event(IntEnum):
    """What can happen to a connection."""

    READY = auto()
    """The layers are ready (at once where there are none)."""
    PEER_EOF = auto()
    """The peer's EOF was delivered, and the connection is kept open."""
    WRITE_EOF = auto()
    """The protocol ends its side."""
    CLOSE = auto()
    """A clean close was asked for."""
    SHUT_DOWN = auto()
    """The driver has sent everything and shut its side down."""
    FINISH = auto()
    """Nothing more is to be awaited from the peer."""
    BREAK = auto()
    """A hard end: abort, loss, timeout, cancellation, error."""
    REPORT = auto()
    """``connection_lost`` is called."""


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.OPENING, Event.READY): State.OPEN,
    (State.OPENING, Event.CLOSE): State.FLUSHING,
    (State.OPENING, Event.BREAK): State.ENDED,
    (State.OPEN, Event.PEER_EOF): State.READ_ENDED,
    (State.OPEN, Event.WRITE_EOF): State.WRITE_ENDED,
    (State.OPEN, Event.CLOSE): State.FLUSHING,
    (State.OPEN, Event.BREAK): State.ENDED,
    (State.READ_ENDED, Event.WRITE_EOF): State.FLUSHING,
    (State.READ_ENDED, Event.CLOSE): State.FLUSHING,
    (State.READ_ENDED, Event.BREAK): State.ENDED,
    (State.WRITE_ENDED, Event.PEER_EOF): State.FLUSHING,
    (State.WRITE_ENDED, Event.CLOSE): State.FLUSHING,
    (State.WRITE_ENDED, Event.BREAK): State.ENDED,
    (State.FLUSHING, Event.SHUT_DOWN): State.LINGERING,
    (State.FLUSHING, Event.FINISH): State.ENDED,
    (State.FLUSHING, Event.BREAK): State.ENDED,
    (State.LINGERING, Event.FINISH): State.ENDED,
    (State.LINGERING, Event.BREAK): State.ENDED,
    (State.ENDED, Event.REPORT): State.LOST,
}


class IllegalTransitionError(AssertionError):
    """An event that its state does not know: a defect of this library."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"{event.name} in state {state.name}")


def next_state(state: State, event: Event) -> State:
    """Answer which state *event* leads to.

    Raises:
        IllegalTransitionError: the table has no such transition.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransitionError(state, event) from None
