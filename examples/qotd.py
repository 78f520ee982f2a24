"""Tell each visitor the quote of the day (RFC 865), and close."""

from examples._options import options, run
from trioproto import Factory, Protocol

APPLE = "An apple a day keeps the doctor away"


class QOTD(Protocol):
    factory: "QuoteFactory"

    def connection_made(self) -> None:
        self.transport.write(self.factory.quote + b"\r\n")
        self.transport.close()


class QuoteFactory(Factory):
    protocol = QOTD

    def __init__(self, quote: bytes) -> None:
        self.quote = quote


def main() -> None:
    parser = options("qotd", __doc__)
    parser.add_argument("--quote", default=APPLE, help=f"what to say (default: {APPLE})")
    args = parser.parse_args()
    run(QuoteFactory(args.quote.encode()), args)


if __name__ == "__main__":
    main()
