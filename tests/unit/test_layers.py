"""Check the direction of imports: cli → server → rest → graphql_http, hal → graphql_api → query_engine → storage → domain."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import release_catalog

ROOT = Path(release_catalog.__file__).parent
# What each part may import, besides itself.
ALLOWED = {
    "errors": set(),
    "domain": {"errors"},
    "fair_share": {"domain"},
    "usage": {"errors"},
    "pace": set(),
    "request_record": {"usage"},
    "tracing": {"request_record"},
    "storage": {"request_record", "usage", "fair_share", "domain", "errors"},
    "files": {"request_record", "fair_share", "storage", "domain", "errors"},
    "query_engine": {"request_record", "usage", "fair_share", "events", "files", "storage", "domain", "errors"},
    "events": {"fair_share", "storage", "domain"},
    "webhooks": {"request_record", "fair_share", "events", "files", "storage", "domain"},
    "graphql_api": {"request_record", "query_engine", "webhooks", "files", "storage", "domain", "errors", "settings"},
    "graphql_http": {
        "pace", "request_record", "usage", "fair_share", "server.client_address", "server.connection_limit", "server.rate_limit", "graphql_api", "query_engine", "storage",
        "graphql_http.request", "domain", "errors", "settings",
    },
    "graphql_http.request": {"graphql_api", "domain"},
    "hal": {"request_record", "usage", "graphql_http.request", "query_engine", "storage", "domain", "errors"},
    "rest": {
        "request_record", "usage", "server.rate_limit", "hal", "graphql_http", "graphql_http.request", "graphql_api", "query_engine", "files", "storage", "domain",
        "errors", "settings",
    },
    "auth": {"pace", "request_record", "fair_share", "storage", "domain", "settings"},
    "metrics": {"request_record", "storage", "domain"},
    "secret_files": set(),
    "settings": {"secret_files", "usage", "files"},
    "console": set(),
    "logging_config": {"request_record", "console", "domain"},
    "sample": {"storage", "domain"},
    "embedded_mongodb": set(),
    "runtime": {"files", "storage", "embedded_mongodb", "settings", "logging_config", "console"},
    # What requests pass before they are read, whatever they ask for.
    "server.client_address": {"settings"},
    "server.connection_limit": {"fair_share"},
    "server.rate_limit": {"pace", "request_record", "graphql_api", "fair_share", "domain", "settings"},
    "server": {
        "metrics", "request_record", "tracing", "fair_share", "server.client_address",
        "server.connection_limit", "server.rate_limit", "runtime", "auth", "graphql_http",
        "graphql_api", "hal", "rest", "query_engine", "webhooks", "events", "files", "storage", "domain", "errors", "settings",
        "logging_config", "sample",
    },
    "cli": {
        "secret_files", "server", "tracing", "runtime", "auth", "graphql_http", "graphql_api", "files", "storage", "domain", "errors",
        "embedded_mongodb", "settings", "logging_config", "console",
    },
}  # fmt: skip
DRIVERS = {"pymongo", "bson", "motor"}
GRAPHQL = {"strawberry", "graphql"}
FILES = sorted(ROOT.rglob("*.py"))


def part(names: Sequence[str]) -> str:
    """Return the part of the code that a module belongs to, by the names of its packages and its own."""
    module = ".".join(names[:2])
    return module if module in ALLOWED else names[0]


def part_of(path: Path) -> str:
    return part(path.relative_to(ROOT).with_suffix("").parts)


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    here = part_of(path)
    if here == "__init__":
        return
    for name in imported(path):
        package, *rest = name.split(".")
        if package == "release_catalog" and rest:
            assert part(rest) in {here, *ALLOWED[here]}, f"{here} imports {name}"
        if package in DRIVERS:
            assert here in {"storage", "embedded_mongodb"}, f"{here} imports {name}"
        if package in GRAPHQL:
            assert here in {"graphql_api", "graphql_http", "query_engine", "errors"}, f"{here} imports {name}"


def test_every_part_has_its_place() -> None:
    assert {part_of(path) for path in FILES} - {"__init__"} == ALLOWED.keys()


def test_names_say_what_is_inside() -> None:
    empty = {"utils", "util", "helpers", "helper", "common", "base", "misc", "manager", "service", "services"}
    assert not [path for path in FILES if path.stem in empty]


def test_files_stay_short() -> None:
    long = {
        str(path.relative_to(ROOT)): lines for path in FILES if (lines := len(path.read_text().splitlines())) > 400
    }
    assert not long


def test_each_library_that_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT.parents[1] / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["otel"]]
    declared = {re.split(r"[\[<>=; ]", line)[0] for line in lines}
    owners = importlib.metadata.packages_distributions()
    for path in FILES:
        for name in imported(path):
            package = name.partition(".")[0]
            if package != "release_catalog" and package not in sys.stdlib_module_names:
                assert {owner.lower().replace("_", "-") for owner in owners[package]} & declared, name
