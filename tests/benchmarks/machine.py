"""The machine: its cores, its limits, the compiler, and the facts that go into the results."""

from __future__ import annotations

import hashlib
import os
import platform
import resource
import shutil
import ssl
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
CHECKOUT = HERE.parent.parent
CACHE = CHECKOUT / ".bench"

CONGESTION = Path("/proc/sys/net/ipv4/tcp_congestion_control")

PACKAGES = ("trioproto", "trio", "uvloop", "twisted", "tricycle", "anyio")

GENERATOR = HERE / "loadgen"
LIMIT = HERE / "servers" / "limit.c"


class Unavailable(Exception):
    """Something that the suite needs is not on this machine."""


def cores() -> tuple[int, int, int]:
    """The server's core, the generator's and a backend's; the last again where they are fewer."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[min(1, len(usable) - 1)], usable[min(2, len(usable) - 1)]


def cache_directory() -> Path:
    """A directory in the checkout that git ignores by a file of its own."""
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    return CACHE


@cache
def generator() -> Path:
    """The load generator, which speaks TLS if it can be compiled with it.

    Raises:
        Unavailable: there is no compiler, or it refuses.
    """
    with_tls = ("-DWITH_TLS", "-lssl", "-lcrypto") if has_openssl() else ()
    return build("loadgen", sorted(GENERATOR.glob("*.[ch]")), with_tls)


@cache
def limit() -> Path:
    """The server in C.

    Raises:
        Unavailable: there is no compiler, or it refuses.
    """
    return build("limit", [LIMIT])


@cache
def has_openssl() -> bool:
    """Whether OpenSSL's headers are there.

    Raises:
        Unavailable: there is no compiler.
    """
    command = [_compiler(), "-E", "-x", "c", "-"]
    text = "#include <openssl/ssl.h>\n"
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return done.returncode == 0


def build(name: str, sources: Sequence[Path], options: Sequence[str] = ()) -> Path:
    """Compile files of C, headers among them, unless these very texts have been compiled before.

    Raises:
        Unavailable: there is no compiler, or it refuses.
    """
    texts = [source.read_bytes() for source in sources]
    digest = hashlib.sha256(b"\0".join([*texts, *map(str.encode, options)])).hexdigest()[:12]
    program = cache_directory() / f"{name}-{digest}"
    if program.exists():
        return program
    unfinished = program.with_suffix(f".{os.getpid()}")
    files = [source for source in sources if source.suffix == ".c"]
    command = [_compiler(), "-O2", "-o", str(unfinished), *map(str, files), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable(f"{name} could not be compiled:\n{done.stderr}")
    return unfinished.rename(program)


def _compiler() -> str:
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        raise Unavailable(
            "the load generator is written in C and no C compiler (cc, gcc or clang) was found; "
            "install one, for example Debian's gcc and libc6-dev"
        )
    return compiler


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
        "openssl": ssl.OPENSSL_VERSION,
        "tcp_congestion_control": CONGESTION.read_text().strip() if CONGESTION.exists() else None,
    }


def versions() -> dict[str, str | None]:
    return {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
