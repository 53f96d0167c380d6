from pathlib import Path

import pytest
from graphql import (
    GraphQLObjectType,
    build_schema,
    get_introspection_query,
    graphql_sync,
    specified_scalar_types,
)
from graphql.utilities import find_breaking_changes

from release_catalog.graphql_api import schema as graphql
from support.processes import run

PRINTED = Path(__file__).parents[2] / "schema.graphql"
# The lists of a type in introspection.
PARTS = "fields", "inputFields", "enumValues", "interfaces", "possibleTypes"


def test_the_committed_schema_is_the_one_that_is_served() -> None:
    assert PRINTED.read_text() == graphql.printed(), "run make schema"


def test_the_contract_is_kept(shared: Path) -> None:
    contract = build_schema((shared / "spec" / "contract.graphql").read_text())
    changes = find_breaking_changes(contract, build_schema(graphql.printed()))
    assert not [change.description for change in changes]


@pytest.mark.parametrize("name", ["first", "after", "last", "before"])
def test_lists_take_the_arguments_of_a_page(name: str) -> None:
    schema = build_schema(graphql.printed())
    for kind in schema.type_map.values():
        if isinstance(kind, GraphQLObjectType):
            for field, it in kind.fields.items():
                if str(it.type).endswith("Connection!"):
                    assert name in it.args, f"{kind.name}.{field}"


def test_a_released_schema_is_not_broken() -> None:
    released = (PRINTED.parent / "docs" / "released.graphql").read_text()
    assert graphql.breaking_changes(released) == []


def test_a_breaking_change_is_named_unless_it_was_deprecated() -> None:
    released = """
        type Query { gone: Int, old: Int @deprecated(reason: "Use release."), release(id: ID!, old: Int): Int }
        enum ReleaseStatus { DRAFT GONE OLD @deprecated(reason: "Use DRAFT.") }
        type Old { status: ReleaseStatus }
    """
    changes = graphql.breaking_changes(released)
    for name in ("Query.gone", "ReleaseStatus.GONE", "Old was removed", "Query.release"):
        assert any(name in change for change in changes), name
    assert not [change for change in changes if "Query.old" in change or "OLD" in change]


def test_a_change_of_a_default_is_named_and_one_of_a_deprecated_argument_is_not() -> None:
    """As docs/schema-changes.md says."""
    released = """
        type Query {
          viewer(old: Int @deprecated(reason: "Leave it out.")): Viewer!
          products(first: Int = 21): ProductConnection!
          catalogs(first: Int = 20, old: String = "a" @deprecated(reason: "Leave it out.")): CatalogConnection!
        }
        type Viewer { subject: String! }
        type ProductConnection { totalCount: Int! }
        type CatalogConnection { totalCount: Int! }
        input CreateReleaseInput { channel: String! = "beta", old: Int = 1 @deprecated(reason: "Leave it out.") }
    """
    changes = [change for change in graphql.breaking_changes(released) if "required field" not in change]
    assert changes == [
        "Query.products(first:) has changed defaultValue from 21 to 20.",
        'CreateReleaseInput.channel has changed defaultValue from "beta" to "stable".',
    ]


@pytest.mark.parametrize(
    "text", ["", "type Query {", "type Query { a: Nope }", "{ viewer { subject } }", "scalar Long", "{" * 9_000]
)
def test_a_text_that_is_no_schema_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        graphql.breaking_changes(text)


@pytest.mark.parametrize("data", [b"type Query {", b"\xff\x00", b"type Query { a: Nope }", b""])
def test_the_command_refuses_a_file_that_is_no_schema_in_a_sentence(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "released.graphql"
    file.write_bytes(data)
    done = run("schema", "--since", file)
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"{file} is not a GraphQL schema: give a file that release-catalog schema printed."
    )
    assert "Traceback" not in done.stderr


def test_introspection_is_sorted_and_described() -> None:
    result = graphql_sync(
        graphql.schema._schema, get_introspection_query(specified_by_url=True, schema_description=True)
    )
    assert result.data
    schema = result.data["__schema"]
    assert schema["description"].startswith("Software releases")
    kinds = schema["types"]
    for named in (kinds, schema["directives"], *(kind[part] or [] for kind in kinds for part in PARTS)):
        names = [one["name"] for one in named]
        assert names == sorted(names)
    for kind in kinds:
        for field in kind["fields"] or []:
            names = [argument["name"] for argument in field["args"]]
            assert names == sorted(names), (kind["name"], field["name"])
    own = [kind for kind in kinds if kind["kind"] == "SCALAR" and kind["name"] not in specified_scalar_types]
    assert [kind["name"] for kind in own] == ["Date", "DateTime", "JSON", "Long"]
    assert all(kind["specifiedByURL"].startswith("https://") for kind in own)


def test_types_say_where_their_ids_are_unique() -> None:
    """With a node id they are cached by that; other types say that their id is unique, or within which parent."""
    schema = build_schema(graphql.printed())
    for kind in schema.type_map.values():
        if isinstance(kind, GraphQLObjectType) and "id" in kind.fields and "nodeId" not in kind.fields:
            about = kind.fields["id"].description or ""
            assert about.startswith("Unique identifier") or "unique only" in about, kind.name
            assert ("unique only" in about) == ("unique only" in (kind.description or "")), kind.name
