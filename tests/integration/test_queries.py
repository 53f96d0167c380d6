"""Reading through the schema: what comes back, and how many commands it takes."""

import asyncio
import itertools
from typing import Any

import pytest

from release_catalog.domain import release_delivery, release_diff, timestamps
from release_catalog.storage.collection_names import RELEASES
from support.catalog import Catalog, source

# ---------------------------------------------------------------- relations, level by level


async def test_three_levels_under_twenty_releases_take_four_reads_of_releases(stocked: Catalog) -> None:
    level = "dependencies { nodes { name %s } }"
    nested = level % (level % (level % ""))
    data = await stocked.ask("{ releases(first: 20) { nodes { name %s } } }" % nested)
    assert len(data["releases"]["nodes"]) == 20
    assert any(
        third["name"]
        for first in data["releases"]["nodes"]
        for second in first["dependencies"]["nodes"]
        for third in second["dependencies"]["nodes"]
    )
    assert stocked.commands.reads == {"releases": 4}


WIDE = """query($first: Int!) { releases(first: $first, filter: {tag: "bookworm"}) { nodes {
  name catalog { name } product { key catalog { id } latestRelease { version } }
  latestRelease { id } artifacts { name release { name } }
  dependencies(first: 3) { totalCount edges { reference { name } node { name product { key } } } }
  dependants(first: 2) { totalCount nodes { name product { name } } }
  promotions { totalCount nodes { id } }
  _links { self { href } product { href } latestRelease { href } dependencies { href } dependants { href } }
} } }"""


async def test_the_number_of_commands_does_not_grow_with_the_width(stocked: Catalog) -> None:
    counts = []
    for first in (2, 10, 50):
        await stocked.ask(WIDE, first=first)
        counts.append(dict(stocked.commands.reads))
    assert counts[0].keys() == counts[1].keys() == counts[2].keys()
    assert max(counts[2].values()) <= 12
    assert counts[2] == counts[1]


@pytest.mark.parametrize("width", [2, 20])
async def test_each_level_of_dependants_costs_a_few_commands_however_wide(stocked: Catalog, width: int) -> None:
    reads = []
    for depth in range(1, 5):
        query = "name"
        for _ in range(depth):
            query = "name dependants(first: %d) { nodes { %s } }" % (width, query)
        await stocked.ask('{ releases(filter: {name: "libgcc-s1"}) { nodes { %s } } }' % query)
        reads.append(sum(stocked.commands.reads.values()))
    # Who answers to a name, the page, and a page for those of whom the answer was known from above.
    assert all(later - earlier <= 3 for earlier, later in itertools.pairwise(reads))


async def test_a_release_has_every_field_of_the_contract(stocked: Catalog) -> None:
    data = await stocked.ask("""{ release(id: "64455e6bd3c480fd58546c75") {
      tenantId name version revision branch channel packagingType trial status published publishedAt releasedAt
      private archived archivedAt createdAt endOfLifeAt artifactCount metadata author
      platforms { name osFamily architecture }
      registryArtifact { name version repository url contentDigest repoDigest }
      platformReleaseMetadata { platform { name } releaseMetadata { id mimeType filename } }
      customizations { id version artifact { id filename } }
      baseImage { name operatingSystem { distro version } healthy lastCheckedAt }
      registry { name url } pipeline { name executions { id } } delivery { status } withdrawal { reason }
      product { key name versionScheme category latestFree } catalog { name public }
    } }""")
    release = data["release"]
    assert (release["version"], release["branch"], release["packagingType"]) == ("2.6.7", "2", "HELM_CHART")
    assert release["releasedAt"] == "2023-03-03T00:59:52.762Z"
    assert release["endOfLifeAt"] == "2023-03-03"
    assert release["platforms"] == [{"name": "linux/amd64", "osFamily": "linux", "architecture": "amd64"}]
    assert release["baseImage"]["operatingSystem"] == {"distro": "centos", "version": "7"}
    assert release["status"] == "PUBLISHED"
    assert release["published"] is True
    assert release["archived"] is False


async def test_s4_a_delivery_shows_its_projects_and_properties(stocked: Catalog) -> None:
    data = await stocked.ask("""{ releases(filter: {deliveryStatus: [STARTED]}, orderBy: {field: NAME, direction: ASC}) {
      nodes { id name delivery { status startDate pipeline { name properties { name required } executions(running: true)
      { id status } } projects { project { name deploymentType } stream { id name } buildEnvironment { id name }
      priority packageName requestAllFiles } properties { propertyName propertyValue }
      cmsDetails { cmsInstanceId overrideSettings } } } } }""")
    first, second = data["releases"]["nodes"]
    assert first["id"] == "13607"
    assert first["delivery"]["properties"] == [{"propertyName": "TESTPROPERTY", "propertyValue": "3"}]
    assert first["delivery"]["cmsDetails"] == {"cmsInstanceId": "01010", "overrideSettings": False}
    assert second["delivery"]["startDate"] == "2019-02-13"
    assert [project["stream"]["id"] for project in second["delivery"]["projects"]] == ["13900", "15986"]
    assert second["delivery"]["projects"][0]["buildEnvironment"] == {"id": "21212", "name": "Linux builds"}
    assert len(second["delivery"]["pipeline"]["executions"]) == 1


async def test_s3_the_ledger_and_what_an_environment_holds(stocked: Catalog) -> None:
    data = await stocked.ask("""{
      environment(name: "QA") { requires contents { totalCount nodes { path checksum release { name } promotion { sequence } } }
        narrowed: contents(pathPrefix: "catalina-qa-generic") { nodes { path } } promotions { totalCount } }
      environments { name requires }
      byInstant: promotion(name: "catalina", version: "1.0.0", created: "2023-05-19T08:22:09.586+02:00") { id createdMillis }
      byMillis: promotion(name: "catalina", version: "1.0.0", created: "1684477329586") { id hash previousHash }
      promotions(status: REJECTED) { nodes { environment messages sequence previousHash } }
      named: promotions(name: "catalina", version: "1.0.0") { totalCount nodes { status artifacts { path repositoryKey } } }
    }""")
    assert data["environment"]["contents"]["totalCount"] == 3
    assert {node["promotion"]["sequence"] for node in data["environment"]["contents"]["nodes"]} == {2}
    assert len(data["environment"]["narrowed"]["nodes"]) == 1
    assert [environment["name"] for environment in data["environments"]] == ["DEV", "PROD", "QA"]
    assert data["byInstant"]["id"] == data["byMillis"]["id"]
    assert data["byInstant"]["createdMillis"] == 1684477329586
    [rejected] = data["promotions"]["nodes"]
    assert (rejected["environment"], rejected["sequence"], rejected["previousHash"]) == ("PROD", 1, None)
    assert [node["status"] for node in data["named"]["nodes"]] == ["COMPLETED", "REJECTED"]


async def test_missing_documents_are_null(stocked: Catalog) -> None:
    data = await stocked.ask("""{ catalog(id: "x") { id } product(id: "x") { id } byKey: product(key: "x") { id }
      release(id: "x") { id } latestRelease(productId: "x") { id } exportRelease(id: "x") environment(name: "x") { id }
      compareReleases(fromId: "x", toId: "64455e6bd3c480fd58546c75") { from { id } } pipeline(id: "x") { id }
      named: pipeline(name: "x") { id } project(id: "x") { id } registry(id: "x") { id } baseImage(id: "x") { id }
      promotion(name: "x", version: "1", created: "0") { id }
      elsewhere: release(id: "64455e6bd3c480fd58546c75", catalogId: "default") { id } }""")
    assert set(data.values()) == {None}


@pytest.mark.parametrize(
    ("query", "argument"),
    [
        ("{ product { id } }", "id"),
        ('{ product(id: "a", key: "b") { id } }', "id"),
        ("{ pipeline { id } }", "id"),
        ('{ promotion(name: "a", version: "1", created: "yesterday") { id } }', "created"),
        ('{ promotion(name: "a", version: "1", created: "99999999999999999999") { id } }', "created"),
        ('{ products(first: 0) { nodes { id } } }', "first"),
        ('{ catalogs(first: 101) { nodes { id } } }', "first"),
        ('{ promotions(after: "x") { nodes { id } } }', "after"),
        ('{ environment(name: "QA") { contents(first: 101) { nodes { path } } } }', "first"),
        ('{ release(id: "13607") { dependencies(first: 0) { totalCount } } }', "first"),
        ('{ release(id: "13607") { dependants(after: "x") { totalCount } } }', "after"),
        ('{ release(id: "13607") { dependencyGraph(maxDepth: 0) { depth } } }', "maxDepth"),
        ('{ release(id: "13607") { dependencyGraph(maxNodes: 5001) { depth } } }', "maxNodes"),
        ('{ release(id: "13607") { dependencyPaths(toId: "x", maxLength: 101) { length } } }', "maxLength"),
        ('{ release(id: "13607") { dependencyPaths(toId: "x", first: 101) { length } } }', "first"),
        ('{ release(id: "13607") { _links { dependants(first: 101) { href } } } }', "first"),
        ('{ latestRelease(productId: "5e1f0c3a9b7d4e2f8a6c0003", constraint: "~>1") { id } }', "constraint"),
    ],
)  # fmt: skip
async def test_a_bad_argument_is_named(stocked: Catalog, query: str, argument: str) -> None:
    error = await stocked.error(query)
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argument": argument}


async def test_an_ambiguous_key_asks_for_the_catalog(empty: Catalog) -> None:
    for catalog_id in ("one", "two"):
        await empty.product("tool", catalog_id=catalog_id)
    assert (await empty.error('{ product(key: "tool") { id } }'))["extensions"]["argument"] == "catalogId"
    data = await empty.ask('{ product(key: "tool", catalogId: "two") { catalog { id } } }')
    assert data["product"]["catalog"]["id"] == "two"


@pytest.mark.parametrize(
    ("literal", "message"),
    [
        ('createdFrom: "yesterday"', "RFC 3339"),
        ('endOfLifeBefore: "2026-02-30"', "2026-03-01"),
        ("endOfLifeBefore: 5", "2026-03-01"),
        ("status: [GONE]", "ReleaseStatus"),
    ],
)
async def test_values_that_scalars_refuse(stocked: Catalog, literal: str, message: str) -> None:
    error = await stocked.error("{ releases(filter: {%s}) { totalCount } }" % literal)
    assert message in error["message"]


# ---------------------------------------------------------------- the latest


async def test_the_latest_is_the_highest_published_version(empty: Catalog) -> None:
    product = await empty.product("tool", "SEMVER")
    live: dict[str, Any] = {"status": "PUBLISHED"}
    for version, fields in {
        "1.9.0": live, "1.10.0": {**live, "platforms": [{"name": "linux/arm64", "osFamily": "linux", "architecture": "arm64"}]},
        "2.0.0-rc.1": {**live, "channel": "beta"}, "2.0.0": {"status": "DRAFT"}, "1.11.0": {"status": "WITHDRAWN"},
        "1.12.0": {**live, "branch": "lts"}, "0.9.0": {**live, "branch": "lts"},
    }.items():  # fmt: skip
        await empty.put(product, version, **fields)
    data = await empty.ask(
        """query($id: ID!) { product(id: $id) {
          latestRelease { version } beta: latestRelease(channel: "beta") { version }
          any: latestRelease(channel: null) { version } lts: latestRelease(branch: "lts", constraint: "<1") { version }
          old: latestRelease(constraint: ">=1,<1.10") { version } arm: latestRelease(platform: "linux") { version }
          none: latestRelease(constraint: ">5") { version } mac: latestRelease(platform: "macos") { version }
          releases(filter: {version: "1.9.0"}) { nodes { latestRelease { version } } }
          branch: releases(filter: {version: "0.9.0"}) { nodes { latestRelease { version } } }
          draft: releases(filter: {version: "2.0.0"}) { nodes { latestRelease { version } } } } }""",
        id=product["id"],
    )
    found = data["product"]
    versions = {
        name: found[name] and found[name]["version"] for name in found if not name.startswith(("rel", "br", "dr"))
    }
    assert versions == {
        "latestRelease": "1.12.0", "beta": "2.0.0-rc.1", "any": "2.0.0-rc.1", "lts": "0.9.0", "old": "1.9.0",
        "arm": "1.10.0", "none": None, "mac": None,
    }  # fmt: skip
    # Beside a release, only its own branch counts: none is a branch of its own.
    assert found["releases"]["nodes"][0]["latestRelease"]["version"] == "1.10.0"
    assert found["branch"]["nodes"][0]["latestRelease"]["version"] == "1.12.0"
    assert found["draft"]["nodes"][0]["latestRelease"]["version"] == "1.10.0"


async def test_among_one_version_the_highest_revision_then_the_newest_is_latest(empty: Catalog) -> None:
    product = await empty.product("tool")
    for revision, at in (("9", "2026-01-03"), ("10", "2026-01-01"), ("10", "2026-01-02")):
        channel = "stable" if at != "2026-01-02" else "other"
        await empty.put(
            product, "1.0", revision=revision, status="PUBLISHED", channel=channel,
            createdAt=timestamps.parse(f"{at}T00:00:00Z"),
        )  # fmt: skip
    query = "query($id: ID!) { product(id: $id) { latestRelease { revision } any: latestRelease(channel: null) { createdAt } } }"
    found = (await empty.ask(query, id=product["id"]))["product"]
    assert found == {"latestRelease": {"revision": "10"}, "any": {"createdAt": "2026-01-02T00:00:00Z"}}


# ---------------------------------------------------------------- references


async def test_a_reference_resolves_by_itself_once_its_release_is_there(empty: Catalog) -> None:
    await empty.load(source("app", needs=["lib"]))
    query = """{ releases(filter: {name: "app"}) { nodes { dependencies { nodes { name } edges { reference { name version releaseId }
      node { name } } } dependencyGraph { unresolved { name version } nodeCount } } } }"""
    before = (await empty.ask(query))["releases"]["nodes"][0]
    assert before["dependencies"]["edges"] == [
        {"reference": {"name": "lib", "version": "1.0", "releaseId": None}, "node": None}
    ]
    assert before["dependencyGraph"] == {"unresolved": [{"name": "lib", "version": "1.0"}], "nodeCount": 0}
    await empty.load(source("lib"))
    after = (await empty.ask(query))["releases"]["nodes"][0]
    assert after["dependencies"]["nodes"] == [{"name": "lib"}]
    assert after["dependencyGraph"] == {"unresolved": [], "nodeCount": 1}


async def test_a_reference_by_name_means_the_highest_revision_and_one_by_id_never_moves(empty: Catalog) -> None:
    product = await empty.product("lib")
    first = await empty.put(product, "1.0", revision="9", status="PUBLISHED")
    app = await empty.product("app")
    await empty.put(
        app, "1", name="by id", dependencies=[{"releaseId": first["id"], "name": "lib", "version": "1.0"}]
    )
    await empty.put(app, "2", name="by name", dependencies=[{"name": "lib", "version": "1.0"}])
    needs = '{ releases(filter: {productKey: "app"}) { nodes { name dependencies { nodes { revision } } } } }'
    needed = '{ releases(filter: {name: "lib"}, orderBy: {direction: ASC}) { nodes { revision dependants { totalCount nodes { name } } } } }'

    async def edges() -> tuple[dict[str, str], dict[str, list[str]]]:
        out = {
            r["name"]: r["dependencies"]["nodes"][0]["revision"]
            for r in (await empty.ask(needs))["releases"]["nodes"]
        }
        back = {
            r["revision"]: [n["name"] for n in r["dependants"]["nodes"]]
            for r in (await empty.ask(needed))["releases"]["nodes"]
        }
        return out, back

    assert await edges() == ({"by id": "9", "by name": "9"}, {"9": ["by name", "by id"]})
    await empty.put(product, "1.0", revision="10", status="PUBLISHED")
    assert await edges() == ({"by id": "9", "by name": "10"}, {"9": ["by id"], "10": ["by name"]})
    await empty.put(product, "1.1", revision="1")
    assert await edges() == ({"by id": "9", "by name": "10"}, {"9": ["by id"], "10": ["by name"], "1": []})


async def test_references_stay_in_their_catalog(empty: Catalog) -> None:
    await empty.load(source("app", needs=["lib"]))
    await empty.load(source("lib"), catalog_id="other")
    data = await empty.ask('{ releases(filter: {name: "app"}) { nodes { dependencies { nodes { name } } } } }')
    assert data["releases"]["nodes"][0]["dependencies"]["nodes"] == []


# ---------------------------------------------------------------- graphs

GRAPH = """query($name: String!, $direction: GraphDirection!, $depth: Int, $nodes: Int) {
  releases(filter: {name: $name}) { nodes { id dependencyGraph(direction: $direction, maxDepth: $depth, maxNodes: $nodes) {
    nodes { name } edges { fromId toId } cycles depth nodeCount truncated unresolved { name } } } } }"""
NEEDS = {"a": "bc", "b": "d", "c": "de", "d": "a", "e": "f", "f": "", "x": "a"}


async def graph(catalog: Catalog, name: str, direction: str, depth: int = 10, nodes: int = 100) -> Any:
    data = await catalog.ask(GRAPH, name=name, direction=direction, depth=depth, nodes=nodes)
    return data["releases"]["nodes"][0]["dependencyGraph"]


async def named(catalog: Catalog) -> dict[str, str]:
    return {r["id"]: r["name"] async for r in catalog.database[RELEASES].find({})}


async def test_a_graph_is_whole_and_safe_on_cycles(empty: Catalog) -> None:
    await empty.load(*(source(name, needs=list(needs)) for name, needs in NEEDS.items()))
    names = await named(empty)
    found = await graph(empty, "a", "DEPENDENCIES")
    assert [node["name"] for node in found["nodes"]] == ["b", "c", "d", "e", "f"]
    assert {(names[e["fromId"]], names[e["toId"]]) for e in found["edges"]} == {
        (name, needed) for name, needs in NEEDS.items() for needed in needs if name != "x"
    }
    assert [sorted(names[id_] for id_ in group) for group in found["cycles"]] == [["a", "b", "c", "d"]]
    assert (found["depth"], found["nodeCount"], found["truncated"]) == (3, 5, False)
    back = await graph(empty, "d", "DEPENDANTS")
    assert {node["name"] for node in back["nodes"]} == {"a", "b", "c", "x"}
    assert {(names[e["fromId"]], names[e["toId"]]) for e in back["edges"]} == {
        ("b", "d"), ("c", "d"), ("a", "b"), ("a", "c"), ("d", "a"), ("x", "a"),
    }  # fmt: skip
    assert [sorted(names[id_] for id_ in group) for group in back["cycles"]] == [["a", "b", "c", "d"]]


@pytest.mark.parametrize("direction", ["DEPENDENCIES", "DEPENDANTS"])
async def test_bounds_are_told(empty: Catalog, direction: str) -> None:
    chain = {str(n): [str(n + 1)] if n < 5 else [] for n in range(6)}
    await empty.load(*(source(name, needs=needs) for name, needs in chain.items()))
    start = "0" if direction == "DEPENDENCIES" else "5"
    whole = await graph(empty, start, direction, depth=5)
    assert (whole["nodeCount"], whole["depth"], whole["truncated"]) == (5, 5, False)
    shallow = await graph(empty, start, direction, depth=3)
    assert (shallow["nodeCount"], shallow["depth"], shallow["truncated"]) == (3, 3, True)
    assert len(shallow["edges"]) == 3
    few = await graph(empty, start, direction, nodes=2)
    assert (few["nodeCount"], few["truncated"], len(few["edges"])) == (2, True, 2)
    exact = await graph(empty, start, direction, nodes=5)
    assert (exact["nodeCount"], exact["truncated"]) == (5, False)


async def test_a_graph_takes_a_command_a_level(stocked: Catalog) -> None:
    found = await graph(stocked, "git", "DEPENDENCIES")
    assert stocked.commands.reads["releases"] <= found["depth"] + 2
    assert found["nodeCount"] > 20


async def test_libc6_and_libgcc_s1_need_each_other(stocked: Catalog) -> None:
    names = await named(stocked)
    found = await graph(stocked, "python3", "DEPENDENCIES")
    assert ["libc6", "libgcc-s1"] in [sorted(names[id_] for id_ in group) for group in found["cycles"]]


async def test_paths_come_shortest_first(empty: Catalog) -> None:
    await empty.load(*(source(name, needs=list(needs)) for name, needs in NEEDS.items()))
    ids = {name: id_ for id_, name in (await named(empty)).items()}
    query = """query($from: ID!, $to: ID!, $max: Int, $first: Int) { release(id: $from) {
      dependencyPaths(toId: $to, maxLength: $max, first: $first) { length releases { name } } } }"""

    async def paths(start: str, end: str, **bounds: int) -> list[str]:
        data = await empty.ask(query, **{"from": ids[start], "to": ids[end]}, **bounds)
        found = data["release"]["dependencyPaths"]
        assert all(path["length"] == len(path["releases"]) - 1 for path in found)
        return ["".join(release["name"] for release in path["releases"]) for path in found]

    assert sorted(await paths("x", "d")) == ["xabd", "xacd"]
    assert await paths("a", "f") == ["acef"]
    assert await paths("a", "f", max=2) == []
    assert await paths("f", "a") == []
    assert len(await paths("x", "d", first=1)) == 1
    assert sorted(await paths("a", "a")) == ["abda", "acda"]
    assert await paths("a", "x") == []


# ---------------------------------------------------------------- comparing and exporting


async def test_a_comparison_of_two_releases(empty: Catalog) -> None:
    file = {"name": "a.deb", "size": 1, "sha256": "a" * 64, "downloadUrl": "https://downloads.example/a.deb"}
    await empty.load(
        source("tool", "1", artifacts=[file], needs=["lib"], metadata={"x": 1}, tag="old"),
        source("tool", "2", artifacts=[{**file, "size": 2}], metadata={"x": [1, {"$set": None}]},
               dockerImages=[{"name": "i", "imageUrl": "r/i"}]),
    )  # fmt: skip
    ids = {r["version"]: r["id"] async for r in empty.database[RELEASES].find({})}
    data = await empty.ask(
        """query($from: ID!, $to: ID!) { compareReleases(fromId: $from, toId: $to) { from { version } to { version }
      fields { path before after } artifacts { kind key before after } dockerImages { kind key } dependencies { kind key before } } }""",
        **{"from": ids["1"], "to": ids["2"]},
    )
    found = data["compareReleases"]
    assert (found["from"], found["to"]) == ({"version": "1"}, {"version": "2"})
    assert {change["path"]: (change["before"], change["after"]) for change in found["fields"]} == {
        "version": ("1", "2"), "tag": ("old", None), "metadata": ({"x": 1}, {"x": [1, {"$set": None}]}),
    }  # fmt: skip
    [changed] = found["artifacts"]
    assert (changed["kind"], changed["key"], changed["before"]["size"], changed["after"]["size"]) == (
        "CHANGED",
        "a.deb",
        1,
        2,
    )
    assert found["dockerImages"] == [{"kind": "ADDED", "key": "i"}]
    assert found["dependencies"] == [
        {"kind": "REMOVED", "key": "lib", "before": {"releaseId": None, "version": "1.0"}}
    ]


async def test_a_comparison_overlooks_nothing_that_was_said(empty: Catalog) -> None:
    product = await empty.product("tool")
    told = {"id": "f", "mimeType": None, "url": None, "filename": "sbom.json"}
    said: dict[str, tuple[Any, Any]] = {
        "metadata": ('{"n":1}', '{"n":true}'),
        "customizations": ([], [{"id": "c", "version": "v4", "artifact": None}]),
        "platformReleaseMetadata": ([], [{"platform": None, "releaseMetadata": [told]}]),
        "delivery": (None, {**release_delivery.NEW, "status": "STARTED", "startDate": "2026-03-01"}),
    }
    before, after = [
        await empty.put(product, "1", revision=str(side), **{name: pair[side] for name, pair in said.items()})
        for side in (0, 1)
    ]
    query = "query($a: ID!, $b: ID!) { compareReleases(fromId: $a, toId: $b) { fields { path before after } } }"
    found = (await empty.ask(query, a=before["id"], b=after["id"]))["compareReleases"]["fields"]
    changes = {change["path"]: (change["before"], change["after"]) for change in found}
    # Python takes 1 and true for the same.
    assert (changes["metadata"][0]["n"], changes["metadata"][1]["n"] is True) == (1, True)
    assert changes == {**said, "metadata": ({"n": 1}, {"n": True}), "revision": ("0", "1")}
    assert (await empty.ask(query, a=after["id"], b=after["id"]))["compareReleases"]["fields"] == []


async def test_a_pair_is_compared_once_in_a_request(empty: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    product = await empty.product("lib")
    before, after = [await empty.put(product, version) for version in ("1", "2")]
    compared, fields = [0], release_diff._value

    def counting(*arguments: Any) -> Any:
        compared[0] += arguments[0] == "version"
        return fields(*arguments)

    monkeypatch.setattr(release_diff, "_value", counting)
    aliases = " ".join(f"x{at}: compareReleases(fromId: $a, toId: $b) {{ fields {{ path }} }}" for at in range(20))
    found = await empty.ask(f"query($a: ID!, $b: ID!) {{ {aliases} }}", a=before["id"], b=after["id"])
    assert {len(pair["fields"]) for pair in found.values()} == {1}
    assert compared == [2], "once for each release"


async def test_s1_an_export_is_the_document_that_was_imported(empty: Catalog) -> None:
    document = source(
        "tool", "1", metadata={"a.b": {"$where": "1", "__proto__": None}}, releaseNotes="# x\n", status="final"
    )
    await empty.load(document)
    [made] = [r async for r in empty.database[RELEASES].find({})]
    data = await empty.ask(
        "query($id: ID!) { exportRelease(id: $id) release(id: $id) { metadata importedStatus status } }",
        id=made["id"],
    )
    assert data["exportRelease"] == {"id": made["id"], **document}
    assert data["release"] == {"metadata": document["metadata"], "importedStatus": "final", "status": "DRAFT"}


# ---------------------------------------------------------------- isolation of requests


async def test_requests_at_the_same_time_do_not_mix(stocked: Catalog) -> None:
    names = ["libc6", "git", "python3", "curl"] * 5
    query = "query($name: String!) { releases(filter: {name: $name}) { nodes { name dependencies { nodes { name } } } } }"
    answers = await asyncio.gather(*(stocked.ask(query, name=name) for name in names))
    assert [answer["releases"]["nodes"][0]["name"] for answer in answers] == names
