"""What is asked of every receiver of frames without a loop, and one more kind of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trioproto.errors import ConnectionClosed, FramingError
from trioproto.framing import FixedSizeCodec, FrameReceiver
from trioproto.testing import Harness
from trioproto.testing.conformance.kinds import KINDS, Kind, with_codec

__all__ = ["FIXED", "KINDS", "Kind", "Noting", "note"]

FIXED = Kind(
    with_codec(lambda: FixedSizeCodec(3)),
    "frame_received",
    (b"one", b"two", b"six", b"ten"),
    (b"one", b"two", b"six", b"ten"),
    b"",
    FramingError,
)


class Noting(FrameReceiver[Any]):
    """What ``note`` makes of a receiver: it notes all that it hears.

    Attributes:
        heard: the frames.
        errors: what ``framing_failed`` was called with.
        reasons: what ``connection_lost`` was called with.
    """

    heard: list[Any]
    errors: list[FramingError]
    reasons: list[ConnectionClosed]


def note(
    kind: Kind,
    then: Callable[[Noting, Any], None] = lambda receiver, frame: None,
    at_error: Callable[[Noting, FramingError], None] = lambda receiver, error: None,
    **settings: Any,
) -> tuple[Noting, Harness[Any]]:
    """Connect a receiver that notes what it hears, and then does as it was told."""

    def received(self: Noting, frame: Any) -> None:
        self.heard.append(frame)
        then(self, frame)

    def framing_failed(self: Noting, error: FramingError) -> None:
        self.errors.append(error)
        kind.base.framing_failed(self, error)
        at_error(self, error)

    def connection_lost(self: Noting, reason: ConnectionClosed) -> None:
        self.reasons.append(reason)

    members = {
        kind.callback: received,
        "framing_failed": framing_failed,
        "connection_lost": connection_lost,
        "heard": [],
        "errors": [],
        "reasons": [],
    }
    receiver: Any = type("Noting", (kind.base,), members)()
    harness: Harness[Any] = Harness(receiver, **settings)
    harness.connect()
    return receiver, harness
