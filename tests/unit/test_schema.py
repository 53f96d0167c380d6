from pathlib import Path

import pytest
from graphql import GraphQLObjectType, build_schema
from graphql.utilities import find_breaking_changes

from release_catalog.graphql_api import schema as graphql

PRINTED = Path(__file__).parents[2] / "schema.graphql"


def test_the_committed_schema_is_the_one_that_is_served() -> None:
    assert PRINTED.read_text() == graphql.printed(), "run make schema"


def test_the_contract_is_kept(shared: Path) -> None:
    contract = build_schema((shared / "spec" / "contract.graphql").read_text())
    changes = find_breaking_changes(contract, build_schema(graphql.printed()))
    assert not [change.description for change in changes]


@pytest.mark.parametrize("name", ["first", "after"])
def test_lists_take_the_arguments_of_a_page(name: str) -> None:
    schema = build_schema(graphql.printed())
    for kind in schema.type_map.values():
        if isinstance(kind, GraphQLObjectType):
            for field, it in kind.fields.items():
                if str(it.type).endswith("Connection!"):
                    assert name in it.args, f"{kind.name}.{field}"
