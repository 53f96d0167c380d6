"""Normalising clients with the configurations of clients/, as npm has them, against a server on the sample."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graphql import GraphQLInterfaceType, GraphQLObjectType, build_schema

from release_catalog.graphql_api import schema
from release_catalog.query_engine import executor
from support import client_documents
from support.clients import copy, execute
from support.processes import NOT_COMPILED, Server, serving

ACME = "5e1f0c3a9b7d4e2f8a6c0003"
CACHES = ["apollo", "relay", "urql"]
# urql writes the fields of every fragment, and warns in development of those that another type does not have.
EXPECTED_WARNINGS = {"urql": "Invalid undefined: The field at `violations` is `undefined`"}
# Their ids are unique only within their parents.
LOCAL = {"Customization", "CustomizationArtifact", "NamedReference", "OperatingSystem", "ReleaseMetadataFile"}
# urql keeps roots, lists and results in their places by itself.
ANYWHERE = ("Query", "Mutation", "Subscription", "PageInfo", "Payload", "Connection", "Edge")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve a sample that the clients may change."""
    with serving(tmp_path_factory.mktemp("clients-server"), "--sample") as running:
        yield running
        reasons = [entry["reason"] for entry in running.entries(NOT_COMPILED)]
        assert not [reason for reason in reasons if reason.startswith(executor.UNSUPPORTED)]


@pytest.fixture(scope="module")
def lists(server: Server) -> list[dict[str, Any]]:
    """Lists below the root with several pages."""
    promote = "mutation($input: PromoteReleaseInput!) { promoteRelease(input: $input) { promotion { messages } problem { detail } } }"
    for release in server.ask(f'{{ product(id: "{ACME}") {{ releases {{ nodes {{ id }} }} }} }}')["product"][
        "releases"
    ]["nodes"]:
        made = server.ask(promote, input={"releaseId": release["id"], "environment": "DEV"})
        assert made == {"promoteRelease": {"promotion": {"messages": []}, "problem": None}}
    query = "query($name: String) { releases(filter: {name: $name}) { nodes { id } } }"
    hub, gnome = (server.ask(query, name=name)["releases"]["nodes"][0]["id"] for name in ("libstdc++6", "gnome"))
    return [
        {
            "operation": operation,
            "query": f"{root.capitalize()}Query",
            "fragment": f"{root.capitalize()}_{field}",
            "path": [root, field],
            "argument": argument,
            "variables": {argument: value, "first": first},
        }
        for operation, root, argument, value, field, first in [
            ("DEPENDANTS", "release", "id", hub, "dependants", 50),
            ("DEPENDENCIES", "release", "id", gnome, "dependencies", 7),
            ("PRODUCT_RELEASES", "product", "id", ACME, "releases", 1),
            ("ENVIRONMENT_RELEASES", "environment", "name", "DEV", "releases", 1),
        ]
    ]


@pytest.fixture(scope="module")
def documents(server: Server) -> list[dict[str, str]]:
    """Documents for every field of the schema, as deep as the limits of the server allow, and pages of Debian."""
    return client_documents.accepted(server.url)


@pytest.fixture(scope="module")
def folder(
    client_node: str,
    tmp_path_factory: pytest.TempPathFactory,
    lists: list[dict[str, Any]],
    documents: list[dict[str, str]],
) -> Path:
    """A folder with the configurations and steps of all clients."""
    copies = tmp_path_factory.mktemp("clients")
    for name in CACHES:
        copy(name, copies)
    (copies / "documents.json").write_text(json.dumps(documents))
    (copies / "lists.json").write_text(json.dumps(lists))
    return copies


@pytest.fixture(scope="module")
def relay(client_node: str, folder: Path, documents: list[dict[str, str]]) -> None:
    """Compile the operations of Relay and all documents."""
    texts = [
        document["text"].replace(document["name"], f"Answers{document['name']}Query", 1) for document in documents
    ]
    (folder / "relay" / "src" / "Answers.js").write_text("".join(f"graphql`{text}`;\n" for text in texts))
    config = folder / "relay" / "relay.config.json"
    # A bundler resolves the imports of ES modules; node by itself needs CommonJS.
    config.write_text(json.dumps({**json.loads(config.read_text()), "eagerEsModules": False}))
    compiled = execute(folder / "relay", client_node, folder / "node_modules" / "relay-compiler" / "cli.js")
    assert "Compilation completed." in compiled


@pytest.fixture(scope="module", params=CACHES)
def client(request: pytest.FixtureRequest, client_node: str, folder: Path) -> Any:
    """Run a step of a client, and return its result."""
    name = request.param
    if name == "relay":
        request.getfixturevalue("relay")
    url = request.getfixturevalue("server").url

    def run(step: str) -> Any:
        result = json.loads(execute(folder / name, client_node, "steps.mjs", step, f"{url}/graphql"))
        expected = EXPECTED_WARNINGS.get(name, "none")
        assert [warning for warning in result["warnings"] if not warning.startswith(expected)] == []
        return result

    return run


def bare(value: Any) -> Any:
    """Return a value without the fields that clients add."""
    if isinstance(value, dict):
        return {key: bare(inner) for key, inner in value.items() if not key.startswith("__")}
    return [bare(inner) for inner in value] if isinstance(value, list) else value


def test_the_cache_shows_what_the_server_answered(client: Any, documents: list[dict[str, str]]) -> None:
    results = client("answers")["results"]
    assert [result["name"] for result in results] == [document["name"] for document in documents]
    for result in results:
        assert bare(result["cached"]) == bare(result["raw"]), result["name"]


def test_the_documents_ask_for_every_field_that_queries_reach(documents: list[dict[str, str]]) -> None:
    assert client_documents.missing_fields(documents) == set()


def test_lists_below_the_root_page_to_their_end(client: Any, server: Server, lists: list[dict[str, Any]]) -> None:
    for result, wanted in zip(client("pages")["results"], lists, strict=True):
        root, field = wanted["path"]
        kind = "String!" if wanted["argument"] == "name" else "ID!"
        query = f"query($value: {kind}) {{ {root}({wanted['argument']}: $value) {{ {field} {{ totalCount edges {{ cursor node {{ id }} }} }} }} }}"
        expected = server.ask(query, value=wanted["variables"][wanted["argument"]])[root][field]
        cursors = [edge["cursor"] for edge in result["edges"]]
        assert len(set(cursors)) == len(cursors) == expected["totalCount"], (root, field)
        assert len(cursors) > wanted["variables"]["first"]
        first = [(edge["cursor"], edge["node"]) for edge in expected["edges"]]
        found = [(edge["cursor"], edge["node"] and {"id": edge["node"]["id"]}) for edge in result["edges"]]
        assert found[: len(first)] == first


def test_a_refused_update_is_rolled_back_and_a_dry_run_leaves_the_cache_alone(client: Any) -> None:
    result = client("rollback")
    kept, optimistic, *rest, current = dict.fromkeys(result["shown"])
    assert (rest, optimistic.split(" ")[:2]) == ([], ["written", "by"])
    assert current.startswith("written by somebody else")
    changes = [
        notes for notes, before in zip(result["shown"], [None, *result["shown"]], strict=False) if notes != before
    ]
    assert changes == [kept, optimistic, kept, current]
    assert result["problem"]["title"] == "Precondition Failed"
    assert result["etag"]["cached"] == result["etag"]["kept"]
    assert bare(result["dryRun"]) == {"dryRun": True, "warnings": [], "problem": None}
    assert result["kept"] == current


def test_a_subscription_goes_on_after_cuts(client: Any) -> None:
    result = client("follow")
    shown = [(event["id"], event["type"]) for event in result["events"]]
    assert shown == [(event["id"], event["type"]) for event in result["expected"]]
    assert len(shown) == 4
    assert len(result["cuts"]) == 2


def test_the_caches_know_every_type(client_node: str, folder: Path) -> None:
    """Types without an identity stay inside their parents; interfaces name all their types."""
    show = "import('./cache.mjs').then((it) => console.log(JSON.stringify({...it, keys: Object.keys(it.keys ?? {})})))"
    apollo, urql = (json.loads(execute(folder / name, client_node, "-e", show)) for name in ("apollo", "urql"))
    built = build_schema(schema.printed())
    interfaces = [kind for kind in built.type_map.values() if isinstance(kind, GraphQLInterfaceType)]
    types = {kind.name: sorted(one.name for one in built.get_possible_types(kind)) for kind in interfaces}
    assert apollo["possibleTypes"] == urql["possibleTypes"] == types
    objects = [
        kind
        for kind in built.type_map.values()
        if isinstance(kind, GraphQLObjectType)
        and not kind.name.startswith("__")
        and not kind.name.endswith(ANYWHERE)
    ]
    local = {kind.name for kind in objects if "unique only" in _description(kind)}
    assert local == LOCAL
    assert {name for name, policy in apollo["typePolicies"].items() if policy["keyFields"] is False} >= local
    assert set(urql["keys"]) == local | {kind.name for kind in objects if "id" not in kind.fields}


def _description(kind: GraphQLObjectType) -> str:
    return (kind.fields["id"].description or "") if "id" in kind.fields else ""
