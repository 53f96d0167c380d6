"""The pages of the documentation as a whole: their links, their blocks and their place in the navigation."""

import itertools
import re

import pytest

from release_catalog import settings
from support.pages import ROOT, Page, navigation, paths
from support.reader import KINDS

PAGES = {path: Page(path) for path in paths()}
# Pages of the site that lie beside the folder docs.
BESIDE = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")


def test_each_page_is_once_in_the_navigation() -> None:
    listed = list(itertools.chain.from_iterable(navigation().values()))
    assert sorted(listed) == sorted({*PAGES, *BESIDE}), "add the page to nav in mkdocs.yml"


def test_each_page_is_in_the_list_of_pages() -> None:
    index = PAGES["docs/index.md"]
    linked = {str(index.target(link)[0].relative_to(ROOT)) for link in index.links()}
    assert {*PAGES, *BESIDE} - linked == {"docs/index.md"}


@pytest.mark.parametrize("path", [*PAGES, *BESIDE, "clients/README.md"])
def test_links_lead_to_files_and_headings_that_exist(path: str) -> None:
    page = Page(path)
    broken = []
    for link in page.links():
        file, fragment = page.target(link)
        exists = file.is_file() and file.is_relative_to(ROOT)
        if not exists or (fragment and fragment not in Page(str(file.relative_to(ROOT))).anchors):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("path", PAGES)
def test_every_block_is_of_a_known_kind(path: str) -> None:
    page = PAGES[path]
    assert {block.language for block in page.blocks} <= KINDS.keys(), (
        "name the language, or teach support/reader.py a kind"
    )
    # A fence without an end would not be read.
    assert 2 * len(page.blocks) == len(re.findall(r"^ *```", page.text, re.MULTILINE)) == page.text.count("```")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_one_title_and_no_heading_twice(path: str) -> None:
    headings = re.findall(r"^(#+) (.*)$", PAGES[path].prose, re.MULTILINE)
    assert [level for level, _ in headings].count("#") == 1
    assert headings[0][0] == "#"
    assert len(PAGES[path].anchors) == len(headings)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_begins_with_a_paragraph_about_its_purpose(path: str) -> None:
    _, first, *_ = PAGES[path].text.split("\n\n")
    assert re.match(r"[\w`\[]", first), "the first paragraph says in words for whom or for what the page is"


@pytest.mark.parametrize("path", [*PAGES, *BESIDE])
def test_lists_begin_after_an_empty_line(path: str) -> None:
    """The site shows no list otherwise; and a line of a paragraph that begins with a number is a list elsewhere."""
    item = r"(?:-|\d+\.) "
    assert re.findall(rf"^(?!{item}|\s|$).*\n({item}.*)$", Page(path).prose, re.MULTILINE) == []


def test_the_readme_is_short_and_has_a_table_of_contents() -> None:
    readme = PAGES["README.md"]
    assert 800 < len(readme.text.split()) < 1400
    sections = re.findall(r"^## (.*)$", readme.prose, re.MULTILINE)
    assert re.findall(r"^- \[(.*)\]\(#.*\)$", readme.prose, re.MULTILINE) == sections


def test_settings_in_the_pages_exist() -> None:
    # One is for the tests, and one is the misspelt name of an example.
    known = {*settings.variables(), "RELEASE_CATALOG_TEST_MONGODB_URL", "RELEASE_CATALOG_LOGLEVEL"}
    named = {
        name for page in PAGES.values() for name in re.findall(r"\bRELEASE_CATALOG_[A-Z_]*[A-Z]\b(?!_)", page.text)
    }
    assert named - known == set()
    assert len(named) > 5
