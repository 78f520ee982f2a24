"""A recorded session: what passed on one connection, to be replayed as a test."""

from __future__ import annotations

from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Self

from trioproto.testing.failures import tells_all
from trioproto.testing.harness import Harness
from trioproto.testing.session_replay import replay
from trioproto.testing.session_text import SessionError, Step, parse, to_text
from trioproto.testing.targets import Maker, made_by

__tracebackhide__ = tells_all

_CRLF = b"\r\n"


@dataclass(frozen=True)
class Session:
    r"""What a protocol has received and sent on a connection, in order.

    It is read from text that people have written, or a traffic log. As everywhere in the
    kit ``<`` is what the protocol under test receives, and ``>`` what it sends.

    Attributes:
        steps: what passed; consecutive lines with the same time are one step.
        name: what errors call it: the path of its file, if it has one.
        newline: what ends a line of text, and one that is to match a pattern.

    Raises:
        ValueError: there is no step, or *newline* is empty.
    """

    steps: tuple[Step, ...] = field(repr=False)
    name: str = "session"
    newline: bytes = _CRLF

    def __post_init__(self) -> None:
        if not self.steps or not self.newline:
            raise ValueError("a session has at least one step, and a newline at least one byte")

    @classmethod
    def parse(cls, text: str, *, name: str = "session", newline: bytes = _CRLF) -> Self:
        """Read a session from text.

        Args:
            text: its lines.
            name: what errors call it.
            newline: what ends a line of text, unless the text itself says so.

        Raises:
            SessionError: a line that cannot be read, or nothing was said.
            ValueError: an empty *newline*.
        """
        steps, newline = parse(text, name, newline)
        return cls(steps, name, newline)

    @classmethod
    def read(cls, path: str | PathLike[str], *, newline: bytes = _CRLF) -> Self:
        """Read a session from a file, in UTF-8.

        Raises:
            OSError: the file cannot be read.
            SessionError: as :meth:`parse`.
        """
        data = Path(path).read_bytes()
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise SessionError(str(path), line, "this is not UTF-8") from None
        return cls.parse(text, name=str(path), newline=newline)

    def to_text(self) -> str:
        """Return lines from which the same is read again.

        Times have six decimals. What looks like a line of text is written as one.

        Raises:
            ValueError: no line can say a step: it has no bytes; or its pattern has flags
                that are not in it, a newline, or bytes that are no text.
        """
        return to_text(self.steps, self.newline)

    def replay(self, target: Maker, *, times: bool = False) -> None:
        """Say to a protocol what the peer said; it must answer the same. No loop is needed.

        Before something is received, all that was sent before it must have come.
        More may have come, as long as it is what is sent next: how fast a protocol
        is does not count. In the end nothing else may have come. How the
        connection ends is not compared, unless the session says so (``>eof``).

        Callbacks must not be async: ``ScriptedPeer.replay`` does the same over a
        stream.

        Args:
            target: makes the protocol: a class or function, or a factory.
            times: let the time pass that passed between the steps, as far as it is
                known; otherwise none passes.

        Raises:
            TranscriptError: something else came; it names the line.
            AsyncCallbackError: a callback is async.
        """
        replay(self, Harness(made_by(target)), times=times)

    def place(self, step: Step) -> str:
        """Return where a step stands, for people."""
        return f"{self.name}, line {step.line}"

    def __str__(self) -> str:
        return Path(self.name).name


def read_sessions(
    folder: str | PathLike[str], pattern: str = "*.txt", *, newline: bytes = _CRLF
) -> list[Session]:
    """Read all sessions in a folder, in the order of their names.

    So each is a test of its own::

        @pytest.mark.parametrize("session", read_sessions("tests/sessions"), ids=str)
        def test_a_recorded_session(session: Session) -> None:
            session.replay(Chat)

    Raises:
        FileNotFoundError: there is none, so that nothing would be tested.
        SessionError: one cannot be read.
    """
    paths = sorted(Path(folder).glob(pattern))
    if not paths:
        raise FileNotFoundError(f"there is no {pattern} in {folder}")
    return [Session.read(path, newline=newline) for path in paths]
