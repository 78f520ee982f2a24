"""Where to connect to in memory, and where to serve."""

from __future__ import annotations

from trioproto.endpoints.client import ClientEndpoint
from trioproto.endpoints.endpoint import Bound, ServerEndpoint
from trioproto.sansio.addresses import Address
from trioproto.testing.faults import NONE, Faults
from trioproto.testing.memory import MEMORY, MemoryStream
from trioproto.testing.memory_listener import MemoryListener


class MemoryClientEndpoint(ClientEndpoint):
    """A listener in memory, for ``connect`` and ``stay_connected``.

    So what connects out is tested, too. For example, a proxy in front of an echo::

        async with serving(Factory(Echo)) as echo:
            proxy = Forwarder(MemoryClientEndpoint(echo.listener))
            async with connected(proxy) as stream:
                ...

    Args:
        listener: what is connected to.
        to_server: what happens to the bytes on that way, of each connection.
        to_client: the same on the way back.
        peer: the address of the connecting side, as the server is to see it.
    """

    text = "memory"

    def __init__(
        self,
        listener: MemoryListener,
        *,
        to_server: Faults = NONE,
        to_client: Faults = NONE,
        peer: Address = MEMORY,
    ) -> None:
        self.listener = listener
        self._to_server = to_server
        self._to_client = to_client
        self._peer = peer

    async def open(self) -> MemoryStream:
        """Connect, as ``MemoryListener.connect`` does.

        Raises:
            ConnectionRefusedError: the listener is closed.
        """
        return await self.listener.connect(
            to_server=self._to_server, to_client=self._to_client, peer=self._peer
        )


class MemoryServerEndpoint(ServerEndpoint):
    """A listener in memory, whose address the server then knows."""

    text = "memory"

    def __init__(self, listener: MemoryListener) -> None:
        self._listener = listener

    async def bind(self) -> list[Bound]:
        """Take hold of the listener."""
        return [Bound(self._listener, self._listener.address, self.text, listens=True)]
