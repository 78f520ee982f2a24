"""Reasons and errors: whose family, what they say, and what they know."""

from __future__ import annotations

import copy
import pickle
from errno import EADDRINUSE
from typing import Any

import pytest

from trioproto import errors
from trioproto.errors import (
    CallbackError,
    CallbackTimeout,
    CloseTimeout,
    ConnectionClosed,
    ConnectionLost,
    ConnectionTimeout,
    EndpointError,
    FrameTooLong,
    FramingError,
    HandshakeTimeout,
    IdleTimeout,
    IncompleteFrame,
    ListenError,
    MalformedFrame,
    OutboundOverflow,
    TrioprotoError,
    WriteTimeout,
)

SPOKEN: list[tuple[TrioprotoError, str, dict[str, Any]]] = [
    (IdleTimeout(60), "IdleTimeout after 60 s", {"seconds": 60}),
    (WriteTimeout(0.25), "WriteTimeout after 0.25 s", {"seconds": 0.25}),
    (CloseTimeout(15), "CloseTimeout after 15 s", {"seconds": 15}),
    (HandshakeTimeout(10), "HandshakeTimeout after 10 s", {"seconds": 10}),
    (CallbackTimeout(5), "CallbackTimeout after 5 s", {"seconds": 5}),
    (
        OutboundOverflow(70, 64),
        "70 bytes of output waiting, max_buffered is 64",
        {"buffered": 70, "limit": 64, "setting": "max_buffered"},
    ),
    (
        OutboundOverflow(70, 64, "max_buffered_total"),
        "70 bytes of output waiting, max_buffered_total is 64",
        {"buffered": 70, "limit": 64, "setting": "max_buffered_total"},
    ),
    (FrameTooLong(16384), "frame longer than 16384 bytes", {"limit": 16384}),
    (
        MalformedFrame("a leading zero", 3),
        "a leading zero at offset 3 of the frame",
        {"problem": "a leading zero", "offset": 3},
    ),
    (IncompleteFrame(4), "end of input after 4 bytes of an unfinished frame", {"pending": 4}),
    (
        CallbackError("Echo.data_received", KeyError()),
        "error in Echo.data_received",
        {"callback": "Echo.data_received"},
    ),
    (
        EndpointError("tcp:x", "'x' is no port"),
        "endpoint 'tcp:x': 'x' is no port",
        {"endpoint": "tcp:x", "problem": "'x' is no port"},
    ),
    (
        ListenError("tcp:80", EADDRINUSE, "in use"),
        "cannot listen on 'tcp:80': in use",
        {"endpoint": "tcp:80", "errno": EADDRINUSE, "strerror": "in use"},
    ),
    (
        ListenError("tcp:80:interface=x", None, "no such host"),
        "cannot listen on 'tcp:80:interface=x': no such host",
        {"endpoint": "tcp:80:interface=x", "errno": None},
    ),
    (ConnectionLost("cut"), "cut", {}),
    (ConnectionLost(), "", {}),
]


@pytest.mark.parametrize(("error", "text", "attributes"), SPOKEN)
def test_an_error_says_what_happened_and_keeps_its_parts(
    error: TrioprotoError, text: str, attributes: dict[str, Any]
) -> None:
    assert str(error) == text
    assert {name: getattr(error, name) for name in attributes} == attributes


@pytest.mark.parametrize(("error", "text", "attributes"), SPOKEN)
@pytest.mark.parametrize("duplicate", [copy.copy, lambda it: pickle.loads(pickle.dumps(it))])
def test_an_error_can_be_copied_and_pickled(
    duplicate: Any, error: TrioprotoError, text: str, attributes: dict[str, Any]
) -> None:
    second = duplicate(error)
    assert type(second) is type(error)
    assert str(second) == text
    assert {name: getattr(second, name) for name in attributes} == attributes


def test_what_a_handler_may_want_to_catch_together_is_one_family() -> None:
    for kind in (HandshakeTimeout, IdleTimeout, WriteTimeout, CloseTimeout, CallbackTimeout):
        assert issubclass(kind, ConnectionTimeout)
    for frame in (FrameTooLong, MalformedFrame, IncompleteFrame):
        assert issubclass(frame, FramingError)
    assert issubclass(EndpointError, ValueError)
    assert issubclass(ListenError, OSError)
    assert not issubclass(ConnectionClosed, OSError)


def test_every_reason_is_a_connection_closed_and_the_other_errors_are_not() -> None:
    assert issubclass(ConnectionClosed, TrioprotoError)
    for name in errors.__all__:
        error = getattr(errors, name)
        others = (
            "NotSupported",
            "AsyncCallbackError",
            "EndpointError",
            "ListenError",
            "StringTooLong",
        )
        assert issubclass(error, ConnectionClosed) is (name not in (*others, "TrioprotoError"))


def test_every_name_is_an_error_of_this_library() -> None:
    kinds = [getattr(errors, name) for name in errors.__all__]
    assert len(kinds) == len(set(kinds))
    assert all(issubclass(kind, TrioprotoError) for kind in kinds)


def test_every_error_of_the_library_has_a_public_name() -> None:
    def family(kind: type[TrioprotoError]) -> set[type[TrioprotoError]]:
        return {kind}.union(*(family(each) for each in kind.__subclasses__()))

    ours = {
        each
        for each in family(TrioprotoError)
        if each.__module__.startswith("trioproto.") and ".testing." not in each.__module__
    }
    assert ours == {getattr(errors, name) for name in errors.__all__}
