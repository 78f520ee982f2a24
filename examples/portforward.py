"""Forward each connection to another server, both ways.

It goes as fast as the slower end reads. Try it before the echo example:
--listen tcp:8008 --to tcp:127.0.0.1:8007
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

import trioproto
from examples._options import options, run
from trioproto import Factory, Protocol
from trioproto.endpoints import ClientEndpoint, parse_client_endpoint
from trioproto.errors import ConnectionClosed, ConnectionDone, EndpointError, ServerDraining


class Side(Protocol):
    """One of two connections. What comes in on it goes out on the other."""

    other: "Side"
    # It is the other side's reading that has to pause while output waits here.
    auto_pause = False

    def data_received(self, data: bytes) -> None:
        self.other.transport.write(data)

    def pause_writing(self) -> None:
        self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        self.other.transport.resume_reading()

    def eof_received(self) -> bool:
        if self.other.transport.can_write_eof:
            self.other.transport.write_eof()
        else:
            self.other.transport.close()  # TLS 1.2 cannot end one direction alone
        return True  # what comes the other way goes on

    def connection_lost(self, reason: ConnectionClosed) -> None:
        if isinstance(reason, ConnectionDone | ServerDraining):
            self.other.transport.close()
        else:
            self.other.transport.abort()  # a reset here is a reset there


class Incoming(Side):
    factory: "Forwarder"

    def connection_made(self) -> None:
        self.transport.pause_reading()  # until there is somewhere to write to
        # Not a task of this connection's: that ends with it, when the last bytes are under way.
        self.factory.tasks.start_soon(self.factory.forward, self)

    def connection_lost(self, reason: ConnectionClosed) -> None:
        if hasattr(self, "other"):
            super().connection_lost(reason)


class Outgoing(Side):
    def __init__(self, incoming: Incoming) -> None:
        self.other = incoming

    def connection_made(self) -> None:
        if self.other.transport.closing:  # the client has not waited for us
            self.transport.abort()
        self.other.other = self
        self.other.transport.resume_reading()


class Forwarder(Factory):
    protocol = Incoming
    idle_timeout = None  # an end may be silent for long; keepalive finds out who has gone
    tasks: trio.Nursery

    def __init__(self, target: ClientEndpoint) -> None:
        self.target = target

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        await self.target.prepare()
        async with trio.open_nursery() as self.tasks:
            yield
            self.tasks.cancel_scope.cancel()  # whoever still waits for the target

    async def forward(self, client: Incoming) -> None:
        server = Outgoing(client)
        try:
            async with trioproto.connect(self.target, server, settings=self.settings, within=self):
                await server.transport.wait_closed()
        except OSError as error:
            print(f"{client.transport.peer}: {error}", file=sys.stderr)
            client.transport.abort()


def main() -> None:
    parser = options("portforward", __doc__)
    parser.add_argument("--to", metavar="ENDPOINT", default="tcp:127.0.0.1:8008")
    args = parser.parse_args()
    try:
        target = parse_client_endpoint(args.to)
    except EndpointError as error:
        sys.exit(f"error: {error}")
    run(Forwarder(target), args)


if __name__ == "__main__":
    main()
