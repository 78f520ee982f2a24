"""Send the printable characters, turning, without end (RFC 864).

What comes is thrown away. It goes as fast as the caller reads.
"""

from examples._options import options, run
from trioproto import Factory, Protocol

PRINTABLE = bytes(range(0x20, 0x7F))
"""The 95 characters of the RFC's ring, from the space to the tilde."""
LINES = b"".join((PRINTABLE * 2)[first : first + 72] + b"\r\n" for first in range(95))
"""One whole turn: each line begins one character later, and the 96th is the first again."""


class Chargen(Protocol):
    # The output answers nothing: that it waits is no reason to stop hearing the caller.
    auto_pause = False

    def connection_made(self) -> None:
        # A task: while an async callback runs nothing is read, not even the caller's EOF.
        self.transport.start_soon(self.generate)

    async def generate(self) -> None:
        transport = self.transport
        at = 0
        while True:
            # So much that at most high_water bytes wait, however slowly the caller reads.
            room = transport.settings.high_water - transport.buffered
            chunk = LINES[at : at + room]
            await transport.send(chunk)
            at = (at + len(chunk)) % len(LINES)


class ChargenFactory(Factory):
    protocol = Chargen
    idle_timeout = None  # who listens need not speak; write_timeout ends who does not read


def main() -> None:
    args = options("chargen", __doc__).parse_args()
    run(ChargenFactory(), args)


if __name__ == "__main__":
    main()
