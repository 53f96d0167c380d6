"""Rules for the tests themselves."""

import ast
from pathlib import Path

TESTS = Path(__file__).parents[1]
CLIENT = TESTS / "support" / "graphql_client.py"
# These send JSON to addresses outside GraphQL.
REST = {TESTS / "integration" / name for name in ("test_rest.py", "test_openapi.py", "test_scrapes.py")}
SENDING = {"post", "put", "patch", "request", "stream"}


def test_one_client_sends_graphql_over_http() -> None:
    """Bodies as raw bytes are allowed: they are for tests of HTTP itself."""
    sending = {
        path
        for path in TESTS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SENDING
        if any(keyword.arg == "json" for keyword in node.keywords)
    }
    assert CLIENT in sending
    assert sending - {CLIENT, *REST} == set()
