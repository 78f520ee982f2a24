"""The machine: its cores, its limits, the compiler, and the facts that go into the results."""

from __future__ import annotations

import hashlib
import os
import platform
import resource
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
CHECKOUT = HERE.parent.parent
CACHE = CHECKOUT / ".bench"

CONGESTION = Path("/proc/sys/net/ipv4/tcp_congestion_control")

PACKAGES = ("trioproto", "trio", "uvloop", "twisted", "tricycle", "anyio")


class Unavailable(Exception):
    """Something that the suite needs is not on this machine."""


def cores() -> tuple[int, int]:
    """The server's core and the generator's; the same twice where there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[min(1, len(usable) - 1)]


def cache_directory() -> Path:
    """A directory in the checkout that git ignores by a file of its own."""
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    return CACHE


def build(source: Path) -> Path:
    """Compile one file of C, unless this very text has been compiled before.

    Raises:
        Unavailable: there is no compiler, or it refuses.
    """
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
    program = cache_directory() / f"{source.stem}-{digest}"
    if program.exists():
        return program
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        raise Unavailable(
            "the load generator is written in C and no C compiler (cc, gcc or clang) was found; "
            "install one, for example Debian's gcc and libc6-dev"
        )
    unfinished = program.with_suffix(f".{os.getpid()}")
    done = subprocess.run(
        [compiler, "-O2", "-o", unfinished, source], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Unavailable(f"{source.name} could not be compiled:\n{done.stderr}")
    return unfinished.rename(program)


def open_files_limit() -> int:
    """How many files a process may open at most."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if most != resource.RLIM_INFINITY else 1 << 20


def facts() -> dict[str, object]:
    """What a reader must know to compare: nothing that names the machine or its paths."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpu_count": os.cpu_count(),
        "usable_cpus": len(os.sched_getaffinity(0)),
        "tcp_congestion_control": CONGESTION.read_text().strip() if CONGESTION.exists() else None,
    }


def versions() -> dict[str, str | None]:
    return {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
