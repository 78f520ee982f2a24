"""What lasts longer than a connection: settings, shared state, the books.

This is the pure half of a factory. The half that awaits, ``handle`` and
``async with``, is :class:`trioproto.runtime.factory.Factory`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Generic, Self

from trioproto.layers.tls import TLSLayer
from trioproto.sansio.callbacks import unwrap
from trioproto.sansio.connection import Connection
from trioproto.sansio.connection_info import class_name
from trioproto.sansio.error_log import ErrorLog
from trioproto.sansio.errors import CallbackError, ConnectionDone, OutboundOverflow
from trioproto.sansio.monitor import REFUSED_BY_PROTOCOL, Monitor
from trioproto.sansio.protocol import Protocol, check_protocol
from trioproto.sansio.settings import Settings
from trioproto.sansio.throttle import Totals

if TYPE_CHECKING:
    from trioproto.sansio.addresses import Address
    from trioproto.sansio.connection_info import ConnectionInfo
    from trioproto.sansio.counts import Statistics
    from trioproto.sansio.driver import Driver
    from trioproto.sansio.errors import ConnectionClosed
    from trioproto.sansio.events import Event
    from trioproto.sansio.layer import Layer
    from trioproto.sansio.subscriptions import Subscription
    from trioproto.sansio.tls_info import TLSContext

if TYPE_CHECKING:
    # A default, so that a bare ``class MyFactory(Factory)`` is typed as well.
    from typing_extensions import TypeVar

    P = TypeVar("P", bound=Protocol, default=Protocol)
else:
    from typing import TypeVar

    P = TypeVar("P", bound=Protocol)


def _call(callback: Callable[..., Any], *args: Any) -> Any:
    return callback(*args)


class Connections(Collection[P]):
    """The live protocols of a factory.

    Iterating takes a snapshot, so that connections may come and go meanwhile.
    """

    def __init__(self, protocols: dict[Connection, P]) -> None:
        self._protocols = protocols

    def __len__(self) -> int:
        return len(self._protocols)

    def __iter__(self) -> Iterator[P]:
        return iter(list(self._protocols.values()))

    def __contains__(self, protocol: object) -> bool:
        return any(protocol is each for each in self._protocols.values())


class Factory(Generic[P]):
    """Builds a protocol for each connection, and holds what they share.

    A factory knows nothing of the network. Make one of your protocol class
    (``Factory(Echo)``), or subclass it. A subclass need not call
    ``super().__init__()``.

    Each of the :class:`~trioproto.Settings` is a keyword here; a class
    attribute of the same name on a subclass is its default.

    Attributes:
        protocol: makes a protocol, called without arguments; a class mostly.
        connections: the live protocols, from before ``connection_made`` until
            just before ``connection_lost``.
        settings: the settings in force for new connections.

    Raises:
        TypeError: an unknown keyword.
        ValueError: a value out of its range.

    Origin: Twisted howto "Writing Servers", Factories.
    """

    protocol: Callable[..., P] | None = None
    connections: Connections[P]
    settings: Settings
    _error_log: ErrorLog
    _monitor: Monitor
    _buffered: int
    _totals: Totals
    _invoke = staticmethod(_call)

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self:
        """Make the state that does not depend on a subclass' ``__init__``."""
        factory = super().__new__(cls)
        factory.settings = _class_settings(cls)
        factory._error_log = ErrorLog()
        factory._monitor = Monitor(factory._error_log, cls._invoke)
        factory.connections = Connections(factory._monitor.open)  # type: ignore[arg-type]
        factory._buffered = 0
        factory._totals = Totals()
        return factory

    def __init__(self, protocol: Callable[..., P] | None = None, **settings: Any) -> None:
        if protocol is not None:
            self.protocol = protocol
        self.configure(**settings)

    def configure(self, **changes: Any) -> None:
        """Replace settings: total rates at once, the rest for connections accepted from now on.

        Raises:
            TypeError: an unknown name.
            ValueError: a value out of its range; nothing is changed.
        """
        if changes:
            self.settings = replace(self.settings, **changes)
        if self._totals.change(self.settings):
            for connection in list(self.connections._protocols):
                connection.throttle_by(self._totals)

    def build_protocol(self, peer: Address) -> P | None:
        """Make the protocol for a connection from *peer*.

        Returns:
            ``None`` to refuse the connection, which is then closed.

        Origin: Twisted's ``buildProtocol``.
        """
        # Not self.protocol: a plain function as class attribute would be bound.
        make = vars(self).get("protocol") or type(self).protocol
        if make is None:
            raise TypeError(f"{type(self).__name__} has neither protocol nor build_protocol")
        return make()

    def start_factory(self) -> Awaitable[None] | None:
        """Called (and awaited) before the first connection.

        Origin: Twisted's ``startFactory``.
        """

    def stop_factory(self) -> Awaitable[None] | None:
        """Called (and awaited) after the last connection, also when cancelled.

        An async one may take ``cleanup_timeout`` seconds when cancelled.

        Origin: Twisted's ``stopFactory``.
        """

    def soft_limit_reached(self, connections: int) -> None:
        """Called when a connection is let in, and there are ``soft_limit`` or more.

        Not again within ``alarm_interval`` seconds. Its errors are logged. It may
        change limits (``configure``), or close some connections.

        Args:
            connections: how many there are, of those that are counted.
        """

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Hold the factory's resources, around all its connections.

        Entered after the sockets are bound and before the first connection;
        left after the last. A nursery opened in it owns the factory's own
        tasks: if one fails, the server ends with that error. By default this
        calls ``start_factory`` and ``stop_factory``.
        """
        starting = self.start_factory()
        if starting is not None:
            await starting
        try:
            yield
        finally:
            await self._stop()

    async def _stop(self) -> None:
        stopping = self.stop_factory()
        if stopping is not None:
            await stopping

    def accept(
        self,
        driver: Driver,
        peer: Address,
        local: Address,
        layers: Iterable[Layer] = (),
        settings: Settings | None = None,
    ) -> Connection | None:
        """Take a connection that a driver has accepted; ``connect``, and count it.

        It is to be opened next; or closed by the driver, if there is none.

        Returns:
            As ``connect``.

        Raises:
            Exception: as ``connect``.
        """
        self._monitor.accepted(peer, local)
        problem: ConnectionClosed | None = ConnectionDone()
        try:
            connection = self.connect(driver, peer, local, layers, settings)
            if connection is not None:
                problem = None
        except CallbackError as reason:
            problem = reason
            raise
        except BaseException as exc:
            problem = CallbackError(self.build_protocol.__qualname__, exc)
            raise
        finally:
            if problem is not None:
                self._monitor.never_begun(peer, local, problem)
            del problem  # whose cause's traceback leads back here
        return connection

    def connect(
        self,
        driver: Driver,
        peer: Address,
        local: Address,
        layers: Iterable[Layer] = (),
        settings: Settings | None = None,
    ) -> Connection | None:
        """Build a protocol and its connection, not opened yet.

        Returns:
            ``None`` if ``build_protocol`` refuses.

        Raises:
            CallbackError: ``build_protocol`` failed, which is logged.
            Exception: the same with ``callback_errors="raise"``: as it was.
        """
        given = settings
        settings = settings or self.settings
        try:
            protocol = driver.invoke(self.build_protocol, peer)
            if protocol is None:
                self._monitor.refused(peer, local, REFUSED_BY_PROTOCOL)
                return None
            check_protocol(protocol)
        except Exception as exc:
            if settings.callback_errors == "raise":
                raise
            reason = CallbackError(self.build_protocol.__qualname__, unwrap(exc))
            self.report(peer, reason)
            raise reason from reason.__cause__
        connection = Connection(protocol, self, driver, settings, peer, local, layers)
        self._totals.change(given or self.settings)  # which may be others by now
        connection.throttle_by(self._totals)
        self._monitor.begun(connection)
        return connection

    # What goes on

    def statistics(self) -> Statistics:
        """Return what was counted since the factory was made; in any thread."""
        return self._monitor.statistics(self._buffered)

    def connection_info(self) -> tuple[ConnectionInfo, ...]:
        """Describe each live connection, those in their TLS handshake last; in any thread.

        Connections that owe a PROXY header are not among them: ``statistics``
        counts them as ``opening``.
        """
        return self._monitor.connection_info()

    def subscribe(self, callback: Callable[[Event], object]) -> Subscription:
        """Have *callback* called with each event from now on, in order.

        It is a plain function, and should be quick: the server waits for it. It
        may use transports, and subscribe or cancel. What it causes is told when
        all have heard of what came before. What it raises is logged, and harms
        nobody. Who subscribes twice is called twice.

        Returns:
            What ends it: ``cancel()``, or leaving it as a context manager.
        """
        return self._monitor.subscribe(callback)

    # The books, for the connections

    def opened(self, connection: Connection) -> None:
        """Enter a connection, whose protocol now belongs to this factory."""
        connection.protocol.factory = self
        connection.throttle_by(self._totals)  # which may have changed in the handshake
        self._monitor.opened(connection)

    def switched(self, connection: Connection) -> None:
        """Enter the protocol that has taken a connection over."""
        self._monitor.switched(connection)

    def closed(self, connection: Connection) -> None:
        """Take a connection out."""
        self._monitor.closed(connection)

    def output_waits(self, change: int, limit: int) -> None:
        """Count bytes that wait to be sent; above the limit, abort who has most, and say so.

        That is who has most of what is counted: it is at least the change, so that
        the limit holds again. What was written since is counted in its own turn.
        """
        self._buffered += change
        if change > 0 and self._buffered > limit:
            worst = max(self._monitor.live(), key=lambda each: each.counted)
            reason = OutboundOverflow(self._buffered, limit, "max_buffered_total")
            self._error_log.note(worst.peer, reason)
            worst.abort(reason)

    def flush_error_log(self) -> None:
        """Log the counts of errors that were not shown one by one."""
        self._error_log.flush()

    def report(self, peer: Address | None, reason: ConnectionClosed) -> None:
        """Log an error in user code, which is the ``__cause__`` of *reason*."""
        self._error_log.report(peer, reason)
        self._monitor.failed(peer, reason)

    def meet_soft_limit(self, connections: int, limit: int) -> None:
        """Call ``soft_limit_reached``, and log what it raises."""
        self._monitor.limit_neared("soft_limit", connections, limit)
        try:
            self._invoke(self.soft_limit_reached, connections)
        except Exception as exc:
            self.report(None, CallbackError(self.soft_limit_reached.__qualname__, exc))

    def callback_slow(self, protocol: Protocol, peer: Address, seconds: float) -> None:
        """Log, and tell, that user code has kept everything else waiting."""
        name = class_name(protocol)
        self._error_log.slow(name, peer, seconds)
        self._monitor.callback_slow(name, peer, seconds)

    def opening_failed(self, peer: Address, reason: ConnectionClosed) -> None:
        """Log in one line why a connection ended, if no code of the user's is to blame."""
        self._error_log.note(peer, reason)

    def tls_layer(
        self, context: TLSContext, server_hostname: str | None, server_side: bool
    ) -> Layer:
        """Make the layer for ``start_tls``."""
        return TLSLayer(context, server_side=server_side, server_hostname=server_hostname)


def _class_settings(cls: type) -> Settings:
    """Make settings of the defaults that a subclass has as class attributes."""
    names = (field.name for field in fields(Settings))
    return Settings(**{name: getattr(cls, name) for name in names if hasattr(cls, name)})
