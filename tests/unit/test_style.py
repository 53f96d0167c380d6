"""Check the style of texts that clients, operators and developers read, as far as a machine can."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from graphql import GraphQLSchema, is_enum_type, is_input_object_type, is_interface_type, is_object_type

import release_catalog
from release_catalog.graphql_api.schema import schema as strawberry_schema
from support.pages import Page, paths

ROOT = Path(release_catalog.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
SCHEMA: GraphQLSchema = strawberry_schema._schema

# A text names its subject first, so it does not begin with a clause in place of a noun.
RIDDLE = re.compile(r"(What|Who|That|Where|When|How|Which|Of|So|As whom)\b")
# Phrases with a plain equivalent, and that equivalent.
PLAIN = {
    r"[Tt]here is not\b": "does not exist",
    r"\b(is|are) none\b": "does not exist, is missing",
    r"\bmay not\b": "must not, can't",
    r"\b[Ss]o many\b": "at most N, too many",
    r"\bas (asked|told)\b": "the thing that was requested",
    r"\bbe had\b": "be fetched",
    r"\b(stands?|lies|lie) (in|at|under)\b": "is in",
    r"\bsays so\b": "an error tells it",
    r"\bcomes along\b": "is included",
    r"\banew\b": "again",
}


class Text(NamedTuple):
    """A text with its place; values in it are written as …"""

    place: str
    text: str


def described() -> Iterator[tuple[str, str | None, str]]:
    """Yield each element of the schema with its description and its type."""
    for name, kind in SCHEMA.type_map.items():
        if name.startswith("__"):
            continue
        yield name, kind.description, ""
        if is_enum_type(kind):
            yield from (
                (f"{name}.{value}", definition.description, "") for value, definition in kind.values.items()
            )
        elif is_object_type(kind) or is_interface_type(kind) or is_input_object_type(kind):
            for field, definition in kind.fields.items():
                yield f"{name}.{field}", definition.description, str(definition.type)
                for argument, declared in getattr(definition, "args", {}).items():
                    yield f"{name}.{field}({argument})", declared.description, str(declared.type)


def test_each_element_of_the_schema_has_a_description() -> None:
    assert [name for name, description, _ in described() if not description] == []


def test_descriptions_are_sentences_that_begin_with_the_noun() -> None:
    sentence = re.compile(r"([A-Z0-9`]|http).*\.", re.DOTALL)
    texts = [(name, description or "", type_) for name, description, type_ in described()]
    assert [found for found in texts if not sentence.fullmatch(found[1]) or RIDDLE.match(found[1])] == []


def test_only_booleans_tell_whether() -> None:
    told = [(name, type_) for name, description, type_ in described() if (description or "").startswith("Whether")]
    assert len(told) > 10
    assert [found for found in told if found[1].rstrip("!") != "Boolean"] == []


def written(node: ast.AST) -> str:
    """Return the text of a literal, with … for values; "" for other expressions."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


@functools.cache
def parsed() -> list[tuple[Path, ast.AST]]:
    return [(path.relative_to(ROOT), node) for path in FILES for node in ast.walk(ast.parse(path.read_text()))]


@functools.cache
def docstrings() -> list[Text]:
    documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module
    return [
        Text(f"{path}:{getattr(node, 'lineno', 1)}", text)
        for path, node in parsed()
        if isinstance(node, documented) and (text := ast.get_docstring(node))
    ]


@functools.cache
def literals() -> list[Text]:
    """Return all texts of more than two words, docstrings among them."""
    return [
        Text(f"{path}:{node.lineno}", text)
        for path, node in parsed()
        if isinstance(node, ast.Constant | ast.JoinedStr) and len((text := written(node)).split()) > 2
    ]


def messages() -> list[Text]:
    """Return the messages of violations, of problems and of errors about arguments."""
    found = []
    for path, node in parsed():
        texts: list[ast.expr] = []
        if isinstance(node, ast.Call) and name_of(node) in {"refuse", "Violation", "InvalidArgument"}:
            texts = node.args[1:]
        elif (isinstance(node, ast.keyword) and node.arg == "detail") or (
            isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in {"message", "detail"}
        ):
            texts = [node.value]
        found += [Text(f"{path}:{text.lineno}", said) for text in texts if " " in (said := written(text))]
    return found


def log_events() -> list[Text]:
    return [
        Text(f"{path}:{node.lineno}", text)
        for path, node in parsed()
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        and getattr(node.func.value, "id", "") == "_log" and (text := written(node.args[0]))
    ]  # fmt: skip


def test_docstrings_begin_with_a_verb_or_a_noun() -> None:
    assert [found for found in docstrings() if RIDDLE.match(found.text)] == []


@pytest.mark.parametrize("phrase", PLAIN)
def test_texts_have_plain_words(phrase: str) -> None:
    wrong = [found for found in literals() if re.search(phrase, found.text)]
    assert wrong == [], f"write: {PLAIN[phrase]}"


@pytest.mark.parametrize("path", [*paths(), "CONTRIBUTING.md", "CHANGELOG.md"])
def test_pages_have_plain_words(path: str) -> None:
    prose = re.sub(r"`[^`\n]*`", "", Page(path).prose)
    wrong = {plain: found for phrase, plain in PLAIN.items() if (found := re.findall(rf".*{phrase}.*", prose))}
    assert wrong == {}


def test_messages_say_what_is_wrong_and_what_to_do_next() -> None:
    assert len(messages()) > 100
    assert [found for found in messages() if not re.search(r"[:.,;] \S+", found.text)] == []


def test_log_events_are_short_phrases() -> None:
    assert len(log_events()) > 20
    phrase = re.compile(r"(?!a |an |the |can't )[a-z…]\S*( \S+){0,7}(?<![.:!?])")
    assert [found for found in log_events() if not phrase.fullmatch(found.text)] == []
