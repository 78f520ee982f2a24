"""An event as plain values, for whatever writes JSON."""

from __future__ import annotations

from dataclasses import fields
from typing import TypeAlias

from trioproto.sansio.events import Event

Fact: TypeAlias = str | int | float | bool | None

TEXT = 200
"""Characters of an error's text that are kept: it may show what a peer has sent."""


def facts(event: Event) -> dict[str, Fact]:
    """Return the event's name as ``event``, and its fields.

    Addresses are their text; of an error or a reason there is the name of its
    class, and its text under the same name with ``_text``. The transport is left
    out.
    """
    found: dict[str, Fact] = {"event": event.name}
    for field in fields(event):
        value = getattr(event, field.name)
        if field.name == "transport":
            continue
        if isinstance(value, BaseException):
            found[field.name] = type(value).__name__
            found[f"{field.name}_text"] = str(value)[:TEXT]
        elif value is None or isinstance(value, str | int | float):
            found[field.name] = value
        else:
            found[field.name] = str(value)
    return found
