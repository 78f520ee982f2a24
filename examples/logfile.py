"""Append each line that anybody sends to a file."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO

from examples._options import options, run
from trioproto import Factory
from trioproto.framing import LineReceiver


class LoggingProtocol(LineReceiver):
    factory: "LogfileFactory"
    delimiter = b"\n"  # so nc ends a line; telnet sends \r\n

    def line_received(self, line: bytes) -> None:
        self.factory.log.write(line.removesuffix(b"\r") + b"\n")
        self.factory.log.flush()  # what was received survives us, however we end

    def eof_received(self) -> None:
        if rest := self.clear_line_buffer():  # a last line that was not ended
            self.line_received(rest)


class LogfileFactory(Factory):
    protocol = LoggingProtocol
    log: BinaryIO

    def __init__(self, path: str) -> None:
        self.path = path

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Hold the file open from before the first connection until after the last."""
        with open(self.path, "ab") as self.log:
            yield


def main() -> None:
    parser = options("logfile", __doc__)
    parser.add_argument("--file", default="lines.log", help="default: %(default)s")
    args = parser.parse_args()
    run(LogfileFactory(args.file), args)


if __name__ == "__main__":
    main()
