"""Events as records of the standard library's ``logging``.

Each event is one record: its text is a sentence, and what it is made of is in
``record.trioproto``, a dictionary of plain values that any JSON formatter writes::

    {"event": "connection.closed", "peer": "tcp:192.0.2.1:4711", "reason": "IdleTimeout", ...}
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from trioproto.monitoring.facts import facts
from trioproto.monitoring.source import Source, subscribe_to
from trioproto.sansio.events import EVENTS, Event
from trioproto.sansio.subscriptions import Subscription

LEVELS: Mapping[str, int] = {
    "connection.accepted": logging.DEBUG,
    "connection.opened": logging.DEBUG,
    "connection.error": logging.WARNING,  # its traceback is logged by the factory itself
    "limit.neared": logging.WARNING,
    "limit.reached": logging.WARNING,
    "callback.slow": logging.WARNING,
}
"""The levels of events that have another one than ``INFO``."""


def log_events(
    source: Source,
    logger: logging.Logger | None = None,
    levels: Mapping[str, int] | None = None,
) -> Subscription:
    """Log each event of *source* from now on.

    Args:
        source: a factory or a server.
        logger: where to; by default the logger ``trioproto.events``.
        levels: a level by the event's name, in place of the default; what is
            below the logger's own level is not even put together.

    Returns:
        What ends it: ``cancel()``, or leaving it as a context manager.

    Raises:
        ValueError: there is no event of a name in *levels*.
    """
    known = {event.name for event in EVENTS}
    unknown = sorted(set(levels or ()) - known)
    if unknown:
        raise ValueError(f"there are no events {', '.join(unknown)}")
    log = logging.getLogger("trioproto.events") if logger is None else logger
    level_of = {**LEVELS, **(levels or {})}

    def write(event: Event) -> None:
        level = level_of.get(event.name, logging.INFO)
        if log.isEnabledFor(level):
            log.log(level, "%s", event, extra={"trioproto": facts(event)})

    return subscribe_to(source, write)
