"""The direction of imports: app, cli → api, hal → plans, events, files → store → domain → problems."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import release_catalog

ROOT = Path(release_catalog.__file__).parent
# What each part may import, besides itself.
ALLOWED = {
    "problems": set(),
    "fair_share": {"domain"},
    "connection_limit": {"fair_share"},
    "paced_input": set(),
    "usage": {"problems"},
    "domain": {"problems"},
    "store": {"usage", "fair_share", "domain", "problems"},
    "files": {"fair_share", "store", "domain", "problems"},
    "plans": {"usage", "fair_share", "files", "store", "domain", "problems"},
    "events": {"fair_share", "files", "store", "domain", "problems"},
    "api": {"usage", "connection_limit", "fair_share", "plans", "events", "files", "store", "domain", "problems"},
    "hal": {"usage", "plans", "store", "domain", "problems"},
    "access": {"fair_share", "store", "domain", "problems", "settings"},
    "web": set(),
    "mongod": set(),
    "console": set(),
    "data_folder": {"mongod"},
    "mongod_watcher": {"data_folder", "mongod"},
    "embedded": {"data_folder", "mongod", "mongod_watcher"},
    "receiving": {"connection_limit", "paced_input"},
    "settings": {"files"},
    "logs": {"console", "domain"},
    "sample": {"store", "domain"},
    "terminal": {"console", "files", "store", "domain", "problems"},
    "bulk": {"console", "store", "domain", "problems"},
    "opening": {"console", "files", "store", "data_folder", "mongod", "embedded", "settings", "logs"},
    "credentials": {"access", "store", "domain", "problems", "data_folder", "mongod", "opening", "settings"},
    "app": {
        "access", "api", "connection_limit", "events", "files", "hal", "plans", "store", "domain", "web", "opening", "settings", "logs", "sample"
    },
    "serving": {"store", "api", "connection_limit", "receiving"},
    "cli": {
        "app", "access", "api", "store", "domain", "mongod", "opening", "settings", "logs", "bulk", "serving", "terminal",
        "credentials", "console",
    },
}  # fmt: skip
DRIVERS = {"pymongo", "bson", "motor"}
GRAPHQL = {"strawberry", "graphql"}
FILES = sorted(ROOT.rglob("*.py"))


def part(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    here = part(path)
    if here == "__init__":
        return
    for name in imported(path):
        package, *rest = name.split(".")
        if package == "release_catalog" and rest:
            assert rest[0] in {here, *ALLOWED[here]}, f"{here} imports {name}"
        if package in DRIVERS:
            assert here in {"store", "embedded"}, f"{here} imports {name}"
        if package in GRAPHQL:
            assert here in {"api", "plans", "problems"}, f"{here} imports {name}"


def test_every_part_has_its_place() -> None:
    assert {part(path) for path in FILES} - {"__init__"} == ALLOWED.keys()


def test_names_say_what_is_inside() -> None:
    empty = {"utils", "util", "helpers", "helper", "common", "base", "misc", "manager", "service", "services"}
    assert not [path for path in FILES if path.stem in empty]


def test_files_stay_short() -> None:
    long = {
        str(path.relative_to(ROOT)): lines for path in FILES if (lines := len(path.read_text().splitlines())) > 400
    }
    assert not long
