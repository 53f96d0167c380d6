"""Importing a release (S1): a draft is made, or a draft of the same identity replaced."""

from collections.abc import Sequence
from typing import Any

from release_catalog import problems
from release_catalog.domain import drafting as drafts
from release_catalog.domain import ids, importing, instants, release
from release_catalog.domain.caller import Caller
from release_catalog.domain.checks import Checks
from release_catalog.problems import Problem, Violation
from release_catalog.store import drafting, loading, verifying, writing
from release_catalog.store.database import Database, Document
from release_catalog.store.requests import Answer, Given


async def take(
    caller: Caller, database: Database, given: Given, looked: Sequence[Document] = (), claim: str | None = None
) -> Answer:
    """Import the document `given["release"]`.

    `looked` is what was found of each of its files, in their order, where they have been looked at; `claim` is
    what the request holds its idempotency key by.
    """

    async def work(session: Any) -> Answer:
        now = instants.now()
        fields, violations = importing.read(given["release"], "input.release", now)
        product = await _product(caller, database, Checks(given, "input", violations), fields["project"], session)
        if refused := writing.beyond(caller, product["id"]):
            return refused
        before = await _before(caller, database, product, fields, session)
        fields["id"] = before["id"] if before else ids.new()
        doc = Checks(given["release"], "input.release", violations)
        warnings = await drafting.settle(caller, database, doc, fields, before, session)
        if violations:
            return problems.Invalid(violations=violations)
        if before and (before["status"] != "DRAFT" or given["onConflict"] == "FAIL"):
            return _in_the_way(before)
        made = _made(caller, product, fields, before)
        verifying.mark(made, given["verification"], looked)
        kept = await _keep(caller, database, product, before, made, session)
        await verifying.tell(caller, database, kept, looked, session)
        answer = _answer(kept, before, warnings)
        if given.get("dryRun"):
            answer["wouldBe"] = await _beside(caller, database, product, session)
        return answer

    return await writing.once(caller, database, "importRelease", given, work, claim)


async def _product(
    caller: Caller, database: Database, checks: Checks, project: str | None, session: Any
) -> Document:
    """The product of an identifier, which is made where there is none (S1); the document must mean it too."""
    asked, identifier = checks.fields.get("catalogId"), checks.text("projectIdentifier", 256, required=True) or ""
    if asked and not await database.catalogs.find_one({"_id": caller.key(asked)}, session=session):
        checks.refuse("catalogId", "UNKNOWN", f"There is no catalog {asked!r}: save it first.")
    catalog_id = asked or loading.DEFAULT_CATALOG
    by_id: Document = {"_id": caller.key(identifier), **({"catalogId": asked} if asked else {})}
    by_key = {"tenantId": caller.tenant, "key": identifier, "catalogId": catalog_id}
    product: Document = (
        await database.products.find_one(by_key, session=session)
        or await database.products.find_one(by_id, session=session)
        or loading.product(caller, catalog_id, identifier)
    )
    if project is not None and project not in {product["id"], product["key"], product["name"]}:
        message = (
            f"It names {project!r}, and the request {identifier!r}: import it into the product that it is of."
        )
        checks.found.append(Violation("input.release.project", message, "ANOTHER_PROJECT"))
    return product


async def _before(
    caller: Caller, database: Database, product: Document, fields: Document, session: Any
) -> Document | None:
    identity = {
        "tenantId": caller.tenant,
        "catalogId": product["catalogId"],
        "productId": product["id"],
        "version": fields["version"],
        "revision": fields.get("revision", "0"),
        "channel": fields.get("channel", "stable"),
    }
    return await database.releases.find_one(identity, {"terms": 0}, session=session)


def _in_the_way(before: Document) -> Problem:
    detail = f"There is already a release {before['version']} of this product; it is {before['status']}. "
    detail += "A draft is replaced with onConflict UPDATE; a release that was published never is."
    return problems.Conflict(detail=detail, conflicting_id=before["id"])


def _made(caller: Caller, product: Document, fields: Document, before: Document | None) -> Document:
    given = {name: value for name, value in fields.items() if name != "project"}
    if before is None:
        return release.document(caller.tenant, product, now=fields["importedAt"], **given)
    files = drafts.artifacts(before["artifacts"], fields["artifacts"], fields["importedAt"])
    made = {**before, "trial": False, **release.described(), **given, "artifacts": files}
    return {**made, **release.derived(made)}


async def _keep(
    caller: Caller, database: Database, product: Document, before: Document | None, made: Document, session: Any
) -> Document:
    await verifying.schedule(caller, database, made, session)
    if before:
        return await drafting.store(caller, database, before, made, session, "release.imported")
    await loading.catalog(caller, database, product["catalogId"], session)
    await database.products.update_one(
        {"_id": product["_id"]}, {"$setOnInsert": product}, upsert=True, session=session
    )
    await drafting.add(caller, database, made, "release.imported", session)
    return made


async def _beside(
    caller: Caller, database: Database, product: Document, session: Any
) -> dict[tuple[str, str], Any]:
    """What a release that is not kept refers to, which may not be there without it."""
    catalog_id = product["catalogId"]
    catalog = await database.catalogs.find_one({"_id": caller.key(catalog_id)}, session=session)
    return {("products", product["id"]): product, ("catalogs", catalog_id): catalog}


def _answer(made: Document, before: Document | None, warnings: list[str]) -> Document:
    found = verifying.warnings(made)
    said = [f"{'Updated' if before else 'Created'} the draft {made['name']} {made['version']}.", *warnings]
    if found:
        said.append(f"{len(found)} of {len(made['artifacts'])} files could not be verified: see warnings.")
    return {
        "catalogId": made["id"],
        "name": made["name"],
        "version": made["version"],
        "status": made["status"],
        "message": " ".join(said),
        "warnings": found,
        "release": made,
    }
