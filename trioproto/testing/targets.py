"""What is served: a factory, or what makes a protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from trioproto.factory import Factory as PureFactory
from trioproto.factory import P
from trioproto.runtime.factory import Factory

Target: TypeAlias = Factory[P] | Callable[[], P]


def factory_of(target: Target[P]) -> Factory[P]:
    """Return the factory that was given, or make one.

    Raises:
        TypeError: neither a factory nor something that makes protocols.
    """
    if isinstance(target, Factory):
        return target
    given: object = target
    if isinstance(given, type) and issubclass(given, PureFactory):
        raise TypeError(f"give a factory, {given.__name__}(...), and not its class")
    if not callable(given):
        problem = "give a factory, or a class or function that makes a protocol"
        raise TypeError(f"{problem}, and not {given!r:.100}")
    return Factory(target)
