"""Rules for the tests themselves."""

import ast
from pathlib import Path

TESTS = Path(__file__).parents[1]
CLIENT = TESTS / "support" / "graphql_client.py"
# These send releases to addresses outside GraphQL.
REST = {TESTS / "integration" / name for name in ("test_rest.py", "test_openapi.py", "test_scrapes.py")}


def test_one_client_sends_graphql_over_http() -> None:
    """Bodies as raw bytes are allowed: they are for tests of HTTP itself."""
    sending = {
        path
        for path in TESTS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.keyword) and node.arg == "json"
    }
    assert sending == {CLIENT, *REST}
