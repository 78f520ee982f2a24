"""What is run before a change goes in: `nox` runs lint, typing and tests.

Names and versions of what is installed stand in pyproject.toml and nowhere else.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import nox
from nox.command import CommandFailed

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)  # from the classifiers

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "typing", "tests"]
nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = True


def install_with(session: nox.Session, *groups: str) -> None:
    """Install the package, editable, and all that the dependency groups list."""
    session.install("-e", ".")  # first: the groups' `trioproto[...]` then is this one, for any pip
    session.install(*nox.project.dependency_groups(PYPROJECT, *groups))


@nox.session
def lint(session: nox.Session) -> None:
    """Look for mistakes and check the formatting."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def typing(session: nox.Session) -> None:
    """Check the types of the package, the examples and the tests, with mypy and pyright."""
    install_with(session, "typing")
    session.run("mypy")
    session.run("pyright", "--pythonpath", str(Path(session.bin, "python")))


@nox.session
def typing_trio_typing(session: nox.Session) -> None:
    """Check a small application as a user of trio-typing and of an older mypy would."""
    session.install("--force-reinstall", "--no-deps", ".")  # never a copy of an earlier run
    session.install("trioproto", "trio-typing[mypy]==0.10.*", "mypy<1.11")
    folder = Path(session.create_tmp())  # from the checkout mypy would read the checkout's package
    for name in ("consumer.py", "trio_typing.ini"):
        shutil.copy(Path("tests", "typing", name), folder)
    session.chdir(folder)
    session.run("mypy", "--config-file", "trio_typing.ini", "consumer.py")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests on each Python that is there."""
    session.install("-e", ".[tests]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Fuzz every decoder of the framing for two minutes; `-- --seconds N` for another time."""
    session.install("-e", ".[tests]")
    try:
        session.install("atheris")
    except CommandFailed:
        session.warn("atheris cannot be installed here: fuzzing without a look at the coverage")
        session.run("python", "-m", "tests.fuzz.fuzz_hypothesis", *session.posargs)
    else:
        session.run("python", "-m", "tests.fuzz.fuzz_atheris", *session.posargs)


@nox.session
def stampede(session: nox.Session) -> None:
    """Random resets, stalls and cancellations for a minute a driver; `-- --seconds N --seed S`."""
    session.install("-e", ".[tests]")
    session.run("python", "-m", "tests.stampede", *session.posargs)


@nox.session
def mutants(session: nox.Session) -> None:
    """Break the package on purpose, in copies, and see that the tests notice; `-- --list`."""
    session.install("-e", ".[tests]")
    session.run("python", "-m", "tests.mutants", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error."""
    install_with(session, "docs")
    session.run(
        "sphinx-build", "-W", "-n", "--keep-going", "-b", "html", "docs", "docs/_build/html"
    )


@nox.session
def bench(session: nox.Session) -> None:
    """Measure against uvloop, Twisted and plain trio, in one run."""
    install_with(session, "bench")
    session.run("python", "-m", "tests.benchmarks", *session.posargs)
