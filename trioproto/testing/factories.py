"""What can be served."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, cast

from trioproto.factory import P
from trioproto.runtime.factory import Factory

Servable: TypeAlias = Factory[P] | type[Factory[P]] | Callable[[], P]
"""A factory, its class, or what makes a protocol."""


def factory_of(target: Servable[P]) -> Factory[P]:
    """Return the factory that was given, or make one.

    Raises:
        TypeError: it makes nothing.
    """
    if isinstance(target, Factory):
        return target
    if isinstance(target, type) and issubclass(target, Factory):
        return target()
    if not callable(target):
        problem = "give a factory, or a class or function that makes a protocol"
        raise TypeError(f"{problem}, and not {target!r:.100}")
    return Factory(cast("Callable[[], P]", target))
