"""What a test is about: whatever makes a protocol, or is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, cast

from trioproto.factory import Factory as PureFactory
from trioproto.factory import P
from trioproto.runtime.factory import Factory
from trioproto.sansio.protocol import Protocol

Target: TypeAlias = PureFactory[P] | type[PureFactory[P]] | Callable[[], P] | P
"""A factory, its class, what makes a protocol (its class, or a function), or a protocol."""

Maker: TypeAlias = PureFactory[Any] | Callable[[], Protocol | PureFactory[Any]]
"""What makes a new protocol, or a new factory, for each connection; or a factory."""


def factory_of(target: Target[P]) -> Factory[P]:
    """Return the factory that was given, or make one.

    A protocol is that of the one connection that there may then be. What a pure factory
    cannot do is asked of none but that of a server.

    Raises:
        TypeError: it makes nothing.
    """
    if isinstance(target, PureFactory):
        return cast("Factory[P]", target)
    if isinstance(target, Protocol):
        return Factory(lambda: cast("Any", target))
    if isinstance(target, type) and issubclass(target, PureFactory):
        return cast("Factory[P]", target())
    if not callable(target):
        problem = "give a factory or its class, a protocol, or a class or function that makes one"
        raise TypeError(f"{problem}, and not {target!r:.100}")
    return Factory(cast("Callable[[], P]", target))


def made_by(maker: Maker) -> Protocol | PureFactory[Any]:
    """Return what a connection is about."""
    return maker if isinstance(maker, PureFactory) else maker()
