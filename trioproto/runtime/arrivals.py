"""What comes before a connection: who has come, and whether it is let in.

The order is always the same: the place that the connection was accepted for, its
PROXY header, the limit of its peer; then what is to talk to it is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import trio

from trioproto.runtime.arriving import Arrival
from trioproto.runtime.files import Files
from trioproto.runtime.groups import ungrouped
from trioproto.runtime.refusal import RefusingFactory, has_words
from trioproto.runtime.slots import UNCOUNTED
from trioproto.sansio.errors import (
    CallbackError,
    ConnectionClosed,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefused,
    HandshakeFailed,
    HandshakeTimeout,
    ServerCancelled,
    ServerDraining,
)

if TYPE_CHECKING:
    from trioproto.factory import Factory
    from trioproto.layers.opening import Networks, Opening
    from trioproto.layers.proxy_header import ProxyHeader
    from trioproto.runtime.scope import Scope
    from trioproto.runtime.slots import Slot
    from trioproto.sansio.addresses import Address
    from trioproto.sansio.driver import Driver
    from trioproto.sansio.layer import Layer

_SOFTLY = (ConnectionDone, ConnectionRefused, ServerDraining)
"""Why a connection may end before it begins, and its peer sees no reset."""


class Arrivals(Files):
    """The part of a driver that lets a connection in, or not.

    Attributes:
        scope: the scope that the connection belongs to.
        factory: what builds its protocol.
        arrival: its PROXY header, while that is awaited.
        begun: whether there is a ``connection``.
    """

    __slots__ = ("_slot", "_unwanted", "arrival", "begun", "factory", "scope")

    def __init__(self, scope: Scope, factory: Factory[Any] | None) -> None:
        super().__init__()
        self.scope = scope
        self.factory: Factory[Any] = factory or scope.factory
        self.arrival: Arrival | None = None
        self.begun = False
        self._unwanted = False
        self._slot: Slot = UNCOUNTED

    async def _receive_early(self) -> bytes | bytearray:
        """Receive bytes while there is no connection yet; ``b""`` is the peer's EOF."""
        raise NotImplementedError

    async def _close(self, *, reset: bool) -> None:
        """Close the stream, whatever its state; also when cancelled."""
        raise NotImplementedError

    def opened(self) -> None:
        """Take it that the handshake is over."""
        self._slot.opened()

    def exempt(self) -> None:
        """Count the connection in no limit any more."""
        self._slot.exempt()

    @property
    def refused(self) -> bool:
        """Whether the connection only tells its peer that it is refused."""
        return self._slot.refused is not None

    # Letting it in

    async def _wait_for(self, slot: Slot) -> None:
        """Wait for the place, if that has to be; if this raises, the stream is closed."""
        if not slot.waits:
            return
        try:
            with ungrouped():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._give_up_if_reset, slot)
                    await slot.wait()
                    nursery.cancel_scope.cancel()
        except BaseException:
            await self._close(reset=True)
            raise

    async def _give_up_if_reset(self, slot: Slot) -> None:
        """Keep no place in the queue for who has gone."""
        await self._wait_reset()
        self._unwanted = True
        slot.turn_away()

    async def _wait_reset(self) -> None:
        """Wait until the peer has reset the connection, if that can be seen."""
        await trio.sleep_forever()

    async def _arrive(self, peer: Address, local: Address, opening: Opening) -> bytes | None:
        """Find out who has come, and build what is to talk to it.

        Returns:
            What has come already; ``None`` if nobody is to talk to it. Then the stream
            is closed, as it is if this raises.
        """
        monitor = self.factory._monitor
        refused = self._slot.refused
        if refused is None:
            monitor.accepted(peer, local)
        else:
            monitor.refused(peer, local, refused)
        problem: ConnectionClosed | None = None
        try:
            header, rest = await self._meet(peer, opening)
            if header is not None:
                peer = header.source or peer
                local = header.destination or local
            self._let_in(peer, local, opening)
            layers = self._make_layers(opening, peer)
            driver = cast("Driver", self)  # as a whole it is one
            connection = self.factory.connect(driver, peer, local, layers)
            if connection is None:
                problem = ConnectionDone()
            else:
                self.connection = connection
                self.begun = True
                connection.proxy_header = header
                return rest
        except ConnectionClosed as reason:
            problem = reason.with_traceback(None)
        except Exception as exc:
            problem = CallbackError(self.factory.build_protocol.__qualname__, exc)
            raise
        except BaseException:
            problem = ServerCancelled()
            raise
        finally:
            if problem is not None:
                await self._close(reset=self._slot.silent or not isinstance(problem, _SOFTLY))
            limit = self._slot.refused
            if limit is not None:
                problem = ConnectionRefused(limit)
            if problem is not None and refused is None:
                monitor.never_begun(peer, local, problem)
        return None

    async def _meet(self, peer: Address, opening: Opening) -> tuple[ProxyHeader | None, bytes]:
        """Receive the PROXY header, if there is to be one; return also what came after it.

        Raises:
            ConnectionClosed: there is none, or nobody wants to know.
        """
        if self._unwanted or self.scope.ended:
            raise ServerCancelled
        if self._slot.refused is not None:
            self._refuse(self._slot.refused, opening)
        if opening.trusted is None:
            return None, b""
        return await self._receive_header(peer, opening.trusted)

    def _let_in(self, peer: Address, local: Address, opening: Opening) -> None:
        """Count the connection as its peer's, now that this is known, or see that it is refused.

        Raises:
            ConnectionRefused: it is, without a word.
        """
        slot = self._slot
        if opening.proxied and slot.refused is None:
            slot.claim(peer)
            if slot.refused is not None:
                self.factory._monitor.refused(peer, local, slot.refused)
                self._refuse(slot.refused, opening)

    def _refuse(self, limit: str, opening: Opening) -> None:
        """Have the peer told that it is refused, if there is something to say.

        Raises:
            ConnectionRefused: there is not, or too many are told already.
        """
        speaks = has_words(self.factory.settings, layered=opening.layered)
        if self._slot.silent or not speaks:
            raise ConnectionRefused(limit)
        self.factory = RefusingFactory(self.factory)

    def _make_layers(self, opening: Opening, peer: Address) -> tuple[Layer, ...]:
        """Make the layers; what is wrong with a context ends this connection only.

        Raises:
            CallbackError: there are none, which is logged.
        """
        try:
            return () if opening.layers is None else opening.layers()
        except Exception as exc:
            reason = CallbackError("making a connection's layers", exc)
            self.factory.report(peer, reason)
            raise reason from exc

    async def _receive_header(self, peer: Address, trusted: Networks) -> tuple[ProxyHeader, bytes]:
        """Receive the PROXY header; log why not.

        Raises:
            ConnectionClosed: there is none.
        """
        factory = self.factory
        arrival = self.arrival = Arrival(self._receive_early, factory.settings.handshake_timeout)
        if self.scope.draining:
            arrival.turn_away()
        try:
            return await arrival.header(peer, trusted)
        except (HandshakeFailed, HandshakeTimeout) as reason:
            factory.opening_failed(peer, reason)
            raise
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            raise ConnectionLost(str(exc)) from exc
        finally:
            self.arrival = None
