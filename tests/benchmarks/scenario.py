"""What a scenario is: servers that are alternated, how they are measured, what is to be reached."""

from __future__ import annotations

from dataclasses import dataclass, replace

POLL = "trioproto poll"
STREAM = "trioproto stream"
UVLOOP = "uvloop Protocol"
ASYNCIO = "asyncio Protocol"
TWISTED = "Twisted"
SERVE_TCP = "trio serve_tcp"
LIMIT = "C epoll (the limit)"

LINE = 64


@dataclass(frozen=True)
class Contender:
    """A server: the name that is shown, and the module and mode that run it.

    ``idle`` connections are opened and held while it is measured. A module ``limit`` is the
    program in C.
    """

    name: str
    module: str
    mode: str
    idle: int = 0


@dataclass(frozen=True)
class Target:
    """A bound on the ratio of one server's value to another's.

    With ``cpu`` it is how many times more CPU time the reference spends on a request: what the
    ratio would be if no server ever waited for the generator.

    With ``own_cpu`` it is how many times more the reference spends on a request by itself: its
    CPU time less that of the program in C, which does nothing but the system calls. Where these
    are dear, a ratio of throughputs says more of the kernel than of the servers, and cannot pass
    what the program in C reaches.

    With ``difference`` it is no ratio, but by how much one value is more than the other.
    """

    server: str
    reference: str
    bound: float
    goal: float | None = None
    cpu: bool = False
    own_cpu: bool = False
    difference: bool = False

    @property
    def against(self) -> str:
        how = ", CPU" * self.cpu + ", own CPU" * self.own_cpu + ", difference" * self.difference
        return self.reference + how


@dataclass(frozen=True)
class Throughput:
    """Messages a second in a closed loop; ``line`` is a line's length, 0 for raw bytes."""

    size: int
    line: int = 0
    connections: int = 50

    unit = "req/s"
    more_is_better = True


@dataclass(frozen=True)
class Visits:
    """Connections a second, each opened, used for one line and its answer, and closed.

    ``connections`` are under way at any time. Over TLS each shakes hands anew.
    """

    connections: int = 50
    size: int = LINE

    unit = "conn/s"
    more_is_better = True


@dataclass(frozen=True)
class IdleMemory:
    """Resident memory that each of ``connections`` costs, after ``first`` have warmed it up."""

    connections: int = 2_000
    first: int = 200

    unit = "bytes/conn"
    more_is_better = False


@dataclass(frozen=True)
class Broadcast:
    """The server's CPU time for each recipient of a line."""

    connections: int = 1_000
    size: int = LINE

    unit = "CPU us/rcpt"
    more_is_better = False


@dataclass(frozen=True)
class Scenario:
    """One table.

    The first target's reference is the one that all rows are compared with. With ``tls`` the
    servers get a key and a certificate, and the generator speaks TLS; with ``forwarded`` they are
    forwarders, and get the port of an echo server in C. ``programs`` must be on this machine.
    """

    name: str
    title: str
    measurement: Throughput | Visits | IdleMemory | Broadcast
    contenders: tuple[Contender, ...]
    targets: tuple[Target, ...]
    tls: bool = False
    forwarded: bool = False
    programs: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        return self.targets[0].reference

    def reached(self, ratio: float, bound: float) -> bool:
        return ratio >= bound if self.measurement.more_is_better else ratio <= bound

    def scaled_down(self, most: int) -> Scenario:
        """The same with at most so many idle connections, for a quick look."""
        contenders = tuple(replace(c, idle=min(c.idle, most)) for c in self.contenders)
        measurement = self.measurement
        if isinstance(measurement, IdleMemory):
            measurement = replace(measurement, connections=min(measurement.connections, most))
        return replace(self, measurement=measurement, contenders=contenders)
