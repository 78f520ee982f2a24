"""The calculator example: JSON lines in, JSON lines out, and never an exception.

How it waits for one caller and not for another is shown in docs/examples.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from examples.calculator import LONGEST_DELAY, OPERATIONS, Calculator
from trioproto import run_protocol
from trioproto.errors import (
    ConnectionClosed,
    ConnectionDone,
    FrameTooLong,
    IncompleteFrame,
    MalformedFrame,
)

HUGE = 10**4000  # JSON may say it, and no float has room for it


async def converse(data: bytes) -> tuple[list[Any], ConnectionClosed]:
    """Say it all at once; return the answers, and why the connection ended."""
    ours, theirs = trio.testing.memory_stream_pair()
    calculator = Calculator()
    await ours.send_all(data)
    await ours.send_eof()
    reason = await run_protocol(calculator, theirs)
    received = b"".join([chunk async for chunk in ours])
    return [json.loads(line) for line in received.splitlines()], reason


async def answer(request: Any) -> Any:
    replies, reason = await converse(json.dumps(request).encode() + b"\n")
    assert type(reason) is ConnectionDone
    (reply,) = replies
    return reply


def shown(value: object) -> str:
    return ascii(value)[:20]


# Results


@pytest.mark.parametrize(
    ("name", "args", "result"),
    [
        ("add", [1, 2.5], 3.5),
        ("add", [2, 3], 5),
        ("sub", [2, 3], -1),
        ("mul", [-2, 2.5], -5.0),
        ("div", [7, 2], 3.5),
        ("div", [-0.5, 0.25], -2.0),
        ("pow", [-2, 3], -8),
        ("pow", [2, -1], 0.5),
        ("pow", [2, 1023], 2**1023),
        ("pow", [1, 10**300], 1),
        ("pow", [2, -(10**300)], 0.0),
        ("sqrt", [2.25], 1.5),
        ("sum", [], 0),
        ("sum", [1, 2, 3, 4.5], 10.5),
        ("delay", [0], 0),
    ],
)
async def test_an_operation_has_its_result(name: str, args: list[float], result: float) -> None:
    """An int stays an int where the operation leaves it one."""
    reply = await answer({"id": 1, "op": name, "args": args})
    assert reply == {"id": 1, "result": result}
    assert type(reply["result"]) is type(result)


@pytest.mark.parametrize("number", [0, -7, "a name", "", "\ud800", None, HUGE], ids=shown)
async def test_the_id_comes_back_as_it_was(number: Any) -> None:
    """Any string or int, or none."""
    assert await answer({"id": number, "op": "sum", "args": [1]}) == {"id": number, "result": 1}


async def test_answers_come_in_the_order_of_the_requests() -> None:
    """Many requests in one piece, good and bad ones, with empty lines between them."""
    requests = [{"id": i, "op": "div", "args": [1, i % 2]} for i in range(1000)]
    data = b"\n".join(json.dumps(request).encode() + b"\n" for request in requests)
    replies, _reason = await converse(data)
    good, bad = {"result": 1.0}, {"error": "division by zero"}
    assert replies == [{"id": i, **(good if i % 2 else bad)} for i in range(1000)]


# Bad requests


@pytest.mark.parametrize(
    ("name", "args", "error"),
    [
        ("div", [1, 0], "division by zero"),
        ("div", [1.5, 0.0], "division by zero"),
        ("pow", [0, -1], "not a real number"),
        ("pow", [-8, 0.5], "not a real number"),
        ("sqrt", [-1], "not a real number"),
        ("pow", [10, 309], "too large"),
        ("pow", [10**300, 10**300], "too large"),
        ("pow", [0.5, -(10**9)], "too large"),
        ("mul", [10**308, 10**308], "too large"),
        ("mul", [1e308, -10], "too large"),
        ("div", [10**308, 1e-300], "too large"),
        ("sum", [1e308, 1e308, -1e308], "too large"),
        ("add", [HUGE, 1], "too large"),
        ("sum", [HUGE, -HUGE], "too large"),
        ("add", [1], "add takes 2 numbers, not 1"),
        ("sqrt", [], "sqrt takes 1 numbers, not 0"),
        ("add", [1, "2"], "args are numbers"),
        ("add", [True, 1], "args are numbers"),
        ("sum", [[1]], "args are numbers"),
        ("sum", [None], "args are numbers"),
        ("delay", [LONGEST_DELAY + 0.1], "a delay is from 0 to 10 seconds"),
        ("delay", [-1], "a delay is from 0 to 10 seconds"),
    ],
)
async def test_what_has_no_result_has_an_error(name: str, args: list[Any], error: str) -> None:
    """One reply, with the request's id, and the connection stays."""
    assert await answer({"id": 7, "op": name, "args": args}) == {"id": 7, "error": error}


async def test_an_int_beyond_the_floats_is_too_large() -> None:
    """Who asks can go on."""
    replies, _reason = await converse(b'{"id":1,"op":"sum","args":[1%b]}\n' % (b"0" * 400))
    assert replies == [{"id": 1, "error": "too large"}]


@pytest.mark.parametrize("number", [b"1e999", b"-1e999"])
async def test_a_float_beyond_the_floats_is_no_json_of_ours(number: bytes) -> None:
    """It would be infinite, of which there is no JSON to answer with."""
    replies, reason = await converse(b'{"id":1,"op":"sum","args":[%b]}\n' % number)
    assert "too large" in replies[0]["error"]
    assert type(reason) is MalformedFrame


@pytest.mark.parametrize(
    "request_", [None, 1, "add", [], [1, 2], {}, {"op": "add"}, {"op": 1, "args": []},
                 {"op": ["add"], "args": [1, 2]}, {"op": "add", "args": {"0": 1, "1": 2}}],
    ids=str,
)  # fmt: skip
async def test_what_is_no_request_is_told_what_one_is(request_: Any) -> None:
    """Any JSON value may come; the connection stays."""
    error = 'a request is an object with "op" and "args"'
    assert await answer(request_) == {"id": None, "error": error}


async def test_an_unknown_operation_is_told_the_known_ones() -> None:
    """Its name is repeated, but not all of it."""
    reply = await answer({"id": 1, "op": "x" * 1000, "args": []})
    names = "add, sub, mul, div, pow, sqrt, sum, delay"
    assert reply == {"id": 1, "error": f"there is no {'x' * 20!r}, only {names}"}


@pytest.mark.parametrize("number", ["1.5", "[1]", "{}"])
async def test_an_id_that_is_neither_string_nor_int_is_left_out(number: str) -> None:
    """It might have no JSON, or much."""
    replies, _reason = await converse(b'{"id":%b,"op":"sum","args":[]}\n' % number.encode())
    assert replies == [{"id": None, "result": 0}]


FINITE = st.floats(allow_nan=False, allow_infinity=False)


def json_values() -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | st.integers() | FINITE | st.text()
    return st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


def requests() -> st.SearchStrategy[Any]:
    """Requests, more or less; none waits."""
    names = st.sampled_from(sorted(set(OPERATIONS) - {"delay"}))
    some = st.integers() | FINITE | st.sampled_from([1e308, -(10**308), HUGE])
    fields = {"id": json_values(), "op": names, "args": st.lists(some, max_size=3)}
    return st.fixed_dictionaries({}, optional=fields) | json_values()


@given(st.lists(requests()))
def test_any_json_is_answered(values: list[Any]) -> None:
    """Each line has one reply, whatever it is, with a result or an error."""
    lines = [json.dumps(value).encode() for value in values]
    replies, reason = trio.run(converse, b"".join(line + b"\n" for line in lines))
    assert type(reason) is ConnectionDone
    assert len(replies) == len(values)
    for reply in replies:
        assert set(reply) in ({"id", "result"}, {"id", "error"})


# What is no JSON


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"hello\n", "not JSON"),
        (b'{"id": 1\n', "not JSON"),
        (b"NaN\n", "not JSON"),
        (b"1" * 5000 + b"\n", "not JSON"),
        (b"\xff\n", "not UTF-8"),
        (b"[" * 16_000 + b"\n", "JSON"),
    ],
    ids=["words", "half an object", "NaN", "digits", "bytes", "brackets"],
)
async def test_what_is_no_json_ends_the_connection(data: bytes, problem: str) -> None:
    """What came before is answered, one last word says what is wrong, and nothing follows it."""
    good = b'{"id": 1, "op": "sum", "args": [1, 2]}\n'
    replies, reason = await converse(good + data + good)
    assert replies == [{"id": 1, "result": 3}, {"error": str(reason)}]
    assert type(reason) is MalformedFrame
    assert problem in str(reason)


async def test_a_line_too_long_ends_the_connection() -> None:
    """It is not waited for: 16 KiB and a byte are enough."""
    replies, reason = await converse(b"[" + b" " * Calculator.max_length)
    assert replies == [{"error": str(reason)}]
    assert type(reason) is FrameTooLong


async def test_half_a_request_is_not_answered() -> None:
    """The caller has ended in the middle of a line."""
    replies, reason = await converse(b'{"id": 1, "op": "sum", "args": []}')
    assert replies == []
    assert type(reason) is IncompleteFrame
