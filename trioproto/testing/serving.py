"""A factory served in memory, as it is served on sockets, for the length of a block.

Everything is as in production, but for the sockets: the driver for streams, the
factory's lifespan, its limits, its deadlines in trio's time, and the drain at the
end. What is otherwise: an error in a callback fails the test.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any, Literal, TypeAlias, overload

from trioproto.factory import Factory as PureFactory
from trioproto.factory import P
from trioproto.runtime.factory import Factory
from trioproto.runtime.server import open_server
from trioproto.testing.contexts import SERVER_NAME, TLSContexts, contexts_of
from trioproto.testing.held import LeftOverError, TasksOf, check_books, held_by
from trioproto.testing.memory import CAPACITY, MemoryStream
from trioproto.testing.memory_listener import open_memory_listener
from trioproto.testing.memory_server import MemoryServer, S, TLSStream
from trioproto.testing.raised import raise_as_it_was, sort_out

Served: TypeAlias = Factory[P] | Callable[[], P]
"""What is served: a factory, or what makes a protocol."""


class Serving(AbstractAsyncContextManager[MemoryServer[P, S]]):
    """Serves during a block, and makes of what comes out what a test wants to see."""

    def __init__(self, given: MemoryServer[P, S], settings: dict[str, Any]) -> None:
        self.given = given
        self._settings = _Settings(given.factory, {"callback_errors": "raise", **settings})
        self._block = _open(given)

    async def __aenter__(self) -> MemoryServer[P, S]:
        __tracebackhide__ = True
        self._tasks = TasksOf()
        self._settings.set()
        try:
            with self._tasks:
                await self._block.__aenter__()
        except BaseException as raised:
            self._settings.restore()
            raise_as_it_was(sort_out(raised, None))
        self._admission = self.given.server._scope.admission
        return self.given

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        body: BaseException | None,
        entry: TracebackType | None,
    ) -> bool | None:
        __tracebackhide__ = True
        try:
            await self._block.__aexit__(kind, body, entry)
        except BaseException as raised:
            error = raised
        else:
            if body is None:
                self._check_nothing_left()
            return None
        finally:
            self._settings.restore()
        if body is not None:
            body.__traceback__ = entry
        error = sort_out(error, body)
        if error is body:
            return None
        raise_as_it_was(error)

    def _check_nothing_left(self) -> None:
        """Raise if anything is left of what was served."""
        __tracebackhide__ = True
        factory = self.given.factory
        left: dict[str, object] = dict(held_by(factory, self._admission))
        left["tasks"] = self._tasks.left()
        left = {name: each for name, each in left.items() if each}
        if left:
            raise LeftOverError(left, "when serving ended")
        check_books(factory)


@asynccontextmanager
async def _open(given: MemoryServer[P, S]) -> AsyncIterator[None]:
    """Serve, and close the clients' ends before the drain."""
    async with open_server(given.factory, given.endpoint()) as given.server:
        yield
        await given.close_streams()


class _Settings:
    """Settings that a factory has for a time."""

    def __init__(self, factory: Factory[Any], changes: dict[str, Any]) -> None:
        self._factory = factory
        self._changes = changes

    def set(self) -> None:
        """Give them to the factory."""
        own = self._factory.settings
        self._factory.configure(**self._changes)
        self._own = {name: getattr(own, name) for name in self._changes}

    def restore(self) -> None:
        """Give it back its own, but for what has been changed meanwhile."""
        now = self._factory.settings
        kept = {
            name: own
            for name, own in self._own.items()
            if getattr(now, name) == self._changes[name]
        }
        self._factory.configure(**kept)


@overload
def serving(
    target: Served[P],
    *,
    tls: Literal[False] = ...,
    capacity: int | None = ...,
    half_close: bool = ...,
    **settings: Any,
) -> AbstractAsyncContextManager[MemoryServer[P, MemoryStream]]: ...


@overload
def serving(
    target: Served[P],
    *,
    tls: Literal[True] | TLSContexts,
    server_hostname: str = ...,
    capacity: int | None = ...,
    half_close: bool = ...,
    **settings: Any,
) -> AbstractAsyncContextManager[MemoryServer[P, TLSStream]]: ...


def serving(
    target: Served[P],
    *,
    tls: bool | TLSContexts = False,
    server_hostname: str = SERVER_NAME,
    capacity: int | None = CAPACITY,
    half_close: bool = True,
    **settings: Any,
) -> AbstractAsyncContextManager[MemoryServer[P, Any]]:
    """Serve a factory in memory while the block runs.

    For example::

        async with serving(Factory(Chat)) as server:
            ann, bob = await server.connect(), await server.connect()

    Leaving the block closes the clients' ends, lets the server read what they have
    sent, and drains it as ``open_server`` does; leaving it by an exception ends all at
    once. After it the factory has its own settings again.

    An error in a callback cancels the block, and comes out of it as itself; several
    come as one flat group. If the block has failed too, because its connection was
    reset, the error has a note that says where. If it has failed otherwise, that comes
    out, with the callback's error as its context: that is shown first.

    Args:
        target: a factory; or a class or function that makes a protocol.
        tls: ``True``: connections are over TLS, with certificates made for this block
            (trustme has to be installed). Or two contexts: the server's, and the
            clients'.
        server_hostname: the name that the clients ask for.
        capacity: bytes that may wait to be received, each way of a connection;
            ``None``: any number.
        half_close: whether the server's ends can end their side alone; a driver has
            to close a stream that cannot in another way.
        settings: settings that the factory has during the block. ``callback_errors``
            is ``"raise"`` unless given.

    Raises:
        LeftOverError: a connection, a place in a limit, a task, or a byte is left at the end.
        ImportError: trustme is not installed, and needed.
        TypeError: *target* makes nothing; or an unknown setting.
        Exception: what a callback, the factory's lifespan or the block raised, as it was.
    """
    return serving_in_memory(target, tls, server_hostname, capacity, half_close, settings)


def serving_in_memory(
    target: Served[P],
    tls: bool | TLSContexts,
    server_hostname: str,
    capacity: int | None,
    half_close: bool,
    settings: dict[str, Any],
) -> Serving[P, Any]:
    """Make what ``serving`` returns."""
    factory = _factory_of(target)
    listener = open_memory_listener(capacity=capacity, half_close=half_close)
    contexts = None if tls is False else contexts_of(tls)
    return Serving(MemoryServer(factory, listener, contexts, server_hostname), settings)


def _factory_of(target: Served[P]) -> Factory[P]:
    """Return the factory that was given, or make one.

    Raises:
        TypeError: neither a factory nor something that makes protocols.
    """
    if isinstance(target, Factory):
        return target
    given: object = target
    if isinstance(given, type) and issubclass(given, PureFactory):
        raise TypeError(f"give a factory, {given.__name__}(...), and not its class")
    if not callable(given):
        problem = "give a factory, or a class or function that makes a protocol"
        raise TypeError(f"{problem}, and not {given!r:.100}")
    return Factory(target)
