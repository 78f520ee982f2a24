"""Fuzz every decoder, guided by the coverage of their code.

    python -m tests.fuzz.fuzz_atheris --seconds 600 [libFuzzer's options]

What is refused is written to a file in `.fuzz`, whose name libFuzzer shows; `--again FILE` tries
it once more. Inputs that reach something new are kept there too, and the next run begins with them.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from .options import parse


def main() -> None:
    options, others = parse(__doc__)
    atheris: Any = import_module("atheris")  # not on every machine
    with atheris.instrument_imports(include=["trioproto.framing"]):
        check = import_module("tests.fuzz.oracle").check
    if options.again:
        check(options.again.read_bytes())
        return
    kept = directory()
    atheris.Setup(
        [
            sys.argv[0], f"-max_total_time={options.seconds}", f"-artifact_prefix={kept}/",
            "-max_len=128", "-timeout=20", "-verbosity=0",
            "-print_final_stats=1", *others, str(kept / "corpus"),
        ],
        check,
    )  # fmt: skip
    atheris.Fuzz()


def directory() -> Path:
    """A directory in the checkout that git ignores by a file of its own."""
    kept = Path(__file__).parent.parent.parent / ".fuzz"
    (kept / "corpus").mkdir(parents=True, exist_ok=True)
    (kept / ".gitignore").write_text("*\n")
    return kept


if __name__ == "__main__":
    main()
