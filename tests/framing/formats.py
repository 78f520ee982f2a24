"""What is asked of every format, in the same words."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from trioproto.errors import FrameTooLong, FramingError
from trioproto.framing import Codec
from trioproto.testing import chunks, frames

MakeCodec: TypeAlias = Callable[[], Codec[Any]]

FEWER = settings(max_examples=settings().max_examples // 2)
"""Many codecs that share their code are asked the same, and at every split elsewhere."""


def read(codec: Codec[Any], pieces: Iterable[bytes]) -> list[Any]:
    """Feed pieces; return the frames, and errors in their place, up to the one that ends it."""
    came: list[Any] = []
    for piece in pieces:
        codec.feed(piece)
        while True:
            try:
                came += codec.frames()
                break
            except FramingError as error:
                came.append(error)
                if codec.ended:
                    return came
    return came


def error_of(codec: Codec[Any], data: bytes) -> FramingError:
    """Return the error that *data* leads to."""
    error = read(codec, [data])[-1]
    assert isinstance(error, FramingError)
    return error


def attributes(error: FramingError) -> dict[str, object]:
    """Return what an error says, but for how much of a long frame had arrived."""
    said = {"type": type(error), **vars(error)}
    if isinstance(error, FrameTooLong):
        del said["begun"]
    return said


def check_round_trip(make: MakeCodec) -> None:
    """Frames that were encoded come back, however the bytes are cut."""

    @FEWER
    @given(frames(make()), st.data())
    def check(sent: list[Any], data: st.DataObject) -> None:
        codec = make()
        encoded = b"".join([codec.encode(frame) for frame in sent])
        assert read(codec, data.draw(chunks(encoded))) == sent
        assert codec.pending == 0

    check()


def check_any_partition(make: MakeCodec, *pieces: bytes) -> None:
    """Whatever bytes come, right or wrong: the partition makes no difference.

    Args:
        make: makes the codec.
        pieces: what the bytes are made of.
    """

    @FEWER
    @given(st.lists(st.sampled_from(pieces), max_size=20).map(b"".join), st.data())
    def check(sent: bytes, data: st.DataObject) -> None:
        outcomes = []
        for partition in ([sent], data.draw(chunks(sent))):
            codec = make()
            came = read(codec, partition)
            said = [attributes(item) if isinstance(item, FramingError) else item for item in came]
            outcomes.append((said, codec.pending, codec.take_rest()))
        assert outcomes[0] == outcomes[1]

    check()
