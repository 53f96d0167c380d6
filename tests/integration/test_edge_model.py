"""Edges over whole lives: whatever is done with a few releases, in whatever order, a model foretells their edges."""

import dataclasses
import uuid
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from release_catalog.domain.caller import READ, WRITE, Caller
from release_catalog.storage.collection_names import EVENTS
from support.catalog import Catalog, source

Json = dict[str, Any]
PROBLEM = "problem { __typename detail ... on ValidationProblem { violations { field code } } }"
NAMES, VERSIONS, IDS = ["a", "b"], ["1.0", "2.0"], ["i0", "i1", "i2", "i3", "i4", "i5", "i6", "i7"]
PRODUCTS = ["p", "q"]
VIEW = """query($id: ID!) { release(id: $id) {
  dependencies { totalCount edges { node { id } reference { releaseId name version } } nodes { id } }
  dependants { totalCount nodes { id } }
  out: dependencyGraph(maxDepth: 1) { nodes { id } }
  deep: dependencyGraph { nodes { id } edges { fromId toId } }
  in: dependencyGraph(direction: DEPENDANTS, maxDepth: 1) { nodes { id } }
  _links { dependencies { href } dependants { href } } } }"""


@dataclasses.dataclass
class Edge:
    """A declared dependency; a `missing` id does not count."""

    id: str | None
    name: str
    version: str
    missing: bool = False


@dataclasses.dataclass
class Release:
    """A release of the model, with the places of its steps in the order of all."""

    id: str
    product: str
    channel: str
    revision: int
    name: str
    version: str
    private: bool
    edges: list[Edge]
    since: int
    published: int | None = None
    status: str = "DRAFT"


class Model:
    """The releases of a tenant by id."""

    def __init__(self) -> None:
        self.releases: dict[str, Release] = {}
        self.used: set[str] = set()

    def target(self, edge: Edge) -> Release | None:
        """The release to which an edge leads, which the rule of model.md tells."""
        if edge.id is not None and not edge.missing:
            return self.releases.get(edge.id)
        named = [one for one in self.releases.values() if (one.name, one.version) == (edge.name, edge.version)]
        out = [one for one in named if one.published is not None]
        if not out:
            return min(named, key=lambda one: one.since, default=None)
        first = min(out, key=lambda one: one.published or 0)
        line = [one for one in out if (one.product, one.channel) == (first.product, first.channel)]
        return max(line, key=lambda one: one.revision)

    def targets(self, release: Release, caller: Caller) -> list[str]:
        found = (self.target(edge) for edge in release.edges)
        return sorted({one.id for one in found if one and sees(caller, one)})

    def add(self, release: Release) -> None:
        """Save a release: references by its id lead to it, except published edges that lead elsewhere."""
        for other in self.releases.values():
            for edge in other.edges:
                if edge.missing and edge.id == release.id and (edge.name, edge.version) == name(release):
                    there = self.target(edge)
                    if other.published is None or there is None or there.published is None:
                        edge.missing = False
        self.releases[release.id] = release
        self.used.add(release.id)

    def remove(self, id_: str) -> None:
        del self.releases[id_]
        for other in self.releases.values():
            for edge in other.edges:
                # The name of the release itself leads nowhere.
                edge.missing |= edge.id == id_ and (edge.name, edge.version) != name(other)

    def affected(self, id_: str, caller: Caller) -> int:
        seen, level = {id_}, [id_]
        while level:
            near = [one for one in self.releases.values() if sees(caller, one) and one.id not in seen]
            level = [one.id for one in near if {*self.targets(one, caller)} & {*level}]
            seen |= {*level}
        return sum(self.releases[one].status == "PUBLISHED" for one in seen - {id_})


def name(release: Release) -> tuple[str, str]:
    return release.name, release.version


def identity(release: Release) -> tuple[str, str, int, str]:
    return release.product, release.channel, release.revision, release.version


def sees(caller: Caller, release: Release) -> bool:
    if caller.product is None and WRITE in caller.scopes:
        return True
    return caller.product == release.product or (release.published is not None and not release.private)


saved = st.fixed_dictionaries(
    {
        "verb": st.sampled_from(["create", "create", "import", "load", "publishing load"]),
        "as": st.sampled_from([None, None, "p"]),
        "id": st.sampled_from(IDS),
        "product": st.sampled_from(PRODUCTS),
        "channel": st.sampled_from(["stable", "beta"]),
        "revision": st.integers(0, 11),
        "name": st.sampled_from(NAMES),
        "version": st.sampled_from(VERSIONS),
        "private": st.booleans(),
        "needs": st.lists(
            st.tuples(st.sampled_from([None, *IDS]), st.sampled_from(NAMES), st.sampled_from(VERSIONS)),
            max_size=3,
        ),
    }
)
stepped = st.fixed_dictionaries(
    {
        "verb": st.sampled_from(
            ["publish", "publish", "publish", "withdraw", "archive", "discard", "rename", "move", "show"]
        ),
        "as": st.sampled_from([None, None, "p"]),
        "at": st.integers(0, 20),
        "revision": st.integers(0, 11),
        "name": st.sampled_from(NAMES),
        "private": st.booleans(),
    }
)


class Run:
    """A catalog beside its model."""

    def __init__(self, catalog: Catalog, products: dict[str, str]) -> None:
        self.model = Model()
        self.products = products
        tenant = catalog.caller.tenant
        both = frozenset({READ, WRITE})
        callers = [Caller(tenant, "all", both), Caller(tenant, "reader", frozenset({READ}))]
        callers += [Caller(tenant, f"ci-{key}", both, product=products[key]) for key in PRODUCTS]
        self.callers = {caller.subject: catalog.seen_by(caller) for caller in callers}
        self.all = self.callers["all"]

    def shown_to(self, catalog: Catalog) -> Caller:
        """The caller with the product's key for its id, as the model has it."""
        keys = {id_: key for key, id_ in self.products.items()}
        return dataclasses.replace(catalog.caller, product=keys.get(catalog.caller.product or ""))

    async def take(self, number: int, step: Json) -> None:
        catalog = self.callers["ci-p" if step["as"] else "all"]
        if "id" in step:
            await self._save(number, step, catalog)
        elif self.model.releases:
            there = list(self.model.releases.values())
            await self._change(number, step, catalog, there[step["at"] % len(there)])

    def _edges(self, step: Json, catalog: Catalog) -> list[Edge] | None:
        edges = {}
        for id_, to, version in step["needs"]:
            known = self.model.releases.get(id_)
            if known is not None and not sees(self.shown_to(catalog), known):
                known = None
            named = name(known) if known else (to, version)
            edge = Edge(id_, named[0], named[1], missing=id_ is not None and known is None)
            if id_ == step["id"] or ((id_ is None or edge.missing) and named == (step["name"], step["version"])):
                return None
            edges[edge.id if edge.id and not edge.missing else named] = edge
            if len({(one.name, one.version) for one in edges.values()}) < len(edges):
                return None
        return list(edges.values())

    async def _save(self, number: int, step: Json, catalog: Catalog) -> None:
        verb = step["verb"]
        if verb.endswith("load"):
            catalog = self.all
        place = (step["product"], step["channel"], step["revision"], step["version"])
        taken = any(identity(one) == place for one in self.model.releases.values())
        caller, edges = self.shown_to(catalog), self._edges(step, catalog)
        if (
            taken
            or edges is None
            or step["id"] in self.model.used
            or caller.product not in {None, step["product"]}
        ):
            return
        fields = {
            "id": step["id"],
            "name": step["name"],
            "version": step["version"],
            "channel": step["channel"],
            "revision": str(step["revision"]),
            "private": step["private"],
        }
        if verb == "create":
            needs = [{"releaseId": one.id, "name": one.name, "version": one.version} for one in edges]
            await self._done(
                catalog, "create", {**fields, "productId": self.products[step["product"]], "dependencies": needs}
            )
        else:
            needs = [
                {**({"catalogId": one.id} if one.id else {}), "name": one.name, "version": one.version}
                for one in edges
            ]
            document = {**source(step["product"]), **fields, "dependencies": needs}
            if verb == "import":
                await self._done(
                    catalog,
                    "import",
                    {"projectIdentifier": step["product"], "release": document, "verification": "SKIP"},
                )
            else:
                loaded = await self.all.load(document, publish=verb != "load", check=True)
                assert (loaded.added, dict(loaded.refused)) == (1, {})
        self.model.add(
            Release(
                step["id"],
                step["product"],
                step["channel"],
                step["revision"],
                step["name"],
                step["version"],
                step["private"],
                edges,
                number,
            )
        )
        if verb == "publishing load":
            made = self.model.releases[step["id"]]
            made.published, made.status = number, "PUBLISHED"

    async def _change(self, number: int, step: Json, catalog: Catalog, one: Release) -> None:
        verb, caller = step["verb"], self.shown_to(catalog)
        if caller.product not in {None, one.product}:
            return
        if verb == "rename" and one.status == "DRAFT":
            by_name = [edge for edge in one.edges if edge.id is None or edge.missing]
            if step["name"] == one.name or any(
                (edge.name, edge.version) == (step["name"], one.version) for edge in by_name
            ):
                return
            await self._done(catalog, "patch", {"id": one.id, "name": step["name"]})
            own, one.name, one.since = name(one), step["name"], number
            for edge in one.edges:
                is_lost = edge.id is not None and edge.id not in self.model.releases
                edge.missing |= is_lost and (edge.name, edge.version) == own
        elif verb == "move" and one.status == "DRAFT":
            place = (one.product, one.channel, step["revision"], one.version)
            if any(identity(other) == place for other in self.model.releases.values()):
                return
            moved = {"id": one.id, "name": one.name, "revision": str(step["revision"])}
            await self._done(catalog, "patch", moved)
            one.revision = step["revision"]
        elif verb == "show":
            await self._done(catalog, "patch", {"id": one.id, "name": one.name, "private": step["private"]})
            one.private = step["private"]
        elif verb == "publish" and one.status == "DRAFT":
            await self._done(catalog, "publish", {"id": one.id})
            one.published, one.status = number, "PUBLISHED"
        elif verb == "archive" and one.status in {"PUBLISHED", "WITHDRAWN"}:
            await self._done(catalog, "archive", {"id": one.id})
            one.status = "ARCHIVED"
        elif verb == "discard" and one.status == "DRAFT":
            await self._done(catalog, "discard", {"id": one.id})
            self.model.remove(one.id)
        elif verb == "withdraw" and one.status == "PUBLISHED":
            text = 'mutation($id: ID!) { done: withdrawRelease(input: {id: $id, reason: "r"}) { affectedCount } }'
            told = (await catalog.ask(text, id=one.id))["done"]["affectedCount"]
            one.status = "WITHDRAWN"
            assert told == self.model.affected(one.id, caller)
            await self._told(one)

    async def _told(self, one: Release) -> None:
        """The event of a withdrawal tells everybody what they see."""
        found = self.all.database[EVENTS].find({"tenantId": self.all.caller.tenant}).sort("sequence", -1).limit(1)
        [event] = [event async for event in found]
        everybody = orjson.loads(event["data"])["withdrawal"]["affectedCount"]
        assert everybody == self.model.affected(one.id, self.shown_to(self.all))
        fewer: Any = event.get("openWithdrawal")
        readers = orjson.loads(fewer)["affectedCount"] if fewer else everybody
        if not one.private:
            assert readers == self.model.affected(one.id, self.shown_to(self.callers["reader"]))

    async def _done(self, catalog: Catalog, verb: str, values: Json) -> None:
        kind = verb.capitalize()
        text = f"mutation($i: {kind}ReleaseInput!) {{ done: {verb}Release(input: $i) {{ {PROBLEM} }} }}"
        answer = (await catalog.ask(text, i=values))["done"]
        assert answer["problem"] is None, answer

    async def check(self) -> None:
        for catalog in self.callers.values():
            caller = self.shown_to(catalog)
            shown = [one for one in self.model.releases.values() if sees(caller, one)]
            out = {one.id: self.model.targets(one, caller) for one in shown}
            for one in shown:
                view = (await catalog.ask(VIEW, id=one.id))["release"]
                assert view, (caller, one)
                known = {one.id, *out[one.id]}
                into = sorted(id_ for id_, led in out.items() if one.id in led)
                assert ids(view["dependencies"]["nodes"]) == out[one.id], (caller, one)
                assert (
                    sorted({edge["node"]["id"] for edge in view["dependencies"]["edges"] if edge["node"]})
                    == out[one.id]
                )
                assert view["dependencies"]["totalCount"] == len(one.edges)
                assert {*ids(view["out"]["nodes"])} == known - {one.id}
                assert ids(view["dependants"]["nodes"]) == into, (caller, one)
                assert view["dependants"]["totalCount"] == len(into)
                assert ids(view["in"]["nodes"]) == [id_ for id_ in into if id_ != one.id]
                assert sorted({*links(view, "dependencies")}) == out[one.id]
                assert links(view, "dependants") == into
                edges = {(edge["fromId"], edge["toId"]) for edge in view["deep"]["edges"]}
                reached = {one.id, *ids(view["deep"]["nodes"])}
                assert edges == {(a, b) for a in reached for b in out[a]}
                await self._paths(catalog, one, out)

    async def _paths(self, catalog: Catalog, one: Release, out: dict[str, list[str]]) -> None:
        for other in out[one.id]:
            text = """query($id: ID!, $to: ID!) { release(id: $id) {
              dependencyPaths(toId: $to, maxLength: 1) { releases { id } } } }"""
            found = (await catalog.ask(text, id=one.id, to=other))["release"]["dependencyPaths"]
            assert [[step["id"] for step in path["releases"]] for path in found] == [[one.id, other]]


def ids(nodes: list[Json]) -> list[str]:
    return sorted(node["id"] for node in nodes)


def links(view: Json, field: str) -> list[str]:
    return sorted(link["href"].rpartition("/")[2] for link in view["_links"][field])


@given(
    st.lists(saved, min_size=1, max_size=5), st.lists(st.one_of(saved, stepped, stepped), min_size=3, max_size=14)
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_edges_are_as_the_model_says_for_every_caller(
    empty: Catalog, first: list[Json], then: list[Json]
) -> None:
    catalog = empty.seen_by(dataclasses.replace(empty.caller, tenant=uuid.uuid4().hex))
    products = {key: (await catalog.product(key))["id"] for key in PRODUCTS}
    run = Run(catalog, products)
    for number, step in enumerate([*first, *then], 1):
        await run.take(number, step)
    await run.check()
