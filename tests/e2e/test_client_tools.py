"""Generated clients and linters with the configurations of clients/, against the schema and a server."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.clients import CLIENTS, copy, execute
from support.processes import serving

PYTHON = CLIENTS / "python"
PRESETS = ("recommended", "relay")


@pytest.fixture(scope="module")
def linted(client_node: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What graphql-eslint reports about the schema."""
    folder = copy("eslint", tmp_path_factory.mktemp("eslint"))
    return json.loads(execute(folder, client_node, "steps.mjs"))


def test_graphql_eslint_reports_nothing_but_the_exceptions(linted: Any) -> None:
    assert linted["configured"] == []
    others = [report for preset in PRESETS for report in linted[preset] if report[0] != "strict-id-in-types"]
    assert {(rule, message) for rule, message in others if rule != "relay-edge-types"} == {
        ("naming-convention", "Leading underscores are not allowed"),
        ("naming-convention", 'Field "_links" should be in camelCase format'),
        ("no-typename-prefix", 'Field "nodeId" starts with the name of the parent type "Node"'),
        ("no-typename-prefix", 'Field "propertyValue" starts with the name of the parent type "PropertyValue"'),
        ("no-typename-prefix", 'Field "releasedAt" starts with the name of the parent type "Release"'),
    }
    assert {message for rule, message in linted["relay"]} == {"A list type should only wrap an edge type."}


def test_each_exception_for_types_without_an_identity_is_needed(linted: Any) -> None:
    reported = {message.split('"')[1] for rule, message in linted["recommended"] if rule == "strict-id-in-types"}
    ending = tuple(linted["suffixes"])
    assert {name for name in reported if not name.endswith(ending)} == set(linted["types"])
    assert len(set(linted["types"])) == len(linted["types"])


@pytest.fixture(scope="module")
def typescript(client_node: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with TypeScript that uses the generated types."""
    folder = copy("codegen", tmp_path_factory.mktemp("codegen"))
    execute(folder, client_node, folder.parent / "node_modules" / "@graphql-codegen" / "cli" / "cjs" / "bin.js")
    return folder


def test_generated_types_fit_their_use(client_node: str, typescript: Path) -> None:
    compiler = typescript.parent / "node_modules" / "typescript" / "bin" / "tsc"
    wrong = """
      import {{ createRelease, totalSize }} from "./releases";
      // @ts-expect-error a version is missing
      createRelease("", {{ productId: "1", name: "x" }});
      // @ts-expect-error metadata takes any JSON, and a name only text
      createRelease("", {{ productId: "1", name: 1, version: "1", metadata: {{ a: [1] }} }});
      {}
      const size: Promise<string | undefined> = totalSize("", "1");
      export default size;
    """
    (typescript / "src" / "wrong.ts").write_text(wrong.format("// @ts-expect-error a size is a number"))
    execute(typescript, client_node, compiler, "-p", ".")
    (typescript / "src" / "wrong.ts").write_text(wrong.format(""))
    with pytest.raises(AssertionError, match=r"Promise<number \| undefined>"):
        execute(typescript, client_node, compiler, "-p", ".")


@pytest.fixture(scope="module")
def python() -> Path:
    """A Python with the code generator: it needs another graphql-core than the catalog."""
    environment, wanted = PYTHON / ".venv", PYTHON / "requirements.txt"
    interpreter, stamp = environment / "bin" / "python", environment / wanted.name
    if not stamp.is_file() or stamp.read_text() != wanted.read_text():
        execute(PYTHON, sys.executable, "-m", "venv", "--clear", environment)
        install = [str(interpreter), "-m", "pip", "install", "-q", "--retries", "1", "-r", str(wanted)]
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"pip could not install them: {done.stderr}")
        stamp.write_text(wanted.read_text())
    return interpreter


def test_the_generated_python_client_creates_imports_and_follows(python: Path, tmp_path: Path) -> None:
    folder = copy("python", tmp_path / "clients")
    execute(folder, python.with_name("ariadne-codegen"))
    with serving(tmp_path / "server", "--sample") as server:
        found = json.loads(execute(folder, python, "steps.py", f"{server.url}/graphql"))
        assert found["create"] == {
            "same": True,
            "created": "2024-05-06T07:08:09.123000+00:00",
            "endOfLife": "2030-01-02",
            "metadata": {"a.b": [1, None], "$x": "y"},
            "violations": ["NOT_A_VERSION"],
        }
        query = '{ a: releases(filter: {version: "3.0.0"}) { nodes { status packagingType } } b: releases(filter: {version: "3.1.0"}) { totalCount } }'
        stored = server.ask(query)
        assert stored["a"]["nodes"] == [{"status": "DRAFT", "packagingType": "CONTAINER_IMAGE"}]
        assert stored["b"] == {"totalCount": 0}
        assert found["import_document"] == {
            "name": "python-client",
            "status": "DRAFT",
            "created": "2024-05-06T07:08:09+00:00",
            "size": 2**53 + 1,
            # The product is new, the file can't be fetched, and the dependency leads to nothing.
            "warnings": 3,
        }
        total = server.ask('{ releases(filter: {nameContains: "python"}) { totalCount } }')["releases"][
            "totalCount"
        ]
        assert found["pages"]["total"] == found["pages"]["found"] == found["pages"]["different"] > 50
        assert total >= found["pages"]["total"]
        events = server.ask("{ events(first: 100) { nodes { id } } }")["events"]["nodes"]
        assert found["follow"] == {"ids": [event["id"] for event in events], "connections": 2}
        assert server.stop() == 0
