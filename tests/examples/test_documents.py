"""What README and docs say of the code is what the code says."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.examples.running import REPOSITORY
from trioproto import errors

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_readme_opens_with_the_commands_that_ci_runs() -> None:
    """Two commands, each with its own set-up; `.ci/run` calls the second word for word."""
    serve, test = blocks(README, "sh")
    assert serve.startswith("python3 -m venv .venv && ")
    assert test in (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
    assert README.index(test) < README.index("\n## ")


def test_readme_shows_the_example_as_it_is() -> None:
    """Every class of the code sample stands in the example that it names."""
    (sample,) = blocks(README, "python")
    example = (REPOSITORY / "examples" / "logfile.py").read_text(encoding="utf-8")
    for part in sample.split("\n\n\n"):
        assert part.strip() in example


@pytest.mark.parametrize(
    "file", ["README.md", *(f"docs/{p.name}" for p in REPOSITORY.glob("docs/*.md"))]
)
def test_links_lead_to_files(file: str) -> None:
    """A relative link names a file that is there."""
    path = REPOSITORY / file
    for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def test_every_reason_has_its_row() -> None:
    """The table of reasons lists each kind of ConnectionClosed that is no mere family."""
    kinds = [vars(errors)[name] for name in errors.__all__]
    reasons = [kind for kind in kinds if issubclass(kind, errors.ConnectionClosed)]
    families = {errors.ConnectionClosed, errors.ConnectionTimeout, errors.FramingError}
    single = {kind.__name__ for kind in reasons if kind not in families}
    page = (REPOSITORY / "docs" / "reasons.md").read_text(encoding="utf-8")
    table = page.partition("## Errors")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == single


def test_the_only_runtime_dependency_is_trio() -> None:
    """What users install beside the package is trio alone; groups repeat no list of the extras."""
    with open(REPOSITORY / "pyproject.toml", "rb") as file:
        pyproject = tomllib.load(file)
    assert pyproject["project"]["dependencies"] == ["trio>=0.27"]
    for extra in pyproject["project"]["optional-dependencies"]:
        assert pyproject["dependency-groups"][extra] == [f"trioproto[{extra}]"]
