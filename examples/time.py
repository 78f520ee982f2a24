"""Tell each visitor the time as a 32-bit number (RFC 868), and close.

It counts the seconds since 1900, and begins again at 0 on 7 February 2036.
"""

import time
from collections.abc import Callable
from math import floor

from examples._options import options, run
from trioproto import Factory, Protocol

FROM_1900_TO_1970 = 2_208_988_800
"""The RFC's number for the moment at which Unix time begins."""


class Time(Protocol):
    factory: "TimeFactory"

    def connection_made(self) -> None:
        seconds = floor(self.factory.clock()) + FROM_1900_TO_1970
        self.transport.write((seconds % 2**32).to_bytes(4, "big"))
        self.transport.close()


class TimeFactory(Factory):
    protocol = Time

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock


def main() -> None:
    args = options("time", __doc__).parse_args()
    run(TimeFactory(), args)


if __name__ == "__main__":
    main()
