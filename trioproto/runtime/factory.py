"""The half of a factory that awaits: its scope, and a handler for trio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import trio

from trioproto.factory import Factory as PureFactory
from trioproto.factory import P
from trioproto.layers.opening import PLAIN, Opening
from trioproto.layers.tls import TLSLayer
from trioproto.runtime.drain import drain
from trioproto.runtime.groups import ungrouped, users_block
from trioproto.runtime.peers import stream_addresses
from trioproto.runtime.scope import Scope, open_scope
from trioproto.runtime.stream_driver import StreamDriver
from trioproto.runtime.user_code import call_user, close_at_once, closed_if_raised, shielded
from trioproto.sansio.settings import Settings

if TYPE_CHECKING:
    from trioproto.runtime.server import Server
    from trioproto.sansio.addresses import Address
    from trioproto.sansio.tls_info import TLSContext


_SHARED_LIMITS = ("max_per_peer", "max_handshakes", "max_accept_rate", "soft_limit")
"""What cannot be kept for one connection alone."""


class Factory(PureFactory[P]):  # noqa: D101
    __doc__ = PureFactory.__doc__

    _invoke = staticmethod(call_user)
    _scope: Scope | None = None
    _server: Server[Any] | None = None
    _claimed = False
    _entered: AbstractAsyncContextManager[Scope] | None = None

    @property
    def server(self) -> Server[P]:
        """The server that serves this factory now.

        Raises:
            RuntimeError: none does.

        Origin: in place of Twisted's global reactor.
        """
        if self._server is None:
            raise RuntimeError("the factory is not being served")
        return self._server

    def configure(self, **changes: Any) -> None:
        """Replace settings: limits and total rates at once, the rest for new connections.

        Raises:
            TypeError: an unknown name.
            ValueError: a value out of its range; nothing is changed.
        """
        super().configure(**changes)
        if self._scope is not None:
            self._scope.admission.configure()

    async def handle(self, stream: trio.abc.Stream, *, tls: TLSContext | None = None) -> None:
        """Serve one connection over *stream* until it ends; a handler for trio.

        The stream is closed, whatever happens. At a limit this waits, or the stream is
        refused, as the settings say.

        Args:
            stream: any stream.
            tls: speak TLS over it, as the server: a context, or ``Certificates``.

        Raises:
            RuntimeError: the factory has a lifespan or limits of its own, and
                is not in use (``async with factory``, or a server).
            TypeError: *tls* is no context.
            Exception: what user code raised, if ``callback_errors`` is
                ``"raise"``.
        """
        async with closed_if_raised(stream, self.settings.cleanup_timeout):
            opening = PLAIN if tls is None else _over_tls(tls)
            if self._scope is not None:
                await self._handle_in(self._scope, stream, opening)
                return
            if not self._needs_no_scope():
                raise RuntimeError(
                    f"{type(self).__name__} has a lifespan or limits: enter it first "
                    "(async with factory), or serve it"
                )
            with ungrouped():
                async with open_scope(self) as scope:
                    await self._handle_in(scope, stream, opening)

    async def __aenter__(self) -> Self:
        """Enter the factory's scope: its limits, and its lifespan.

        Raises:
            RuntimeError: it is in use already.
        """
        entered = self._scope_by_hand()
        await entered.__aenter__()
        self._entered = entered
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """Leave the scope: drain what is left, or end it at once if *exc*."""
        entered, self._entered = self._entered, None
        assert entered is not None
        return await entered.__aexit__(kind, exc, traceback)

    @asynccontextmanager
    async def _scope_by_hand(self) -> AsyncIterator[Scope]:
        settings = self.settings
        with ungrouped():
            async with self.open_scope() as scope:
                with users_block():
                    yield scope
                grace = trio.CancelScope(deadline=trio.current_time() + settings.drain_grace)
                await drain(scope, grace, settings.drain_force)

    @asynccontextmanager
    async def open_scope(self) -> AsyncIterator[Scope]:
        """Open the one scope that this factory may have at a time."""
        if self._claimed:
            raise RuntimeError(
                f"{type(self).__name__} is in use already: give all endpoints to one server"
            )
        self._claimed = True
        try:
            async with open_scope(self) as scope:
                self._scope = scope
                try:
                    yield scope
                finally:
                    self._scope = None
        finally:
            self._claimed = False

    async def _stop(self) -> None:
        """Call ``stop_factory``; an async one gets its time even when cancelled."""
        with shielded(self.settings.cleanup_timeout):
            await super()._stop()

    def _needs_no_scope(self) -> bool:
        """Whether one connection can be served without the others."""
        kind = type(self)
        own = (kind.lifespan, kind.start_factory, kind.stop_factory)
        plain = (Factory.lifespan, Factory.start_factory, Factory.stop_factory)
        limit = self.settings.max_connections
        unlimited = limit in (None, Settings().max_connections) and all(
            getattr(self.settings, name) is None for name in _SHARED_LIMITS
        )
        return own == plain and unlimited

    async def _handle_in(self, scope: Scope, stream: trio.abc.Stream, opening: Opening) -> None:
        handshake = opening.layered
        slot = scope.admission.try_slot(handshake=handshake)
        if slot is None:
            slot = await scope.admission.wait_slot(handshake=handshake, accepted=True)
        if slot is None or scope.ended or scope.draining:
            if slot is not None:
                slot.release()
            await close_at_once(stream, self.settings.cleanup_timeout)
            return
        peer, local = stream_addresses(stream)
        try:
            slot.used(peer)  # in which user code may be called
        except BaseException:
            slot.release()
            raise
        await StreamDriver(scope, stream).run(peer, local, opening, slot)


class FactoryOfOne(Factory[P]):
    """Builds one protocol, which was given to it, and forgets it.

    So that the protocol, which knows its factory, is freed as soon as nobody has it.
    """

    def __init__(self, protocol: P, settings: Settings | None) -> None:
        if settings is not None:
            self.settings = settings
        self._given: P | None = protocol

    def build_protocol(self, peer: Address) -> P | None:
        """Return the protocol, once."""
        given, self._given = self._given, None
        return given


def _over_tls(context: TLSContext) -> Opening:
    """Have one connection begin with TLS; what is wrong with *context* is an error of this call."""
    layer = TLSLayer(context, server_side=True)
    return Opening(layers=lambda: (layer,))
