"""Tell each visitor the date and time (RFC 867), and close."""

from collections.abc import Callable
from datetime import UTC, datetime

from examples._options import options, run
from trioproto import Factory, Protocol


class Daytime(Protocol):
    factory: "DaytimeFactory"

    def connection_made(self) -> None:
        # The first of the RFC's two forms: Tuesday, February 22, 1982 17:37:43-PST
        line = self.factory.clock().strftime("%A, %B %d, %Y %H:%M:%S-%Z\r\n")
        self.transport.write(line.encode("ascii"))
        self.transport.close()


def utc_now() -> datetime:
    return datetime.now(UTC)


class DaytimeFactory(Factory):
    protocol = Daytime

    def __init__(self, clock: Callable[[], datetime] = utc_now) -> None:
        self.clock = clock


def main() -> None:
    args = options("daytime", __doc__).parse_args()
    run(DaytimeFactory(), args)


if __name__ == "__main__":
    main()
