"""What a service can do, and what a test needs of it.

A test that says nothing needs what every service has. What more it needs stands
above it, and only services that have that are asked to show it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, TypeVar

Test = TypeVar("Test", bound=Callable[..., Any])

_TERMS = "conformance_terms"
"""The attribute of a test that keeps its terms."""


class Feature(Enum):
    """Something that a service may have or not; its value says what, in words."""

    ASYNC_CODE = "async callbacks and tasks"
    """User code may wait, with trio, and the factory's scope is entered and left."""
    DRAINS = "a drain"
    """``start_drain`` works: what has come is delivered, then ``quiesce`` is called."""
    SERVER = "a server"
    """A drain has its deadlines, and what one connection raises ends all of them."""
    HALF_CLOSE = "half-closed connections"
    """Each side can be ended alone, our own by ``write_eof``, the peer's by its EOF."""
    HALF_CLOSE_IS_OPTIONAL = "connections that are not half-closed, if asked for"
    """``half_close=False`` makes such ones."""
    RATES = "rates"
    """It reads and sends no faster than the settings say."""
    ENCRYPTS = "encryption"
    """What is on the wire are not the bytes that the protocol reads and writes."""
    SEES_RESETS = "resets that are seen at once"
    """A reset is noticed when it happens, and not at the next read or write."""
    SENDS_AT_ONCE = "output that is sent from within a callback"
    """``Driver.offer`` sends what can be sent without waiting."""
    READS_ON = "input that waits to be read"
    """``Driver.read_more`` returns what has come: a drain delivers that too."""
    EXACT_WINDOW = "peers that take an exact number of bytes"
    """``Peer.allow`` works."""
    ERROR_NUMBERS = "error numbers"
    """A loss has an ``OSError`` with its ``errno`` among its causes."""
    SOCKET_OPTIONS = "socket options"
    """``getsockopt`` and ``setsockopt`` reach a socket."""
    ADDRESSES = "addresses"
    """``Peer.address`` and ``Peer.server_address`` tell both ends'."""


@dataclass(frozen=True)
class Terms:
    """What a test needs.

    Attributes:
        needed: features that a service must have.
        unwanted: features that it must not have.
        argument: the name of an argument that takes several values, each with
            needs of its own; ``""``: there is none.
        values: these values.
    """

    needed: frozenset[Feature] = frozenset()
    unwanted: frozenset[Feature] = frozenset()
    argument: str = ""
    values: tuple[tuple[str, frozenset[Feature]], ...] = ()

    def missing(self, features: Collection[Feature], more: Iterable[Feature] = ()) -> str:
        """Say in words why a service with these *features* cannot show it; ``""``: it can."""
        absent = self.needed.union(more).difference(features)
        present = self.unwanted.intersection(features)
        return "; ".join(
            f"{said}: {', '.join(each.value for each in Feature if each in which)}"
            for said, which in (("needs", absent), ("not with", present))
            if which
        )


def needs(*features: Feature) -> Callable[[Test], Test]:
    """Decorate a test that only services with all of these features can show."""
    return _changed(lambda terms: replace(terms, needed=terms.needed.union(features)))


def lacks(*features: Feature) -> Callable[[Test], Test]:
    """Decorate a test that only services with none of these features can show."""
    return _changed(lambda terms: replace(terms, unwanted=terms.unwanted.union(features)))


def each(argument: str, values: Mapping[str, Collection[Feature]]) -> Callable[[Test], Test]:
    """Decorate a test that is run with each of these values, where it has what the value needs."""
    pairs = tuple((value, frozenset(features)) for value, features in values.items())
    return _changed(lambda terms: replace(terms, argument=argument, values=pairs))


def terms_of(test: Callable[..., Any]) -> Terms:
    """Return what a test needs, with what its module says of all its tests (``NEEDS``)."""
    terms: Terms = vars(test).get(_TERMS, Terms())
    everywhere = getattr(sys.modules[test.__module__], "NEEDS", ())
    return replace(terms, needed=terms.needed.union(everywhere))


def _changed(change: Callable[[Terms], Terms]) -> Callable[[Test], Test]:
    def decorate(test: Test) -> Test:
        vars(test)[_TERMS] = change(vars(test).get(_TERMS, Terms()))
        return test

    return decorate
