"""The documented lists of names that programs rely on, against the code."""

import ast
import re
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

import release_catalog
from release_catalog.domain import events
from release_catalog.errors import ViolationCode

ROOT = Path(release_catalog.__file__).parent
DOCUMENTED = (ROOT.parents[1] / "docs" / "codes.md").read_text()
CODES = frozenset(typing.get_args(ViolationCode))
CODE = re.compile(r"[A-Z][A-Z0-9_]{3,}")


def listed(heading: str) -> list[str]:
    """The names in the first column of the table under a heading."""
    section = DOCUMENTED.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)


def constants() -> Iterator[tuple[Path, ast.AST, str]]:
    """The codes in the source, each with the expression around it."""
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            for child in ast.iter_child_nodes(node):
                if (
                    isinstance(child, ast.Constant)
                    and isinstance(child.value, str)
                    and CODE.fullmatch(child.value)
                ):
                    yield path, node, child.value


def error_codes() -> Iterator[str]:
    """The codes of errors: under the key code, of an outage, and of a refused document."""
    for _, node, code in constants():
        if isinstance(node, ast.Dict):
            keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
            values = dict(zip(keys, node.values, strict=True))
            if isinstance(named := values.get("code"), ast.Constant) and named.value == code:
                yield code
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            first = node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == code
            if node.func.id == "_refused" or (node.func.id == "Outage" and first):
                yield code


def test_every_event_type_is_documented() -> None:
    assert listed("Event types") == list(events.TYPES)


def test_every_violation_code_is_documented() -> None:
    assert listed("Violation codes") == sorted(CODES)


def test_every_violation_code_is_used() -> None:
    """mypy holds the other direction: a violation takes no other code."""
    declared = ROOT / "errors.py"
    assert {code for path, _, code in constants() if path != declared and code in CODES} == CODES


def test_every_error_code_is_documented() -> None:
    assert listed("Error codes") == sorted(set(error_codes()))


@pytest.mark.parametrize("heading", ["Event types", "Violation codes", "Error codes"])
def test_each_name_is_explained(heading: str) -> None:
    section = DOCUMENTED.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    meanings = re.findall(r"^\| `[^`]+` \| (.+) \|$", section, re.MULTILINE)
    assert len(meanings) == len(listed(heading))
