"""Releases over whole lives: whatever is done with a few of them, in whatever order, a model foretells it."""

import dataclasses
import json
import uuid
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from release_catalog.domain.caller import local
from release_catalog.storage.collection_names import EVENTS, RELEASES
from support.catalog import Catalog, source

Json = dict[str, Any]
FIELDS = "release { id etag status name notes tag version channel } problem { __typename ... on ValidationProblem { violations { field code } } ... on ConflictProblem { conflictingId } }"
FILE = {"name": "f", "size": 1, "sha256": "a" * 64, "downloadUrl": "https://downloads.example/f"}
# From which status a verb leads where.
STEPS = {
    "publish": ({"DRAFT"}, "PUBLISHED"),
    "withdraw": ({"PUBLISHED"}, "WITHDRAWN"),
    "archive": ({"PUBLISHED", "WITHDRAWN"}, "ARCHIVED"),
}
EVENT_OF = {
    "create": "release.created", "import": "release.imported", "patch": "release.updated", "replace": "release.updated",
    "publish": "release.published", "withdraw": "release.withdrawn", "archive": "release.archived",
    "discard": "release.discarded",
}  # fmt: skip
IDENTITIES = [("1.0", "stable"), ("1.0", "beta"), ("2.0", "stable")]


@dataclasses.dataclass
class Expected:
    """The state of a release in the model."""

    id: str
    etag: str
    status: str = "DRAFT"
    name: str = "app"
    notes: str | None = None
    tag: str | None = None
    files: int = 0


class Model:
    """A tenant's releases by identity, the ids that drafts had, and the events that have happened."""

    def __init__(self) -> None:
        self.releases: dict[tuple[str, str], Expected] = {}
        self.discarded: list[str] = []
        self.events: list[tuple[str, str]] = []
        self.stale: list[str] = []


operations = st.fixed_dictionaries(
    {
        "verb": st.sampled_from(
            ["create", "import", "patch", "replace", "publish", "withdraw", "archive", "discard"]
        ),
        "identity": st.sampled_from(IDENTITIES),
        "notes": st.sampled_from([None, "one", "two"]),
        "tag": st.sampled_from([None, "v1", "v2"]),
        "name": st.sampled_from(["app", "app", "App"]),
        "file": st.booleans(),
        "ifMatch": st.sampled_from([None, None, "current", "stale"]),
        "fail": st.booleans(),
        "used": st.booleans(),
    }
)


@given(st.lists(operations, min_size=4, max_size=12))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_sequence_of_mutations_follows_the_lifecycle_model(empty: Catalog, done: list[Json]) -> None:
    catalog, model = empty.seen_by(local(uuid.uuid4().hex)), Model()
    product = await catalog.product("app", "DOTTED")
    for operation in done:
        await Step(catalog, model, product["id"], operation).take()
    for identity, expected in model.releases.items():
        stored: Any = await catalog.database[RELEASES].find_one({"_id": catalog.caller.key(expected.id)})
        assert (stored["version"], stored["channel"]) == identity
        for field in ("etag", "status", "name", "notes", "tag"):
            assert stored[field] == getattr(expected, field)
        assert len(stored["artifacts"]) == expected.files
    mine = {"tenantId": catalog.caller.tenant}
    assert await catalog.database[RELEASES].count_documents(mine) == len(model.releases)
    told = [event async for event in catalog.database[EVENTS].find(mine).sort("sequence", 1)]
    assert [(event["type"], event["releaseId"]) for event in told] == model.events
    assert [event["sequence"] for event in told] == list(range(1, len(told) + 1))
    assert all(json.loads(event["data"])["id"] == event["releaseId"] for event in told)


class Step:
    """One operation, and what it has to come to."""

    def __init__(self, catalog: Catalog, model: Model, product_id: str, operation: Json) -> None:
        self.catalog = catalog
        self.model = model
        self.product_id = product_id
        self.verb: str = operation["verb"]
        self.identity: tuple[str, str] = operation["identity"]
        self.given = operation
        self.before = model.releases.get(self.identity)

    async def take(self) -> None:
        if self.verb in {"create", "import"}:
            await getattr(self, f"_{self.verb}")()
        elif self.before and self.verb == "discard":
            await self._discard(self.before)
        elif self.before:
            await self._change(self.before)

    async def _ask(self, **asked: Any) -> tuple[Json, Json]:
        kind = self.verb.capitalize()
        text = f"mutation($input: {kind}ReleaseInput!) {{ {self.verb}Release(input: $input) {{ {FIELDS} }} }}"
        answer = (await self.catalog.ask(text, input=asked))[f"{self.verb}Release"]
        assert (answer["release"] is None) != (answer["problem"] is None)
        return answer["release"], answer["problem"]

    def _said(self) -> Json:
        files = [FILE] if self.given["file"] else []
        author = source("app")["author"]  # who replaces a release without naming its author takes it away
        return {"name": self.given["name"], "tag": self.given["tag"], "author": author, "artifacts": files}

    async def _create(self) -> None:
        version, channel = self.identity
        asked = {**self._said(), "notes": self.given["notes"], "version": version, "channel": channel}
        if self.given["used"] and self.model.discarded and not self.before:
            _, problem = await self._ask(productId=self.product_id, **asked, id=self.model.discarded[-1])
            assert problem == {"__typename": "ConflictProblem", "conflictingId": None}
            return
        release, problem = await self._ask(productId=self.product_id, **asked)
        if self.before:
            assert problem == {"__typename": "ConflictProblem", "conflictingId": self.before.id}
        else:
            self._expect(release, Expected(release["id"], release["etag"]), whole=True)

    async def _import(self) -> None:
        version, channel = self.identity
        document = {**source("app", version, channel=channel), **self._said(), "releaseNotes": self.given["notes"]}
        conflict = {"onConflict": "FAIL" if self.given["fail"] else "UPDATE", "verification": "SKIP"}
        release, problem = await self._ask(projectIdentifier="app", release=document, **conflict)
        if self.before and (self.before.status != "DRAFT" or self.given["fail"]):
            assert problem == {"__typename": "ConflictProblem", "conflictingId": self.before.id}
        else:
            self._expect(release, self.before or Expected(release["id"], ""), whole=True)

    async def _discard(self, before: Expected) -> None:
        text = """mutation($id: ID!) { discardRelease(input: {id: $id}) { discardedId
          problem { ... on ValidationProblem { violations { field code } } } } }"""
        answer = (await self.catalog.ask(text, id=before.id))["discardRelease"]
        if before.status == "DRAFT":
            assert answer == {"discardedId": before.id, "problem": None}
            del self.model.releases[self.identity]
            self.model.discarded.append(before.id)
            self.model.events.append((EVENT_OF[self.verb], before.id))
        else:
            assert answer["discardedId"] is None
            assert answer["problem"]["violations"] == [{"field": "input.id", "code": "WRONG_STATUS"}]

    async def _change(self, before: Expected) -> None:
        asked: Json = {"id": before.id}
        if self.given["ifMatch"]:
            stale = self.model.stale[-1] if self.model.stale else "never"
            asked["ifMatch"] = before.etag if self.given["ifMatch"] == "current" else stale
        if self.verb in {"patch", "replace"}:
            asked |= {**self._said(), "notes": self.given["notes"]}
        if self.verb == "withdraw":
            asked["reason"] = "broken"
        release, problem = await self._ask(**asked)
        if asked.get("ifMatch", before.etag) != before.etag:
            assert problem["__typename"] == "PreconditionProblem"
        elif self.verb in STEPS:
            allowed, to = STEPS[self.verb]
            if before.status in allowed:
                before.status = to
                self._expect(release, before)
            else:
                assert problem["violations"] == [{"field": "input.id", "code": "WRONG_STATUS"}]
        elif fixed := self._fixed(before):
            assert {violation["field"] for violation in problem["violations"]} == fixed
            assert {violation["code"] for violation in problem["violations"]} == {"FIXED"}
        else:
            self._expect(release, before, whole=self.verb == "replace", partly=self.verb == "patch")

    def _fixed(self, before: Expected) -> set[str]:
        """Return the changes that are refused for a release that is not a draft."""
        if before.status == "DRAFT":
            return set()
        found = {"input.name"} if self.given["name"] != before.name else set()
        if self.given["tag"] != before.tag and (self.given["tag"] or self.verb == "replace"):
            found.add("input.tag")
        if self.given["file"] != bool(before.files) and (self.given["file"] or self.verb == "replace"):
            found.add("input.artifacts")
        return found

    def _expect(self, release: Json, after: Expected, *, whole: bool = False, partly: bool = False) -> None:
        """Hold what was answered against the model, which it changes."""
        then = dataclasses.replace(after)
        if whole or partly:
            after.name = self.given["name"]
            after.notes = self.given["notes"] if whole or self.given["notes"] is not None else after.notes
            after.tag = self.given["tag"] if whole or self.given["tag"] is not None else after.tag
            after.files = int(self.given["file"]) if whole else max(after.files, int(self.given["file"]))
        if self.before and release["etag"] == self.before.etag:
            assert partly or whole, "a step in its life changes a release"
            assert after == then, "what changes has another etag"
        else:
            self.model.stale.append(after.etag)
            self.model.events.append((EVENT_OF[self.verb], release["id"]))
        after.etag = release["etag"]
        version, channel = self.identity
        for field in ("id", "status", "name", "notes", "tag"):
            assert release[field] == getattr(after, field)
        assert (release["version"], release["channel"]) == (version, channel)
        self.model.releases[self.identity] = after
