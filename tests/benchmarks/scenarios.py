"""What is measured: the scenarios, their servers and the targets, as data."""

from __future__ import annotations

from dataclasses import dataclass, replace

POLL = "trioproto poll"
STREAM = "trioproto stream"
UVLOOP = "uvloop Protocol"
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

    With ``own_cpu`` it is how many times more the reference spends on a request by itself: its
    CPU time less that of the program in C, which does nothing but the system calls. Where these
    are dear, a ratio of throughputs says more of the kernel than of the servers, and cannot pass
    what the program in C reaches.
    """

    server: str
    reference: str
    bound: float
    goal: float | None = None
    own_cpu: bool = False


@dataclass(frozen=True)
class Throughput:
    """Messages a second in a closed loop; ``line`` is a line's length, 0 for raw bytes."""

    size: int
    line: int = 0
    connections: int = 50

    unit = "req/s"
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
    """One table: servers that are alternated, how they are measured, what is to be reached.

    The first target's reference is the one that all rows are compared with.
    """

    name: str
    title: str
    measurement: Throughput | IdleMemory | Broadcast
    contenders: tuple[Contender, ...]
    targets: tuple[Target, ...]

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


ECHO_1K = Scenario(
    "echo_1k",
    "1 KiB echo",
    Throughput(1024),
    (
        Contender(POLL, "on_trioproto", "echo"),
        Contender(UVLOOP, "on_uvloop", "echo"),
        Contender(TWISTED, "on_twisted", "echo"),
        Contender(SERVE_TCP, "on_trio", "echo"),
        Contender(STREAM, "on_trioproto", "stream"),
        Contender("asyncio Protocol", "on_asyncio", "echo"),
        Contender(LIMIT, "limit", ""),
    ),
    (
        Target(POLL, UVLOOP, 0.70, goal=0.85),
        Target(POLL, TWISTED, 2.2),
        Target(POLL, SERVE_TCP, 3.0),
        # The two above, less the system calls of the machine that they were set on: there the
        # program in C took 3.68 us a request, Twisted 14.93 and trio 19.61; 2.2 times Twisted
        # is 6.78 us and so 11.25 / 3.10, 3 times trio is 6.54 us and so 15.93 / 2.86.
        Target(POLL, TWISTED, 3.6, own_cpu=True),
        Target(POLL, SERVE_TCP, 5.6, own_cpu=True),
        Target(STREAM, SERVE_TCP, 0.85),
    ),
)

ECHO_64K = Scenario(
    "echo_64k",
    "64 KiB echo",
    Throughput(64 * 1024),
    (
        Contender(POLL, "on_trioproto", "echo"),
        Contender(UVLOOP, "on_uvloop", "echo"),
        Contender(SERVE_TCP, "on_trio", "echo"),
        Contender(LIMIT, "limit", ""),
    ),
    (Target(POLL, UVLOOP, 0.85),),
)

LINES_16 = Scenario(
    "lines_16",
    "sixteen 64-byte lines a message, each answered",
    Throughput(16 * LINE, line=LINE),
    (
        Contender(POLL, "on_trioproto", "lines"),
        Contender("uvloop streams", "on_uvloop", "readline"),
        Contender("Twisted LineReceiver", "on_twisted", "lines"),
        Contender("uvloop split by hand", "on_uvloop", "split"),
        Contender("LineOnlyReceiver", "on_trioproto", "lines-only"),
    ),
    (
        Target(POLL, "uvloop streams", 5.0),
        Target(POLL, "Twisted LineReceiver", 2.0),
    ),
)


def async_lines(name: str, title: str, lines: int, bound: float) -> Scenario:
    return Scenario(
        name,
        title,
        Throughput(lines * LINE, line=LINE),
        (
            Contender(POLL, "on_trioproto", "async"),
            Contender("trio by hand", "on_trio", "lines"),
            Contender("trio, answers joined", "on_trio", "lines-joined"),
        ),
        (Target(POLL, "trio by hand", bound),),
    )


ASYNC_1 = async_lines("async_1", "async callback with a checkpoint, one line a message", 1, 1.15)
ASYNC_16 = async_lines("async_16", "the same, sixteen lines a message", 16, 1.7)

IDLE_MEMORY = Scenario(
    "idle_memory",
    "memory of an idle connection",
    IdleMemory(),
    (
        Contender(POLL, "on_trioproto", "echo-many"),
        Contender(SERVE_TCP, "on_trio", "echo"),
        Contender(STREAM, "on_trioproto", "stream-many"),
        Contender(UVLOOP, "on_uvloop", "echo"),
    ),
    (Target(POLL, SERVE_TCP, 0.7),),
)

IDLE_10K = Scenario(
    "idle_10k",
    "1 KiB echo while 10,000 idle connections are held",
    Throughput(1024),
    (
        Contender("poll, idle held", "on_trioproto", "echo-many", idle=10_000),
        Contender("poll, none", "on_trioproto", "echo-many"),
        Contender("uvloop, idle held", "on_uvloop", "echo", idle=10_000),
        Contender("uvloop, none", "on_uvloop", "echo"),
    ),
    (Target("poll, idle held", "poll, none", 0.85),),
)

BROADCAST = Scenario(
    "broadcast",
    "one line to 1,000 connections",
    Broadcast(),
    (
        Contender(POLL, "on_trioproto", "broadcast"),
        Contender("trio send_all loop", "on_trio", "broadcast"),
        Contender("poll, bytes written", "on_trioproto", "broadcast-bytes"),
        Contender("sock.send loop", "on_sockets", "broadcast"),
    ),
    (
        Target(POLL, "trio send_all loop", 0.5),
        Target("poll, bytes written", "trio send_all loop", 0.5),
    ),
)

SCENARIOS = (
    ECHO_1K, ECHO_64K, LINES_16, ASYNC_1, ASYNC_16, IDLE_MEMORY, IDLE_10K, BROADCAST,
)  # fmt: skip
