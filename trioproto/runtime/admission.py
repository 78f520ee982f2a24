"""Who may come in: the one place where slots are taken and given back.

More kinds of limit belong here, behind the same two calls.
"""

from __future__ import annotations

from math import inf

import trio


class Slot:
    """The right to one connection, until it is released."""

    __slots__ = ("_limiter",)

    def __init__(self, limiter: trio.CapacityLimiter) -> None:
        self._limiter = limiter

    def release(self) -> None:
        """Give the slot back."""
        self._limiter.release_on_behalf_of(self)


class Admission:
    """The limits of one scope, exact over all its listeners."""

    def __init__(self, max_connections: int | None) -> None:
        self._limiter = trio.CapacityLimiter(inf if max_connections is None else max_connections)

    def set_limit(self, max_connections: int | None) -> None:
        """Change the limit; who is over it already stays."""
        self._limiter.total_tokens = inf if max_connections is None else max_connections

    def try_slot(self) -> Slot | None:
        """Take a slot if one is free."""
        slot = Slot(self._limiter)
        try:
            self._limiter.acquire_on_behalf_of_nowait(slot)
        except trio.WouldBlock:
            return None
        return slot

    async def wait_slot(self) -> Slot:
        """Take a slot, waiting for one; if cancelled, none is taken."""
        slot = Slot(self._limiter)
        await self._limiter.acquire_on_behalf_of(slot)
        return slot
