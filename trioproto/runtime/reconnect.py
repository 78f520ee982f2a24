"""A connection that is made again when it is lost: ``stay_connected``."""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, cast

import trio

from trioproto.endpoints.client import ClientEndpoint
from trioproto.factory import P
from trioproto.runtime.client import establish, parsed, prepared
from trioproto.runtime.groups import ungrouped, users_block

if TYPE_CHECKING:
    from trioproto.runtime.factory import Factory
    from trioproto.runtime.scope import Scope
    from trioproto.sansio.connection import Connection

logger = logging.getLogger("trioproto")


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before the next attempt.

    Attributes:
        initial: seconds before an attempt that follows no failed one.
        factor: by which that grows with each failure in a row.
        maximum: seconds that it does not grow beyond.
        jitter: gives seconds to be added, so that the clients of a server that
            comes back do not all come at once.

    Raises:
        ValueError: a number is out of its range.

    Origin: Twisted's ``backoffPolicy``.
    """

    initial: float
    factor: float
    maximum: float
    jitter: Callable[[], float]

    def __post_init__(self) -> None:
        if self.initial < 0:
            raise ValueError(f"initial must be at least 0, not {self.initial}")
        if self.factor < 1:
            raise ValueError(f"factor must be at least 1, not {self.factor}")
        if self.maximum < self.initial:
            raise ValueError(f"maximum must be at least initial, not {self.maximum}")

    def delay(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row."""
        try:
            grown = self.initial * self.factor**failures
        except OverflowError:
            grown = self.maximum
        return min(grown, self.maximum) + self.jitter()


class Reconnector(Generic[P]):
    """What keeps one connection, and makes it again when it is lost.

    Attributes:
        factory: builds a protocol for each connection.
        endpoint: where to.
        attempts: begun so far.
        failures: how many of them have failed since the last connection.
    """

    def __init__(self, factory: Factory[P], endpoint: ClientEndpoint, backoff: Backoff) -> None:
        self.factory = factory
        self.endpoint = endpoint
        self.attempts = 0
        self.failures = 0
        self._backoff = backoff
        self._connection: Connection | None = None
        self._changed = trio.Event()
        self._ended = False
        self._attempting = trio.CancelScope()

    @property
    def protocol(self) -> P | None:
        """The protocol of the connection, or ``None`` while there is none that is open."""
        connection = self._connection
        if connection is None or connection.closing:
            return None
        return cast("P", connection.protocol)

    async def wait_connected(self) -> P:
        """Wait until there is a connection; return its protocol.

        Raises:
            ClosedResourceError: the block of ``stay_connected`` was left.
        """
        await trio.lowlevel.checkpoint()
        while (protocol := self.protocol) is None:
            if self._ended:
                raise trio.ClosedResourceError("the connection is kept no more")
            await self._changed.wait()
        return protocol

    async def _run(self, scope: Scope, nursery: trio.Nursery) -> None:
        """Connect, wait for the end, wait a little; until closed."""
        with self._attempting:
            await self._attempt(scope, nursery)

    async def _attempt(self, scope: Scope, nursery: trio.Nursery) -> None:
        while True:
            self.attempts += 1
            try:
                self._connection = await establish(self.endpoint, self.factory, scope, nursery)
            except OSError as exc:
                self.failures += 1
                delay = self._backoff.delay(self.failures)
                text = "%s: %s; attempt %d, the next one in %.1f s"
                logger.warning(text, self.endpoint, _in_words(exc), self.attempts, delay)
            else:
                self.failures = 0
                self._tell()
                try:
                    await self._connection.wait_closed()
                finally:
                    self._connection.close()
                delay = self._backoff.delay(0)
            await trio.sleep(delay)

    def _tell(self) -> None:
        """Have those who wait look again."""
        self._changed.set()
        self._changed = trio.Event()

    async def _close(self, scope: Scope) -> None:
        """Try no more; whoever waits for the connection closes it."""
        self._attempting.cancel()
        await scope.wait_empty()

    def _end(self) -> None:
        self._ended = True
        self._tell()


@asynccontextmanager
async def stay_connected(
    factory: Factory[P],
    endpoint: str | ClientEndpoint,
    *,
    initial: float = 1.0,
    factor: float = 1.5,
    maximum: float = 60.0,
    jitter: Callable[[], float] = random.random,
) -> AsyncIterator[Reconnector[P]]:
    """Keep a connection while the block runs: when it is lost, make another.

    The block begins at once, connected or not. ``factory.build_protocol`` makes
    a protocol for each connection, and ``lifespan`` is entered once, around them
    all. An attempt that fails is one line in the log; it has failed too if no
    protocol was built, or if what comes before ``connection_made`` did. The next
    one is made after ``initial * factor ** failures`` seconds, but at most
    *maximum*, and *jitter* more; a connection that was open starts this anew.

    Leaving the block closes the connection as :func:`connect` does, and ends
    everything; leaving it by an exception or a cancellation does so at once.

    Args:
        factory: builds the protocols; in one use at a time.
        endpoint: a client endpoint's string or object.
        initial: seconds.
        factor: at least 1.
        maximum: seconds.
        jitter: returns seconds; by default 0 to 1, evenly.

    Raises:
        EndpointError: a bad string, or what it names is of no use.
        OSError: a file that it names cannot be read.
        RuntimeError: the factory is in use already.
        Exception: what ``lifespan`` or the block raised; or what user code
            raised, with ``callback_errors="raise"``, which cancels the block.

    Origin: Twisted's ``ClientService``.
    """
    backoff = Backoff(initial, factor, maximum, jitter)
    kept = Reconnector(factory, parsed(endpoint), backoff)
    async with prepared(kept.endpoint):
        with ungrouped():
            async with factory.open_scope() as scope, trio.open_nursery() as nursery:
                nursery.start_soon(kept._run, scope, nursery)
                try:
                    with users_block():
                        yield kept
                    await kept._close(scope)
                except Exception:
                    for connection in scope.live():
                        connection.abort()
                    raise
                finally:
                    kept._end()
                nursery.cancel_scope.cancel()


def _in_words(exc: OSError) -> str:
    """Say in one line what befell an attempt, at each of the addresses."""
    cause = exc.__cause__
    each = cause.exceptions if isinstance(cause, BaseExceptionGroup) else ()
    return "; ".join(dict.fromkeys(map(str, (exc, *each))))
