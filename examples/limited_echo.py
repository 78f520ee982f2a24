"""Echo for so many visitors at once, and no more.

The one too many is told so and closed. The factory can keep the limit itself;
with --howto the protocol counts, as in Twisted's "Writing Servers".
"""

from examples._options import options, run
from trioproto import Factory, Protocol
from trioproto.errors import ConnectionClosed

TOO_MANY = b"Too many connections, try later\r\n"


class Echo(Protocol):
    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


def limited_factory(limit: int) -> Factory:
    """The library counts: exact over all listeners, and no Echo is made for the one too many."""
    return Factory(Echo, max_connections=limit, at_limit="refuse", refusal=TOO_MANY)


class CountingEcho(Echo):
    """The howto's way: `connection_made` and `connection_lost` keep the count together."""

    factory: "CountingFactory"

    def connection_made(self) -> None:
        self.factory.num_protocols += 1
        if self.factory.num_protocols > self.factory.limit:
            self.transport.write(TOO_MANY)
            self.transport.close()

    def connection_lost(self, reason: ConnectionClosed) -> None:
        self.factory.num_protocols -= 1


class CountingFactory(Factory):
    protocol = CountingEcho
    max_connections = None  # the protocol's limit is the only one
    num_protocols = 0

    def __init__(self, limit: int) -> None:
        self.limit = limit


def main() -> None:
    parser = options("limited_echo", __doc__)
    parser.set_defaults(max_connections=100)
    parser.add_argument("--howto", action="store_true", help="count in the protocol")
    args = parser.parse_args()
    if args.max_connections < 1:
        parser.error("--max-connections must be at least 1")
    if args.howto:
        factory: Factory = CountingFactory(args.max_connections)
        args.max_connections = None
    else:
        factory = limited_factory(args.max_connections)
    run(factory, args)


if __name__ == "__main__":
    main()
