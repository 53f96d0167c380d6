"""The pages for operators: their examples run in the order of the page, and each gives what is printed."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e import test_readme as readme
from e2e.test_commands import COMMANDS
from support.processes import serving

DOCS = readme.ROOT / "docs"
PAGES = ("settings.md", "command-line.md")


def blocks(page: str) -> list[readme.Block]:
    text = (DOCS / page).read_text()
    found = re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [readme.Block(text.count("\n", 0, each.start()) + 1, each[1], each[2]) for each in found]


@pytest.fixture(scope="module", params=PAGES)
def page(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, readme.Reader]]:
    folder: Path = tmp_path_factory.mktemp("page")
    (folder / "examples").mkdir()
    with serving(folder, "--sample") as server:
        reader = readme.Reader(server, folder / "examples", request)
        yield request.param, reader
        reader.close()


def test_the_examples_in_the_order_of_the_page(page: tuple[str, readme.Reader]) -> None:
    name, reader = page
    found = blocks(name)
    assert {block.language for block in found} <= {"console", "shell"}
    for block in found:
        if block.language == "console":
            reader.console(block)


def test_each_command_is_on_the_page() -> None:
    text = (DOCS / "command-line.md").read_text()
    assert [name for name in COMMANDS if f"`{name}`" not in text] == []
