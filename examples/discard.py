"""Throw away whatever comes (RFC 863)."""

from examples._options import options, run
from trioproto import Factory, Protocol


class Discard(Protocol):
    def data_received(self, data: bytes) -> None:
        pass  # neither kept nor answered


class DiscardFactory(Factory):
    protocol = Discard
    # The RFC has no limit, but who is gone without a word must not keep a place for
    # ever. Any byte starts the time again, and somebody at a telnet may think for long.
    idle_timeout = 600


def main() -> None:
    args = options("discard", __doc__).parse_args()
    run(DiscardFactory(), args)


if __name__ == "__main__":
    main()
