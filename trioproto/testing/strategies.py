"""What hypothesis needs to try codecs: frames, and the ways of cutting their bytes.

hypothesis is imported when a strategy is made, so that the rest of
``trioproto.testing`` works without it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

from trioproto.framing.codec import Codec
from trioproto.framing.content_length import ContentLengthCodec
from trioproto.framing.fixed import FixedSizeCodec
from trioproto.framing.json_lines import JsonLinesCodec
from trioproto.framing.length_field import LengthFieldCodec
from trioproto.framing.line_codec import LineCodec
from trioproto.framing.netstring import NetstringCodec
from trioproto.framing.slip import SlipCodec
from trioproto.framing.varint import VarintCodec
from trioproto.testing.partitions import in_pieces

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

FrameT = TypeVar("FrameT")

_TELLING = b"\r\n\x00\xc0\xdb\xdc\xdd:,09\x7f\x80\xff"
"""Bytes that mean something in some format."""


def chunks(data: bytes) -> SearchStrategy[list[bytes]]:
    """Return a strategy of all partitions of *data* into chunks, none of them empty.

    Joined, the chunks are *data*. Examples shrink to one chunk.

    Raises:
        ImportError: hypothesis is not installed.
    """
    require_hypothesis()
    from hypothesis import strategies as st

    if len(data) < 2:
        return st.just([data] if data else [])
    cut_anywhere, cut_evenly = _ways_of_cutting()
    return cut_anywhere(data) | cut_evenly(data)


@cache
def _ways_of_cutting() -> list[Callable[[bytes], SearchStrategy[list[bytes]]]]:
    """Return what makes strategies of partitions, of two bytes or more.

    They are not made with ``map``: what comes of that is shown as a call of the function.
    """
    from hypothesis import strategies as st

    @st.composite
    def cut_anywhere(draw: st.DrawFn, data: bytes) -> list[bytes]:
        places = sorted(draw(st.sets(st.integers(1, len(data) - 1))))
        return [data[begin:end] for begin, end in pairwise([0, *places, len(data)])]

    @st.composite
    def cut_evenly(draw: st.DrawFn, data: bytes) -> list[bytes]:
        half, last = len(data) - len(data) // 2, min(len(data) - 1, 16)
        sizes = sorted({half, *range(1, last + 1)}, reverse=True)
        return in_pieces(data, draw(st.sampled_from(sizes)))

    return [cut_anywhere, cut_evenly]


def frames(
    codec: Codec[FrameT], *, elements: SearchStrategy[FrameT] | None = None
) -> SearchStrategy[list[FrameT]]:
    """Return a strategy of lists of frames that *codec* can encode, and decode again.

    The codecs of ``trioproto.framing`` are known. For any other one, *elements*
    is a strategy of its frames::

        @given(frames(codec, elements=st.binary(max_size=10)).flatmap(...))

    Args:
        codec: whose frames; its state is not changed.
        elements: makes single frames; those that *codec* refuses to encode are
            left out.

    Raises:
        ImportError: hypothesis is not installed.
        TypeError: the codec is not known, and there are no *elements*.
    """
    require_hypothesis()
    from hypothesis import strategies as st

    if elements is None:
        elements = _elements(codec)
    return st.lists(elements.filter(lambda frame: _can_encode(codec, frame)))


def _elements(codec: Codec[Any]) -> SearchStrategy[Any]:
    """Return a strategy of what may be a frame of one of our codecs."""
    from hypothesis import strategies as st

    match codec:
        case FixedSizeCodec():
            return st.binary(min_size=codec.max_length, max_size=codec.max_length)
        case LengthFieldCodec():
            return _messages(codec)
        case JsonLinesCodec():
            return _json().filter(lambda value: len(codec.encode(value)) <= codec.max_length)
        case LineCodec():
            return _bytes(codec.max_length, codec.delimiter)
        case NetstringCodec() | VarintCodec() | ContentLengthCodec() | SlipCodec():
            return _bytes(codec.max_length)
    raise TypeError(f"which frames {type(codec).__name__} has is not known: give elements=")


def _bytes(max_length: int, telling: bytes = b"") -> SearchStrategy[bytes]:
    """Return a strategy of bytes, among which those that mean something are frequent."""
    from hypothesis import strategies as st

    special = st.lists(st.sampled_from(telling + _TELLING), max_size=max_length).map(bytes)
    return st.binary(max_size=max_length) | special


def _messages(codec: LengthFieldCodec) -> SearchStrategy[bytes]:
    """Return a strategy of frames whose length field, where it is kept, is right."""
    from hypothesis import strategies as st

    kept = codec._body - codec._strip

    def with_right_length(frame: bytes) -> bytes:
        message = codec.encode(frame)
        return message[len(message) - len(frame) :]

    candidates = st.binary(min_size=kept, max_size=kept + codec.max_length)
    return candidates.filter(lambda frame: _can_encode(codec, frame)).map(with_right_length)


def _json() -> SearchStrategy[Any]:
    """Return a strategy of values that come back from JSON as they were."""
    from hypothesis import strategies as st

    numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    single = st.none() | st.booleans() | numbers | st.text()
    return st.recursive(
        single,
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    )


def _can_encode(codec: Codec[FrameT], frame: FrameT) -> bool:
    try:
        codec.encode(frame)
    except ValueError:
        return False
    return True


def require_hypothesis() -> None:
    """Refuse to make a strategy without hypothesis.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import hypothesis  # noqa: F401
    except ImportError as error:
        problem = "the strategies need hypothesis, which is not installed"
        raise ImportError(problem, name="hypothesis") from error
