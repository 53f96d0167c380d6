"""The pages of the documentation: their blocks, headings and links."""

import functools
import html
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

ROOT = Path(__file__).parents[2]
# A block may be a part of a list, and is indented then.
FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<!\\)\[(?:[^][]|\[[^]]*\])*\]\(<?([^()\s>]+)>?\)")


class Block(NamedTuple):
    """A fenced block of a page, with the lines of prose around it."""

    line: int
    language: str
    text: str
    before: str
    after: str


class Page:
    """A page, with its path in the repository."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.file = ROOT / path
        self.text = self.file.read_text()
        self.prose = FENCE.sub("", self.text)

    def __repr__(self) -> str:
        return self.path

    @functools.cached_property
    def blocks(self) -> list[Block]:
        found = list(FENCE.finditer(self.text))
        ends = [0, *(block.end() for block in found)]
        starts = [*(block.start() for block in found), len(self.text)]
        return [
            Block(
                self.text.count("\n", 0, block.start()) + 1,
                block[2],
                textwrap.dedent(block[3]),
                self.text[ends[number] : block.start()].strip().rpartition("\n\n")[2],
                self.text[block.end() : starts[number + 1]].strip().partition("\n\n")[0],
            )
            for number, block in enumerate(found)
        ]

    @functools.cached_property
    def anchors(self) -> set[str]:
        """The anchors of the headings, as both the site and the hosts of repositories make them."""
        return {anchor(heading) for heading in re.findall(r"^#{1,6} (.*)$", self.prose, re.MULTILINE)}

    def links(self) -> Iterator[str]:
        """Yield the links to other pages and files, and to headings of this page."""
        text = re.sub(r"`[^`\n]*`", "", self.prose)
        for target in LINK.findall(text):
            if not re.match(r"[a-z]+:", target):
                yield html.unescape(target)

    def target(self, link: str) -> tuple[Path, str]:
        """Return the file and the anchor of a link."""
        path, _, fragment = link.partition("#")
        return ((self.file.parent / path).resolve() if path else self.file), fragment


def anchor(heading: str) -> str:
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def navigation() -> dict[str, list[str]]:
    """Return the pages of each section of the site."""
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    sections: dict[str, list[str]] = {}
    for section in settings["nav"]:
        for title, entries in section.items() if isinstance(section, dict) else [("", section)]:
            found = [entries] if isinstance(entries, str) else entries
            sections[title] = [
                path for entry in found for path in (entry.values() if isinstance(entry, dict) else [entry])
            ]
    return sections


def paths() -> list[str]:
    """Return the README and the pages of the folder docs."""
    return ["README.md", *sorted(str(file.relative_to(ROOT)) for file in (ROOT / "docs").glob("**/*.md"))]


def examples(section: str) -> list[Any]:
    """Return the blocks of a section's pages, as parameters: the path of the page and the block."""
    return [
        pytest.param(path, block, id=f"{path}:{block.line}-{block.language or 'none'}")
        for path in navigation()[section]
        if path.startswith(("README", "docs/"))
        for block in Page(path).blocks
    ]
