"""Who listens to a factory's events, and how they are told.

Nobody, mostly: so whoever has something to tell looks at ``subscriptions``
first, and makes an event only if there is somebody.

Like callbacks of a connection, calls of subscribers never nest: what one of them
causes is told when all have heard of what came before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Self

from trioproto.sansio.errors import CallbackError

if TYPE_CHECKING:
    from trioproto.sansio.connection import Connection
    from trioproto.sansio.error_log import ErrorLog
    from trioproto.sansio.events import Event


class Subscription:
    """The right to hear of events, until it is cancelled.

    As a context manager it is cancelled at the end of the block.
    """

    __slots__ = ("_audience", "callback")

    def __init__(self, audience: Audience, callback: Callable[[Event], object]) -> None:
        self._audience: Audience | None = audience
        self.callback = callback

    @property
    def active(self) -> bool:
        """Whether it has not been cancelled."""
        return self._audience is not None

    def cancel(self) -> None:
        """Hear nothing more from now on; can be repeated."""
        audience, self._audience = self._audience, None
        if audience is not None:
            audience.subscriptions = tuple(
                each for each in audience.subscriptions if each is not self
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()


class Audience:
    """All subscribers of one factory.

    Args:
        error_log: where a subscriber's errors go.
        invoke: calls user code.

    Attributes:
        subscriptions: who listens, in order; replaced by each change.
    """

    def __init__(self, error_log: ErrorLog, invoke: Callable[..., Any]) -> None:
        self.subscriptions: tuple[Subscription, ...] = ()
        self._error_log = error_log
        self._invoke = invoke
        self._telling = False
        self._untold: deque[tuple[Subscription, Event, Connection | None]] = deque()

    def subscribe(self, callback: Callable[[Event], object]) -> Subscription:
        """Have *callback* hear of every event that happens from now on."""
        if not callable(callback):
            raise TypeError(f"a subscriber is called with each event; {callback!r:.100} cannot be")
        subscription = Subscription(self, callback)
        self.subscriptions = (*self.subscriptions, subscription)
        return subscription

    def tell(self, event: Event, connection: Connection | None = None) -> None:
        """Tell all of *event*, now, or after the one that is being told.

        Args:
            event: what has happened.
            connection: in whose step it has; a ``KeyboardInterrupt`` or its like
                then waits for its end.
        """
        self._untold.extend((each, event, connection) for each in self.subscriptions)
        if self._telling:
            return
        self._telling = True
        try:
            while self._untold:
                self._tell_one(*self._untold.popleft())
        finally:
            self._telling = False

    def _tell_one(
        self, subscription: Subscription, event: Event, connection: Connection | None
    ) -> None:
        if not subscription.active:
            return
        try:
            result = self._invoke(subscription.callback, event)
            if type(result) is CoroutineType:
                result.close()
                raise TypeError("a subscriber is a plain function, not an async one")
        except Exception as exc:
            self._error_log.report(None, CallbackError(_name(subscription), exc))
        except BaseException as exc:
            if connection is None:
                raise
            connection.failed(_name(subscription), exc)


def _name(subscription: Subscription) -> str:
    callback = subscription.callback
    return f"the subscriber {getattr(callback, '__qualname__', type(callback).__qualname__)}"
