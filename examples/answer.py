"""Answer questions, a line each. Try: How are you?"""

from examples._options import options, run
from trioproto import Factory
from trioproto.framing import LineReceiver


class Answer(LineReceiver):
    delimiter = b"\n"  # so nc ends a line; telnet sends \r\n, and the \r stays with the line
    answers = {b"How are you?": b"Fine"}

    def line_received(self, line: bytes) -> None:
        question = line.removesuffix(b"\r")
        self.send_line(self.answers.get(question, b"I don't know what you mean") + b"\r")


def main() -> None:
    args = options("answer", __doc__).parse_args()
    run(Factory(Answer), args)


if __name__ == "__main__":
    main()
