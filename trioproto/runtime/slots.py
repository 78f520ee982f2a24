"""The place of one connection, and what it holds of the limits; given back on every way out."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from trioproto.runtime.admission import Admission
    from trioproto.sansio.addresses import Address

REFUSALS = 64
"""Refusals on their way at once; who comes beyond that is reset without a word."""


class Slot:
    """The place of a connection that no limit counts, and what any slot can do.

    Attributes:
        refused: the limit for which the connection is refused, or ``None``.
        silent: whether too many are being refused to say a word to this one.
        waits: whether the place has to be waited for.
    """

    __slots__ = ()

    waits: bool = False
    refused: str | None = None
    silent: bool = False

    async def __aenter__(self) -> None:
        """Hold it; there is nothing to wait for."""

    async def __aexit__(self, *_: object) -> None:
        """Give it back."""
        self.release()

    async def wait(self) -> None:
        """Wait for the place, if it has not been had yet; the connection may be refused then."""

    def turn_away(self) -> None:
        """Wait no longer, and be refused, if the place has not been had yet."""

    def used(self, peer: Address | None) -> None:
        """Take it that a connection has been accepted for it, whose *peer* may be known."""

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


class CountedSlot(Slot):
    """A place among the connections, or among the refused."""

    __slots__ = (
        "_admission",
        "_comes_in",
        "_group",
        "_has_place",
        "_peer",
        "_shakes_hands",
        "refused",
        "silent",
    )

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._comes_in = False
        self._has_place = False
        self._shakes_hands = False
        self._peer: Address | None = None
        self._group: Hashable | None = None
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

    async def take_handshake(self) -> None:
        """Take a place among the handshakes as soon as there is one."""
        await self._admission.handshakes.acquire_on_behalf_of(self)
        self._shakes_hands = True

    async def take_place(self) -> None:
        """Take a place among the connections as soon as there is one."""
        await self._admission.places.acquire_on_behalf_of(self)
        self._has_place = True

    def refuse(self, limit: str) -> None:
        """Be a place among the refused, from now on."""
        self.release()
        self.refused = limit
        self._admission.refusals += 1
        self.silent = self._admission.refusals > REFUSALS

    def used(self, peer: Address | None) -> None:
        """Have a connection counted that is not refused."""
        if peer is not None and self.refused is None:
            self.claim(peer)
        if self.refused is None:
            self._come_in()

    def _come_in(self) -> None:
        self._comes_in = True
        self._admission.accepted()

    def claim(self, peer: Address) -> None:
        """Count the connection as its peer's, or be refused."""
        self._peer = peer
        group = self._admission.group_of(peer)
        if self._admission.is_full(group):
            self._admission.reached("max_per_peer", peer)
            if self._comes_in:
                self._admission.not_let_in()
            self.refuse("max_per_peer")
        else:
            self._group = self._admission.peer_came(group)

    def count_peer_anew(self) -> None:
        """Count the connection as its peer's, if that is known already."""
        if self._peer is not None:
            self._group = self._admission.peer_came(self._admission.group_of(self._peer))

    def opened(self) -> None:
        """Give the place among the handshakes back."""
        if self._shakes_hands:
            self._shakes_hands = False
            self._admission.handshakes.release_on_behalf_of(self)

    def give_place_back(self) -> None:
        """Have no place among the connections any more."""
        if self._has_place:
            self._has_place = False
            self._admission.places.release_on_behalf_of(self)

    def exempt(self) -> None:
        """Give back all that counts connections."""
        self.give_place_back()
        if self._group is not None:
            self._admission.peer_left(self._group)
            self._group = None

    def release(self) -> None:
        """Give everything back."""
        self.opened()
        self.exempt()
        if self.refused is not None:
            self.refused = None
            self._admission.refusals -= 1


class WaitingSlot(CountedSlot):
    """A place that is waited for by a connection which has been accepted already."""

    __slots__ = ("_handshake", "_limit", "_scope")

    waits = True

    def __init__(self, admission: Admission, limit: str, *, handshake: bool) -> None:
        super().__init__(admission)
        self._handshake = handshake
        self._limit = limit
        self._scope = trio.CancelScope()
        admission.waiting.add(self)

    def _come_in(self) -> None:
        """Count nothing yet: who waits has not come in."""

    async def wait(self) -> None:
        """Wait for the place, for a time; be refused after it."""
        if self.refused is not None:
            return
        admission = self._admission
        self._scope.deadline = trio.current_time() + (admission.settings.refuse_after or 0)
        with self._scope:
            await admission.take(self, handshake=self._handshake)
        admission.waiting.discard(self)
        if self._scope.cancelled_caught and not (admission.over and self._takes_what_is_free()):
            self.refuse(self._limit)
        else:
            super()._come_in()

    def _takes_what_is_free(self) -> bool:
        """Take a place at the end of all waiting, as those do who come from the queue."""
        try:
            self.take_nowait(handshake=self._handshake and not self._shakes_hands)
        except trio.WouldBlock:
            return False
        return True

    def turn_away(self) -> None:
        """Wait no longer: be refused."""
        self._scope.cancel()

    def release(self) -> None:
        """Give everything back."""
        self._admission.waiting.discard(self)
        super().release()
