"""The strategies: partitions of bytes, and frames that a codec can encode."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import find, given
from hypothesis import strategies as st

from tests.framing.formats import FEWER
from tests.testing.words import Words
from trioproto.framing import (
    AnyLineCodec,
    Codec,
    ContentLengthCodec,
    FixedSizeCodec,
    JsonLinesCodec,
    LengthFieldCodec,
    LineCodec,
    NetstringCodec,
    SlipCodec,
    VarintCodec,
)
from trioproto.testing import chunks, frames

CODECS: list[Callable[[], Codec[Any]]] = [
    lambda: LineCodec(max_length=20),
    lambda: LineCodec(b"\n\n"),
    lambda: AnyLineCodec((b"\r", b"\r\n", b"\n")),
    NetstringCodec,
    lambda: NetstringCodec(max_length=0),
    lambda: LengthFieldCodec(1, max_length=1000),
    lambda: LengthFieldCodec(2, offset=3, header=b"abc", strip=1, byteorder="little"),
    lambda: LengthFieldCodec(2, offset=1, strip=0, counts_header=True, max_length=0),
    lambda: LengthFieldCodec(1, adjustment=-2),
    lambda: LengthFieldCodec(1, adjustment=2),
    lambda: VarintCodec(max_length=300),
    lambda: FixedSizeCodec(7),
    lambda: JsonLinesCodec(max_length=30),
    ContentLengthCodec,
    lambda: SlipCodec(max_length=10),
]


@given(st.binary(max_size=50), st.data())
def test_chunks_are_the_data_and_none_is_empty(whole: bytes, data: st.DataObject) -> None:
    cut = data.draw(chunks(whole))
    assert b"".join(cut) == whole
    assert all(cut)


@pytest.mark.parametrize(
    "partition",
    [
        [b"abcd"],
        [b"a", b"bcd"],
        [b"ab", b"cd"],
        [b"abc", b"d"],
        [b"a", b"b", b"cd"],
        [b"a", b"bc", b"d"],
        [b"ab", b"c", b"d"],
        [b"a", b"b", b"c", b"d"],
    ],
)
def test_any_partition_may_come(partition: list[bytes]) -> None:
    assert find(chunks(b"abcd"), lambda cut: cut == partition) == partition


def test_bytes_may_come_one_by_one_however_many_they_are() -> None:
    assert find(chunks(bytes(1000)), lambda cut: len(cut) == 1000)


def test_chunks_shrink_to_one() -> None:
    assert find(chunks(b"abcdef"), lambda _cut: True) == [b"abcdef"]
    assert len(find(chunks(b"abcdef"), lambda cut: len(cut) > 1)) == 2


def test_few_bytes_have_few_partitions() -> None:
    assert find(chunks(b""), lambda _cut: True) == []
    assert find(chunks(b"a"), lambda _cut: True) == [b"a"]


@pytest.mark.parametrize("make", CODECS)
def test_frames_can_be_encoded_and_decoded_again(make: Callable[[], Codec[Any]]) -> None:
    @FEWER
    @given(frames(make()))
    def check(sent: list[Any]) -> None:
        codec = make()
        codec.feed(b"".join([codec.encode(frame) for frame in sent]))
        assert list(codec.frames()) == sent
        assert codec.empty

    check()


@pytest.mark.parametrize("codec", [LineCodec(), SlipCodec(), JsonLinesCodec(), VarintCodec()])
def test_there_are_many_frames_and_long_ones(codec: Codec[Any]) -> None:
    assert len(find(frames(codec), lambda sent: len(sent) > 3)) == 4
    find(frames(codec), lambda sent: any(len(codec.encode(frame)) > 10 for frame in sent))


def test_frames_go_up_to_the_limit() -> None:
    assert find(frames(NetstringCodec(max_length=5)), lambda sent: any(len(f) == 5 for f in sent))


def test_frames_of_an_unknown_codec_need_elements() -> None:
    with pytest.raises(TypeError, match=r"Words .* elements="):
        frames(Words())


@given(frames(Words(), elements=st.sampled_from([b"ab", b"cd"])))
def test_elements_are_what_frames_are_made_of(sent: list[bytes]) -> None:
    assert set(sent) <= {b"ab", b"cd"}


@given(frames(FixedSizeCodec(2), elements=st.sampled_from([b"ab", b"cd", b"e"])))
def test_elements_that_cannot_be_encoded_are_left_out(sent: list[bytes]) -> None:
    assert set(sent) <= {b"ab", b"cd"}


WITHOUT_HYPOTHESIS = """
import sys
sys.modules["hypothesis"] = None
from trioproto.framing import NetstringCodec
from trioproto.testing import (
    Harness, any_faults, chunks, frames, resets, short_writes, stalls, verify_codec, verify_protocol
)
verify_codec(NetstringCodec, [(b"1:a,", [b"a"])])
for make in (
    lambda: chunks(b"ab"),
    lambda: frames(NetstringCodec()),
    lambda: any_faults(1),
    lambda: resets(1),
    lambda: short_writes(1),
    lambda: stalls(1),
):
    try:
        make()
    except ImportError as error:
        print(error)
"""


def test_only_the_strategies_need_hypothesis() -> None:
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_HYPOTHESIS], capture_output=True, text=True, check=True
    )
    said = "the strategies need hypothesis, which is not installed"
    assert result.stdout.splitlines() == [said] * 6
