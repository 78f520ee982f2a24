"""Let the clients run wild for long, over one driver after the other.

python -m tests.stampede --seconds 600 --seed 7 --driver poll
"""

from __future__ import annotations

import argparse
import logging
import time

import trio

from tests.hostile.places import DRIVERS
from tests.stampede.stampede import stampede, told


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, metavar="N", help="for each driver")
    parser.add_argument("--seed", type=int, default=int(time.time()), metavar="N")
    parser.add_argument("--driver", choices=DRIVERS, action="append", help="all by default")
    options = parser.parse_args()
    logging.getLogger("trioproto").addHandler(logging.NullHandler())
    logging.getLogger("trioproto").propagate = False
    for driver in options.driver or DRIVERS:
        print(f"{driver}, --seed {options.seed}", flush=True)
        print(told(trio.run(stampede, driver, options.seed, options.seconds)), flush=True)


if __name__ == "__main__":
    main()
