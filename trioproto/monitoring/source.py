"""What is watched: a factory, or the server that serves it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from trioproto.factory import Factory
from trioproto.runtime.server import Server
from trioproto.sansio.counts import Statistics
from trioproto.sansio.events import Event
from trioproto.sansio.subscriptions import Subscription

Source: TypeAlias = Factory[Any] | Server[Any]
"""A factory, before, while and after it is served; or a server, for its factory."""


def statistics_of(source: Source) -> Statistics:
    """Return its numbers, whatever methods a user's factory has."""
    factory = _factory_of(source)
    return factory._monitor.statistics(factory._buffered)


def subscribe_to(source: Source, callback: Callable[[Event], object]) -> Subscription:
    """Have *callback* hear of its events."""
    return _factory_of(source)._monitor.subscribe(callback)


def _factory_of(source: Source) -> Factory[Any]:
    factory = source.factory if isinstance(source, Server) else source
    if not isinstance(factory, Factory):
        raise TypeError(f"{source!r:.100} is neither a factory nor a server")
    return factory
