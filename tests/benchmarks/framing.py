"""Decoding alone: no socket, no server, one process in which the decoders take turns.

What is measured is the CPU time of the thread. Each decoder gets the same input once to be
checked and to warm up, then as often in a round as fills a twentieth of a second.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from statistics import median

from trioproto.framing import LengthFieldCodec, LineCodec, NetstringCodec

from . import framing_contenders as by
from .framing_chunks import ChunkCosts, measure_chunks
from .framing_inputs import INT32, LENGTH_FIELD, LINES, NETSTRINGS, Input
from .report import NOTHING, Row, table
from .scenario import Target

SLICE = 0.05
"""Seconds that a decoder has in a round."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Task:
    """One table: who decodes what, and what is to be reached. In MB/s, or in frames a second."""

    name: str
    title: str
    what: Input
    decoders: dict[str, by.Decoder]
    targets: tuple[Target, ...]
    unit: str = "MB/s"

    @property
    def reference(self) -> str:
        return self.targets[0].reference

    def rate(self, seconds: float) -> float:
        amount = self.what.total / 1e6 if self.unit == "MB/s" else self.what.frames
        return amount / seconds


RECEIVER = "our receiver"
CODEC = "our codec"
TWISTED = "Twisted"
TRICYCLE = "tricycle receive_exactly"
ANYIO = "anyio receive_exactly"

TASKS = (
    Task(
        "framing_lines",
        "lines of 64 bytes",
        LINES,
        {
            "our LineReceiver": by.with_receiver(by.Lines),
            "our LineOnlyReceiver": by.with_receiver(by.OnlyLines),
            "Twisted LineReceiver": by.with_twisted(by.TwistedLines),
            "Twisted LineOnlyReceiver": by.with_twisted(by.TwistedOnlyLines),
            CODEC: by.with_codec(LineCodec),
            "split by hand": by.split_by_hand,
            "tricycle receive_line": by.tricycle_receive_line,
            "anyio receive_until": by.anyio_lines,
        },
        (
            # Twisted's LineOnlyReceiver is a bare split, and no receiver can be three times that:
            # by hand, with nothing called, it is one and a half. It is shown beside.
            Target("our LineReceiver", "Twisted LineReceiver", 3.0),
            Target(CODEC, "split by hand", 0.8),
        ),
    ),
    Task(
        "framing_netstrings",
        "netstrings of 64 bytes",
        NETSTRINGS,
        {
            RECEIVER: by.with_receiver(by.Netstrings),
            TWISTED: by.with_twisted(by.TwistedNetstrings),
            CODEC: by.with_codec(NetstringCodec),
            "anyio receive_until, _exactly": by.anyio_netstrings,
        },
        (Target(RECEIVER, TWISTED, 3.0),),
    ),
    Task(
        "framing_int32",
        "Int32 strings of 1 KiB",
        INT32,
        {
            RECEIVER: by.with_receiver(by.Int32Strings),
            TWISTED: by.with_twisted(by.TwistedInt32Strings),
            CODEC: by.with_codec(LengthFieldCodec),
            TRICYCLE: by.tricycle_exactly,
            ANYIO: by.anyio_exactly,
        },
        (Target(RECEIVER, TWISTED, 1.3),),
    ),
    Task(
        "framing_length_field",
        "1 KiB with a length field of 2 bytes at 2, against Int32 strings of 1 KiB",
        LENGTH_FIELD,
        {
            RECEIVER: by.with_receiver(by.LengthFields),
            TWISTED: by.with_input(INT32, by.with_twisted(by.TwistedInt32Strings)),
            CODEC: by.with_codec(by.length_field_codec),
        },
        (Target(RECEIVER, TWISTED, 1.3),),
    ),
    Task(
        "framing_channel",
        "lines of 64 bytes, pulled out of a trio stream",
        LINES,
        {
            "FrameChannel async for": by.channel_loop,
            "tricycle async for": by.tricycle_loop,
            "tricycle receive_line": by.tricycle_receive_line,
            "FrameChannel receive_batch": by.channel_batches,
            "anyio receive_until": by.anyio_lines,
        },
        (
            Target("FrameChannel async for", "tricycle async for", 1.0),
            Target("FrameChannel async for", "tricycle receive_line", 1.0),
            Target("FrameChannel receive_batch", "anyio receive_until", 2.0),
            Target("FrameChannel receive_batch", "tricycle async for", 10.0),
            Target("FrameChannel receive_batch", "tricycle receive_line", 10.0),
        ),
        unit="lines/s",
    ),
)


@dataclass
class Rates:
    """What the rounds of a task gave."""

    task: Task
    rounds: dict[str, list[float]] = field(default_factory=dict)

    def value(self, decoder: str) -> float:
        return median(self.rounds[decoder])

    def ratio(self, decoder: str, reference: str) -> float:
        return self.value(decoder) / self.value(reference)

    def ratios(self, target: Target) -> list[float]:
        """Each round's own ratio: how far the rounds agree."""
        pairs = zip(self.rounds[target.server], self.rounds[target.reference], strict=True)
        return [ours / theirs for ours, theirs in pairs]


@dataclass(frozen=True)
class Framing:
    """All of it."""

    tasks: list[Rates]
    chunks: ChunkCosts

    def text(self) -> str:
        parts = [*map(task_text, self.tasks), self.chunks.text(), targets_text(self)]
        return "\n\n".join(parts) + "\n"

    def data(self) -> list[object]:
        return [*map(task_data, self.tasks), self.chunks.data()]


def measure(rounds: int, progress: Progress) -> Framing:
    tasks = [measure_task(task, rounds, progress) for task in TASKS]
    return Framing(tasks, measure_chunks(rounds, progress))


def measure_task(task: Task, rounds: int, progress: Progress) -> Rates:
    rates = Rates(task, {name: [] for name in task.decoders})
    passes = {name: warm_up(task, name) for name in task.decoders}
    for number in range(1, rounds + 1):
        for name, decode in task.decoders.items():
            gc.collect()
            seconds = sum(decode(task.what)[1] for _ in range(passes[name])) / passes[name]
            rates.rounds[name].append(task.rate(seconds))
            shown = rate_text(task.rate(seconds))
            progress(f"{task.name} {number}/{rounds} {name}: {shown} {task.unit}")
    return rates


def warm_up(task: Task, name: str) -> int:
    """Check that every frame is found; say how many passes make a round."""
    count, _ = task.decoders[name](task.what)
    if count != task.what.frames:
        raise AssertionError(f"{name} found {count} frames, not {task.what.frames}")
    _, seconds = task.decoders[name](task.what)
    return max(1, round(SLICE / seconds))


def rate_text(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"


def task_text(rates: Rates) -> str:
    task = rates.task
    head = ("decoder", task.unit, f"to {task.reference}", "ns/frame")
    return "\n".join((f"{task.name}: {task.title}", table([head, *rows(rates)])))


def rows(rates: Rates) -> Iterable[Row]:
    task = rates.task
    for name in task.decoders:
        rate = rates.value(name)
        seconds = task.rate(1.0) / rate
        yield (
            name, rate_text(rate), f"{rates.ratio(name, task.reference):.2f}",
            f"{seconds / task.what.frames * 1e9:,.0f}",
        )  # fmt: skip


def targets_text(framing: Framing) -> str:
    head = ("table", "decoder", "against", "ratio", "rounds", "target", "reached")
    found = [target_row(rates, target) for rates in framing.tasks for target in rates.task.targets]
    return table([head, *found, *framing.chunks.target_rows()], left=3)


def target_row(rates: Rates, target: Target) -> Row:
    ratio = rates.ratio(target.server, target.reference)
    each = rates.ratios(target)
    return (
        rates.task.name, target.server, target.reference, f"{ratio:.2f}",
        f"{min(each):.2f}..{max(each):.2f}" if each else NOTHING, f">= {target.bound:.2f}",
        "yes" if ratio >= target.bound else "NO",
    )  # fmt: skip


def task_data(rates: Rates) -> dict[str, object]:
    task = rates.task
    return {
        "name": task.name,
        "title": task.title,
        "unit": task.unit,
        "decoders": {
            name: {"median": rates.value(name), "rounds": rounds}
            for name, rounds in rates.rounds.items()
        },
        "targets": [
            {
                **asdict(target),
                "ratio": (ratio := rates.ratio(target.server, target.reference)),
                "ratios": rates.ratios(target),
                "reached": ratio >= target.bound,
            }
            for target in task.targets
        ],
    }
