"""Who may come in: the one place where the limits of a scope are kept.

A connection has a slot from before it is accepted until it has ended. Every way
out gives it back, with all that it stands for: a place among all connections, one
among those of its peer, and one among the handshakes while it is in one.

At a limit the settings say what becomes of newcomers. They wait for a slot before
they are accepted, in the kernel's backlog; or they are accepted, and wait here for
a time; or they get a slot that says that they are refused. How many have come in
is exact, over all listeners and whichever way they came.
"""

from __future__ import annotations

from collections.abc import Hashable
from math import inf
from typing import TYPE_CHECKING, Any

import trio

from trioproto.layers.networks import peer_group

if TYPE_CHECKING:
    from trioproto.factory import Factory
    from trioproto.sansio.addresses import Address
    from trioproto.sansio.settings import Settings

REFUSALS = 64
"""Refusals on their way at once; who comes beyond that is reset without a word."""


class Slot:
    """The place of a connection that no limit counts, and what any slot can do.

    Attributes:
        refused: the limit for which the connection is refused, or ``None``.
        silent: whether too many are being refused to say a word to this one.
    """

    __slots__ = ()

    refused: str | None = None
    silent: bool = False

    async def __aenter__(self) -> None:
        """Wait for the place, if it has not been had yet."""

    async def __aexit__(self, *_: object) -> None:
        """Give it back."""
        self.release()

    def used(self) -> None:
        """Take it that a connection has been accepted for it."""

    def claim(self, peer: Address) -> None:
        """Count the connection as its peer's; it is ``refused`` then if that has too many."""

    def opened(self) -> None:
        """Take it that the handshake is over."""

    def exempt(self) -> None:
        """Count the connection no more."""

    def release(self) -> None:
        """Give back whatever is held; nothing is given back twice."""


UNCOUNTED = Slot()
"""For connections of our own making."""


class _Counted(Slot):
    """A place among the connections, or among the refused."""

    __slots__ = ("_admission", "_group", "_has_place", "_shakes_hands", "refused", "silent")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._has_place = False
        self._shakes_hands = False
        self._group: Hashable = None
        self.refused: str | None = None
        self.silent = False

    def take_nowait(self, *, handshake: bool) -> None:
        """Take what there is to take.

        Raises:
            WouldBlock: a limit is reached; what was taken is to be released.
        """
        if handshake:
            self._admission.handshakes.acquire_on_behalf_of_nowait(self)
            self._shakes_hands = True
        self._admission.places.acquire_on_behalf_of_nowait(self)
        self._has_place = True

    async def take(self, *, handshake: bool) -> None:
        """Take it as soon as it is there; if cancelled, what was taken is to be released."""
        if handshake:
            await self._admission.handshakes.acquire_on_behalf_of(self)
            self._shakes_hands = True
        await self._admission.places.acquire_on_behalf_of(self)
        self._has_place = True

    def refuse(self, limit: str) -> None:
        """Be a place among the refused, from now on."""
        self.release()
        self.refused = limit
        self._admission.refusals += 1
        self.silent = self._admission.refusals > REFUSALS

    def used(self) -> None:
        if self.refused is None:
            self._admission.accepted()

    def claim(self, peer: Address) -> None:
        if self.refused is not None:
            return
        settings = self._admission.settings
        if settings.max_per_peer is None:
            return
        group = peer_group(peer, settings.ipv4_prefix, settings.ipv6_prefix)
        if group is None:
            return
        count = self._admission.peers.get(group, 0)
        if count >= settings.max_per_peer:
            self._admission.reached("max_per_peer")
            self.refuse("max_per_peer")
        else:
            self._admission.peers[group] = count + 1
            self._group = group

    def opened(self) -> None:
        if self._shakes_hands:
            self._shakes_hands = False
            self._admission.handshakes.release_on_behalf_of(self)

    def exempt(self) -> None:
        if self._has_place:
            self._has_place = False
            self._admission.places.release_on_behalf_of(self)
        if self._group is not None:
            self._admission.peer_left(self._group)
            self._group = None

    def release(self) -> None:
        self.opened()
        self.exempt()
        if self.refused is not None:
            self.refused = None
            self._admission.refusals -= 1


class _Waiting(_Counted):
    """A place that is waited for by a connection which has been accepted already."""

    __slots__ = ("_handshake", "_scope")

    def __init__(self, admission: Admission, *, handshake: bool) -> None:
        super().__init__(admission)
        self._handshake = handshake
        self._scope = trio.CancelScope()
        admission.waiting.add(self)

    async def __aenter__(self) -> None:
        admission = self._admission
        self._scope.deadline = trio.current_time() + (admission.settings.refuse_after or 0)
        try:
            with self._scope:
                await admission.take(self, handshake=self._handshake)
        except BaseException:
            self.release()
            raise
        admission.waiting.discard(self)
        if self._scope.cancelled_caught:
            self.refuse(admission.limit_in_the_way(handshake=self._handshake))

    def turn_away(self) -> None:
        """Wait no longer: be refused."""
        self._scope.cancel()

    def release(self) -> None:
        self._admission.waiting.discard(self)
        super().release()


class Admission:
    """The limits of one scope.

    Attributes:
        places: one for each connection that counts.
        handshakes: one for each TLS handshake of those.
        peers: connections of each peer, or group of peers, that has any.
        refusals: connections that are being refused.
        waiting: the places that are waited for by accepted connections.
    """

    def __init__(self, factory: Factory[Any]) -> None:
        self._factory = factory
        self.places = trio.CapacityLimiter(inf)
        self.handshakes = trio.CapacityLimiter(inf)
        self.peers: dict[Hashable, int] = {}
        self.refusals = 0
        self.waiting: set[_Waiting] = set()
        self._next_accept = -inf
        self._suspended: trio.Event | None = None
        self._alarms: dict[str, float] = {}
        self.configure()

    @property
    def settings(self) -> Settings:
        """The limits in force."""
        return self._factory.settings

    def configure(self) -> None:
        """Take changed limits; who is over one already stays."""
        self.places.total_tokens = _tokens(self.settings.max_connections)
        self.handshakes.total_tokens = _tokens(self.settings.max_handshakes)

    # Taking places

    def try_slot(self, *, handshake: bool = False) -> Slot | None:
        """Take a place if there is one.

        Args:
            handshake: whether the connection begins with a TLS handshake.
        """
        if self._suspended is not None or self._next_accept > trio.current_time():
            return None
        slot = _Counted(self)
        try:
            slot.take_nowait(handshake=handshake)
        except trio.WouldBlock:
            slot.release()
            return None
        return slot

    async def wait_slot(self, *, handshake: bool = False) -> Slot:
        """Do what the settings say is done when ``try_slot`` gives nothing.

        Returns:
            a place that was waited for, or one that the accepted connection has to
            wait for, or one that says that it is refused.
        """
        await trio.lowlevel.checkpoint()
        while self._suspended is not None:
            await self._suspended.wait()
        slot = self.try_slot(handshake=handshake)
        if slot is not None:
            return slot
        limit = self.limit_in_the_way(handshake=handshake)
        self.reached(limit)
        settings = self.settings
        if settings.at_limit == "wait" and settings.refuse_after is None:
            return await self._wait(handshake=handshake)
        if settings.at_limit == "wait" and len(self.waiting) < settings.backlog:
            return _Waiting(self, handshake=handshake)
        refused = _Counted(self)
        refused.refuse(limit)
        return refused

    async def _wait(self, *, handshake: bool) -> Slot:
        """Wait for a place; if cancelled, none is taken."""
        slot = _Counted(self)
        try:
            await self.take(slot, handshake=handshake)
        except BaseException:
            slot.release()
            raise
        return slot

    async def take(self, slot: _Counted, *, handshake: bool) -> None:
        """Take a place as soon as there is one; if cancelled, what was taken is to be released."""
        await slot.take(handshake=handshake)
        while (early := self._next_accept - trio.current_time()) > 0 or self._suspended is not None:
            if self._suspended is not None:
                await self._suspended.wait()
            else:
                await trio.sleep(early)

    def limit_in_the_way(self, *, handshake: bool) -> str:
        """Return the limit for which there is no place now."""
        if self._next_accept > trio.current_time():
            return "max_accept_rate"
        if handshake and self.handshakes.available_tokens < 1:
            return "max_handshakes"
        return "max_connections"

    def accepted(self) -> None:
        """Count a connection that was accepted."""
        settings = self.settings
        now = trio.current_time()
        rate = settings.max_accept_rate
        if rate is not None:
            self._next_accept = max(self._next_accept, now - max(0, 1 - 1 / rate)) + 1 / rate
        connections = self.places.borrowed_tokens
        soft = settings.soft_limit
        if soft is not None and connections >= soft and self._alarm("soft_limit"):
            self._factory.meet_soft_limit(connections, soft)

    def peer_left(self, group: Hashable) -> None:
        """Count a connection of *group* less."""
        self.peers[group] -= 1
        if not self.peers[group]:
            del self.peers[group]

    # News

    def reached(self, limit: str) -> None:
        """Tell that somebody has met a limit; not again and again."""
        if self._alarm(limit):
            self._factory._monitor.limit_reached(limit, getattr(self.settings, limit))

    def _alarm(self, name: str) -> bool:
        """Whether it is time to give this alarm, again."""
        now = trio.current_time()
        last = self._alarms.get(name)
        if last is not None and now - last < self.settings.alarm_interval:
            return False
        self._alarms[name] = now
        return True

    # Letting nobody in

    def suspend(self) -> bool:
        """Let nobody in: newcomers wait, whatever the settings say. Return whether that is new."""
        if self._suspended is not None:
            return False
        self._suspended = trio.Event()
        return True

    def resume(self) -> bool:
        """Let them in again. Return whether that is new."""
        if self._suspended is None:
            return False
        self._suspended.set()
        self._suspended = None
        return True

    def turn_away(self) -> None:
        """Refuse those who were accepted and wait."""
        for slot in list(self.waiting):
            slot.turn_away()


def _tokens(limit: int | None) -> float:
    return inf if limit is None else limit
