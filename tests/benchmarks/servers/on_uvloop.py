"""The servers of ``on_asyncio`` on uvloop."""

from __future__ import annotations

import uvloop

from .on_asyncio import run_modes

if __name__ == "__main__":
    run_modes(uvloop.run)
