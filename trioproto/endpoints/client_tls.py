"""TLS to a server, over another endpoint."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import TypeAlias

import trio

from trioproto.endpoints.client import ClientEndpoint
from trioproto.layers.opening import Opening
from trioproto.layers.tls import TLSLayer
from trioproto.sansio.errors import EndpointError, HandshakeFailed

MakeContext: TypeAlias = Callable[[], ssl.SSLContext]


class TLSClientEndpoint(ClientEndpoint):
    """Another endpoint, to which connections begin with a TLS handshake.

    Args:
        inner: where to connect to.
        hostname: the name, or the address, that the server's certificate must have.
        context: what :func:`client_context` makes, or a context of your own; or
            what makes one, called once, in a thread.
        text: the endpoint as the user wrote it, for messages.

    Raises:
        ValueError: *inner* has TLS itself.
    """

    def __init__(
        self,
        inner: ClientEndpoint,
        hostname: str,
        context: ssl.SSLContext | MakeContext,
        *,
        text: str | None = None,
    ) -> None:
        if isinstance(inner, TLSClientEndpoint):
            raise ValueError(f"{inner.text!r} has TLS itself")
        self.inner = inner
        self.hostname = hostname
        self.text = text or f"tls over {inner.text}"
        self._context = context

    async def prepare(self) -> None:
        """Make the context, which may read files, and see that it serves.

        Raises:
            EndpointError: a file, the context or the host name is of no use.
            OSError: a file cannot be read.
        """
        await self.inner.prepare()
        if not isinstance(self._context, ssl.SSLContext):
            self._context = await trio.to_thread.run_sync(self._context, abandon_on_cancel=True)
        try:
            self._layers()
        except (ssl.SSLError, HandshakeFailed, ValueError) as exc:
            raise EndpointError(self.text, f"no TLS to {self.hostname!r}: {exc}") from exc

    async def open(self) -> trio.abc.Stream:
        """Connect; the handshake is the connection's.

        Raises:
            OSError: the inner endpoint cannot be reached.
        """
        return await self.inner.open()

    async def aclose(self) -> None:
        """Close what the inner endpoint was given."""
        await self.inner.aclose()

    def opening(self) -> Opening:
        """Return the handshake, to be gone through first."""
        return Opening(layers=self._layers, server_side=False)

    def _layers(self) -> tuple[TLSLayer, ...]:
        if not isinstance(self._context, ssl.SSLContext):
            self._context = self._context()
        return (TLSLayer(self._context, server_side=False, server_hostname=self.hostname),)
