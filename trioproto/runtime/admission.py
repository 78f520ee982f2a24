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

import logging
from collections.abc import Hashable
from math import inf
from typing import TYPE_CHECKING, Any

import trio

from trioproto.layers.networks import peer_group
from trioproto.runtime.accept_rate import AcceptRate
from trioproto.runtime.slots import CountedSlot, Slot, WaitingSlot

if TYPE_CHECKING:
    from trioproto.factory import Factory
    from trioproto.sansio.addresses import Address
    from trioproto.sansio.settings import Settings

logger = logging.getLogger("trioproto")


class Admission:
    """The limits of one scope.

    Attributes:
        places: one for each connection that counts.
        handshakes: one for each TLS handshake of those, and of those who wait to begin one.
        peers: connections of each peer, or group of peers, that has any.
        refusals: connections that are being refused.
        waiting: the places that are waited for by accepted connections.
        over: whether nobody is to wait any more.
    """

    def __init__(self, factory: Factory[Any]) -> None:
        self._factory = factory
        self.places = trio.CapacityLimiter(inf)
        self.handshakes = trio.CapacityLimiter(inf)
        self.peers: dict[Hashable, int] = {}
        self.refusals = 0
        self.waiting: set[WaitingSlot] = set()
        self._rate = AcceptRate()
        self._turn = trio.Lock()
        self._changed = trio.Event()
        self._in_kernel: set[trio.CancelScope] = set()
        self._in_force = self.settings
        self._suspended: trio.Event | None = None
        self.over = False
        self._alarms: dict[str, float] = {}
        self.configure()

    @property
    def settings(self) -> Settings:
        """The limits in force."""
        return self._factory.settings

    def configure(self) -> None:
        """Take changed limits, at once; who is over one already stays."""
        before, now = self._in_force, self.settings
        self._in_force = now
        self.places.total_tokens = _tokens(now.max_connections)
        self.handshakes.total_tokens = _tokens(now.max_handshakes)
        self._rate.configure(now.max_accept_rate, trio.current_time())
        if _groups(before) != _groups(now):
            self._count_peers()
        self._changed.set()
        self._changed = trio.Event()
        if (before.at_limit, before.refuse_after) != (now.at_limit, now.refuse_after):
            for scope in self._in_kernel:
                scope.cancel()

    # Taking places

    def try_slot(self, *, handshake: bool = False) -> Slot | None:
        """Take a place if there is one, and nobody is waiting for one.

        When all is over, those who are still queued come in at any rate.

        Args:
            handshake: whether the connection begins with a TLS handshake.
        """
        if not self.over and (self._turn.locked() or not self._may_come_in()):
            return None
        slot = CountedSlot(self)
        try:
            slot.take_nowait(handshake=handshake)
        except trio.WouldBlock:
            slot.release()
            return None
        return slot

    async def wait_slot(self, *, handshake: bool = False, accepted: bool = False) -> Slot | None:
        """Do what the settings say is done when ``try_slot`` gives nothing.

        Args:
            handshake: as for ``try_slot``.
            accepted: whether the connection has been accepted, by somebody else. So
                many may wait as in the kernel's backlog; who comes then is refused.

        Returns:
            a place that was waited for, or one that the accepted connection has to
            wait for, or one that says that it is refused; ``None`` when all is over.
        """
        await trio.lowlevel.checkpoint()
        while True:
            while self._suspended is not None:
                await self._suspended.wait()
            slot = self.try_slot(handshake=handshake)
            if slot is not None or self.over:
                return slot
            settings = self.settings
            patient = settings.at_limit == "wait" and settings.refuse_after is None
            limit = self._limit_in_the_way(handshake=handshake)
            if limit is not None:
                self.reached(limit)
                if settings.at_limit == "refuse":
                    return self._refused(limit)
                if settings.refuse_after is not None:
                    if len(self.waiting) < settings.backlog:
                        return WaitingSlot(self, limit, handshake=handshake)
                    return self._refused(limit)
                if accepted and len(self._in_kernel) >= settings.backlog:
                    return self._refused(limit)
            elif not patient:
                # Those who have got their places are on their way in: in a moment it is clear.
                await trio.lowlevel.checkpoint()
                continue
            slot = await self._wait(handshake=handshake)
            if slot is not None:
                return slot

    def _refused(self, limit: str) -> Slot:
        slot = CountedSlot(self)
        slot.refuse(limit)
        return slot

    async def _wait(self, *, handshake: bool) -> Slot | None:
        """Wait for a place; if cancelled, none is taken.

        Returns:
            ``None`` if newcomers are not to wait like this any more.
        """
        slot = CountedSlot(self)
        with trio.CancelScope() as scope:
            self._in_kernel.add(scope)
            try:
                await self.take(slot, handshake=handshake)
            except BaseException:
                slot.release()
                raise
            finally:
                self._in_kernel.discard(scope)
            return slot
        return None

    async def take(self, slot: CountedSlot, *, handshake: bool) -> None:
        """Take a place as soon as there is one; if cancelled, what was taken is to be released.

        The handshake's comes first: who waits for that keeps nobody else waiting.
        For all the rest there is one queue, and who only waits holds no place.
        """
        if handshake:
            await slot.take_handshake()
        async with self._turn:
            while True:
                await self._wait_for_more_than_a_place()
                await slot.take_place()
                if self._may_come_in():
                    return
                slot.give_place_back()

    async def _wait_for_more_than_a_place(self) -> None:
        """Wait until the rate lets one come in, and the server is not suspended."""
        while not self._may_come_in():
            if self._suspended is not None:
                await self._suspended.wait()
            else:
                with trio.move_on_after(self._rate.wait(trio.current_time())):
                    await self._changed.wait()

    def _may_come_in(self) -> bool:
        """Whether nothing but a place is needed."""
        return self._suspended is None and not self._rate.wait(trio.current_time())

    def _limit_in_the_way(self, *, handshake: bool) -> str | None:
        """Return the limit for which there is no place; ``None``: others are before, at most."""
        if self.places.available_tokens < 1:
            return "max_connections"
        if handshake and self.handshakes.available_tokens < 1:
            return "max_handshakes"
        if self._rate.wait(trio.current_time()):
            return "max_accept_rate"
        return None

    def accepted(self) -> None:
        """Count a connection that has come in."""
        self._rate.use(trio.current_time())
        connections = self.places.borrowed_tokens
        soft = self.settings.soft_limit
        if soft is not None and connections >= soft and self.alarm("soft_limit"):
            self._factory.meet_soft_limit(connections, soft)

    def not_let_in(self) -> None:
        """Count it as if it had not come: it was refused after all."""
        self._rate.give_back()

    # Peers

    def group_of(self, peer: Address) -> Hashable | None:
        """Return as what *peer* is to be counted, if it is."""
        settings = self.settings
        if settings.max_per_peer is None:
            return None
        return peer_group(peer, settings.ipv4_prefix, settings.ipv6_prefix)

    def is_full(self, group: Hashable | None) -> bool:
        """Whether there is no room for one more of *group*."""
        limit = self.settings.max_per_peer
        return limit is not None and self.peers.get(group, 0) >= limit

    def peer_came(self, group: Hashable | None) -> Hashable | None:
        """Count a connection more, and return *group*."""
        if group is not None:
            self.peers[group] = self.peers.get(group, 0) + 1
        return group

    def peer_left(self, group: Hashable) -> None:
        """Count a connection less."""
        self.peers[group] -= 1
        if not self.peers[group]:
            del self.peers[group]

    def _count_peers(self) -> None:
        """Count all anew, because what makes one peer of them has changed."""
        self.peers.clear()
        for slot in {*self.places.statistics().borrowers, *self.waiting}:
            assert isinstance(slot, CountedSlot)
            slot.count_peer_anew()

    # News

    def reached(self, limit: str, peer: Address | None = None) -> None:
        """Tell that somebody, or this *peer*, has met a limit; not again and again."""
        if self.alarm(limit):
            maximum = getattr(self.settings, limit)
            by = "" if peer is None else f" by {peer}"
            waits = peer is None and self.settings.at_limit == "wait"
            then = "newcomers wait" if waits else "newcomers are refused"
            logger.warning("%s: the limit of %s is reached%s, %s", limit, maximum, by, then)
            self._factory._monitor.limit_reached(limit, maximum)

    def alarm(self, name: str) -> bool:
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
        """Let nobody wait any more: those who do are refused, or get a place that is none."""
        self.over = True
        self.resume()
        for slot in list(self.waiting):
            slot.turn_away()
        for scope in self._in_kernel:
            scope.cancel()


def _tokens(limit: int | None) -> float:
    return inf if limit is None else limit


def _groups(settings: Settings) -> tuple[bool, int, int]:
    """Return that on which it depends who are one peer."""
    return settings.max_per_peer is not None, settings.ipv4_prefix, settings.ipv6_prefix
