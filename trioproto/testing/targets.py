"""What a test is about: whatever makes a protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

from trioproto.factory import Factory
from trioproto.sansio.protocol import Protocol
from trioproto.testing.harness import Harness

Target: TypeAlias = Factory[Any] | Callable[[], Protocol | Factory[Any]]
"""What makes the protocol of each conversation: a factory, or a class or function."""


def harness_of(target: Target, window: int | None = None, **settings: Any) -> Harness[Any]:
    """Return a harness for a new connection, which raises what user code raises."""
    made = target if isinstance(target, Factory) else target()
    factory: Factory[Any] = made if isinstance(made, Factory) else Factory(lambda: made)
    changed = replace(factory.settings, callback_errors="raise", **settings)
    return Harness(factory, settings=changed, window=window)
