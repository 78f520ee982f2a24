"""A chat room. Say your name, then talk; everybody else hears it."""

from examples._options import options, run
from trioproto import Factory
from trioproto.errors import ConnectionClosed
from trioproto.framing import LineReceiver


class Chat(LineReceiver):
    factory: "ChatFactory"
    delimiter = b"\n"  # so nc ends a line; telnet sends \r\n
    max_length = 1000
    # What waits for a slow reader was said by others: that is no reason to stop
    # hearing the reader. Nobody waits for anybody here; max_buffered is the bound.
    auto_pause = False
    name = ""

    def connection_made(self) -> None:
        self.tell("What is your name?")

    def line_received(self, line: bytes) -> None:
        text = "".join(c for c in line.decode(errors="replace") if c.isprintable()).strip()
        if self.name and text:
            self.factory.tell_others(self, f"<{self.name}> {text}")
        elif text in self.factory.members:
            self.tell("That name is taken. What is your name?")
        elif text:
            self.name = text
            self.factory.members[text] = self
            self.tell(f"Welcome, {text}! Here are: {', '.join(self.factory.members)}")
            self.factory.tell_others(self, f"* {text} has come")

    def connection_lost(self, reason: ConnectionClosed) -> None:
        if self.name:
            del self.factory.members[self.name]
            self.factory.tell_others(self, f"* {self.name} has left")

    def tell(self, text: str) -> None:
        self.send_line(text.encode() + b"\r")


class ChatFactory(Factory):
    protocol = Chat
    idle_timeout = None  # listening without a word is what many do here
    max_buffered = 1024 * 1024  # who is more than this behind is dropped

    def __init__(self) -> None:
        self.members: dict[str, Chat] = {}

    def tell_others(self, speaker: Chat, text: str) -> None:
        """A write never waits, so one slow member delays none of the others."""
        for member in self.members.values():
            if member is not speaker:
                member.tell(text)


def main() -> None:
    args = options("chat", __doc__).parse_args()
    run(ChatFactory(), args)


if __name__ == "__main__":
    main()
