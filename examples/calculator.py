"""Calculate. Each line is a request in JSON, and is answered by a line.

{"id": 1, "op": "add", "args": [1, 2.5]} is answered {"id": 1, "result": 3.5},
or {"id": 1, "error": "..."}. There are add, sub, mul, div, pow, sqrt, sum, and
delay, which waits for so many seconds (10 at most).
"""

import inspect
import math
import operator
from collections.abc import Callable
from typing import Any

import trio

from examples._options import options, run
from trioproto import Factory
from trioproto.errors import FramingError
from trioproto.framing import JsonLinesReceiver

LONGEST_DELAY = 10


class Refused(Exception):
    """A request cannot be answered; the argument is what the caller is told."""


def power(base: float, exponent: float) -> Any:
    math.pow(base, exponent)  # is quick to say that it is too large, or no real number
    return base**exponent


def total(*numbers: float) -> float:
    return sum(numbers)


async def delay(seconds: float) -> float:
    """Wait; this caller's next requests do so too, and nobody else's."""
    if not 0 <= seconds <= LONGEST_DELAY:
        raise Refused(f"a delay is from 0 to {LONGEST_DELAY} seconds")
    await trio.sleep(seconds)
    return seconds


OPERATIONS: dict[str, tuple[Callable[..., Any], int | None]] = {
    "add": (operator.add, 2),
    "sub": (operator.sub, 2),
    "mul": (operator.mul, 2),
    "div": (operator.truediv, 2),
    "pow": (power, 2),
    "sqrt": (math.sqrt, 1),
    "sum": (total, None),
    "delay": (delay, 1),
}
"""What is called, and with how many numbers; `None`: with any number of them."""


class Calculator(JsonLinesReceiver):
    max_length = 16_384

    async def json_received(self, value: Any) -> None:
        request = value if isinstance(value, dict) else {}
        # It is sent back, so it has to be something short.
        number = request.get("id")
        reply = {"id": number if isinstance(number, (str, int)) else None}
        try:
            reply["result"] = await calculate(request.get("op"), request.get("args"))
        except Refused as refusal:
            reply["error"] = str(refusal)
        self.send_json(reply)

    def framing_failed(self, error: FramingError) -> None:
        self.send_json({"error": str(error)})  # then the library closes


async def calculate(name: Any, args: Any) -> Any:
    if not isinstance(name, str) or not isinstance(args, list):
        raise Refused('a request is an object with "op" and "args"')
    if name not in OPERATIONS:
        raise Refused(f"there is no {name[:20]!r}, only {', '.join(OPERATIONS)}")
    function, count = OPERATIONS[name]
    if count is not None and len(args) != count:
        raise Refused(f"{name} takes {count} numbers, not {len(args)}")
    try:
        result = function(*map(checked, args))
        return checked(await result if inspect.isawaitable(result) else result)
    except ZeroDivisionError:
        raise Refused("division by zero") from None
    except OverflowError:
        raise Refused("too large") from None
    except ValueError:
        raise Refused("not a real number") from None


def checked(value: Any) -> int | float:
    """Refuse what is no number, and what a float has no room for, be it an int or not."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Refused("args are numbers")
    if not math.isfinite(value):  # raises an OverflowError itself for an int
        raise OverflowError
    return value


def main() -> None:
    args = options("calculator", __doc__).parse_args()
    run(Factory(Calculator), args)


if __name__ == "__main__":
    main()
