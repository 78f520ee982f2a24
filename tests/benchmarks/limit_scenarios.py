"""What limits and deadlines cost: a server with all of them against the same with none."""

from __future__ import annotations

from .scenario import LINE, Contender, IdleMemory, Scenario, Target, Throughput, Visits

ON = "all limits"
OFF = "no limits"

LIMITS_ECHO = Scenario(
    "limits_echo",
    "1 KiB echo, with all limits and deadlines and with none",
    Throughput(1024),
    (
        Contender(ON, "on_trioproto", "echo-limits"),
        Contender(OFF, "on_trioproto", "echo-no-limits"),
    ),
    (Target(ON, OFF, 0.95), Target(ON, OFF, 0.95, cpu=True)),
)

LIMITS_IDLE = Scenario(
    "limits_idle",
    "memory of an idle connection, with all limits and deadlines and with none",
    IdleMemory(),
    (
        Contender(ON, "on_trioproto", "echo-limits"),
        Contender(OFF, "on_trioproto", "echo-no-limits"),
    ),
    (Target(ON, OFF, 400, difference=True),),
)

LIMITS_ACCEPT = Scenario(
    "limits_accept",
    "accept, a line and its answer, close, while 10,000 idle connections are held",
    Visits(size=2 * LINE),
    (
        Contender(ON, "on_trioproto", "visit-limits", idle=10_000),
        Contender(OFF, "on_trioproto", "visit-no-limits", idle=10_000),
    ),
    (Target(ON, OFF, 0.9), Target(ON, OFF, 0.9, cpu=True)),
)

LIMIT_SCENARIOS = (LIMITS_ECHO, LIMITS_IDLE, LIMITS_ACCEPT)
