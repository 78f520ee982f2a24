"""Send back whatever comes."""

from examples._options import options, run
from trioproto import Factory, Protocol


class Echo(Protocol):
    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


def main() -> None:
    args = options("echo", __doc__).parse_args()
    run(Factory(Echo), args)


if __name__ == "__main__":
    main()
