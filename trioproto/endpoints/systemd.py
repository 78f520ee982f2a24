"""Socket activation: which descriptors a process was started with.

The process that starts us has made the sockets, puts them from descriptor 3 on,
and says so in the environment: ``LISTEN_PID``, ``LISTEN_FDS`` and
``LISTEN_FDNAMES``. The variables stay as they are: a child process is told apart
by its process id.

Origin: sd_listen_fds(3).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

FIRST = 3
"""The first descriptor."""
_UNNAMED = "unknown"
"""What sd_listen_fds_with_names(3) calls a socket without a name."""
_DIGITS = 7
"""Those of the highest process id that Linux gives."""
_FIX = "start it by a .socket unit, or systemd-socket-activate"


@dataclass(frozen=True, slots=True)
class Activation:
    """The descriptors that a process was started with.

    Attributes:
        names: their names, in order.
    """

    names: tuple[str, ...]

    @classmethod
    def of_this_process(cls) -> Self:
        """Read the environment.

        Raises:
            LookupError: there are none, or they are meant for another process.
        """
        return cls.read(os.environ, os.getpid())

    @classmethod
    def read(cls, environment: Mapping[str, str], pid: int) -> Self:
        """Read an environment, as the process *pid*.

        Raises:
            LookupError: there are none, or they are meant for another process.
        """
        values = [environment.get(name, "") for name in ("LISTEN_PID", "LISTEN_FDS")]
        if not all(values):
            missing = "LISTEN_FDS" if values[0] else "LISTEN_PID"
            raise LookupError(f"no sockets were passed, {missing} is not set: {_FIX}")
        meant_for, count = map(_number, ("LISTEN_PID", "LISTEN_FDS"), values)
        if meant_for != pid:
            problem = f"the sockets are meant for process {meant_for}, and this is {pid}"
            raise LookupError(f"{problem}: it must be started without another process between")
        names = environment.get("LISTEN_FDNAMES")
        if names is None:
            return cls((_UNNAMED,) * count)
        found = tuple(names.split(":")) if count or names else ()
        if len(found) != count:
            raise LookupError(f"LISTEN_FDNAMES={names!r} names {len(found)} sockets, not {count}")
        return cls(found)

    def numbered(self, index: int) -> int:
        """Return the descriptor of a place, from 0.

        Raises:
            LookupError: fewer were passed.
        """
        if index >= len(self.names):
            problem = f"index {index} is one too many, {self._passed}"
            raise LookupError(f"{problem}: the first has index 0")
        return FIRST + index

    def named(self, name: str) -> list[int]:
        """Return all descriptors of a name, at least one.

        Raises:
            LookupError: there is none.
        """
        found = [FIRST + index for index, each in enumerate(self.names) if each == name]
        if not found:
            problem = f"no socket has the name {name!r}, {self._passed}"
            raise LookupError(f"{problem}: set FileDescriptorName= in the .socket unit")
        return found

    @property
    def _passed(self) -> str:
        names = ", ".join(map(repr, self.names))
        return f"{len(self.names)} were passed ({names})" if names else "none were passed"


def _number(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= _DIGITS):
        raise LookupError(f"{name} is {value!r}, and should be a number: {_FIX}")
    return int(value)
