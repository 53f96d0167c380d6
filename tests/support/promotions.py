"""Releases to promote, and promoting them as clients do."""

from typing import Any

from release_catalog.domain import release_parts, timestamps
from release_catalog.domain.promotion import PromotionDocument
from release_catalog.storage.collection_names import CONTENTS, ENVIRONMENTS, PRODUCTS, PROMOTIONS
from support.catalog import Catalog

RECORD = """id schemaVersion serviceId environment name version createdBy created createdMillis status messages
  artifacts { path checksum packageType repositoryKey } checkedWebhooks includedRepositoryKeys excludedRepositoryKeys
  overwriteExistingArtifacts sequence previousHash hash release { id }"""
PROBLEM = """__typename status detail ... on ValidationProblem { violations { field code message } }
  ... on ConflictProblem { conflictingId }"""
VERBS = {"promoteRelease": "PromoteReleaseInput", "rollbackPromotion": "RollbackPromotionInput"}


def digest(number: int) -> str:
    return f"{number:064x}"


def file(name: str, number: int = 1, status: str = "SKIPPED", **fields: Any) -> dict[str, Any]:
    """A file of a release, its digest being that of the number."""
    fields = {"size": 1, "downloadUrl": f"http://h/{name}", "sha256": digest(number), **fields}
    made = release_parts.artifact(timestamps.now(), name=name, **fields)
    return {**made, "verification": {**made["verification"], "status": status}}


def image(url: str, name: str = "app") -> dict[str, Any]:
    return {"name": name, "imageUrl": url, "platform": None, "metadata": None}


async def environment(catalog: Catalog, name: str, *requires: str) -> None:
    made: Any = {
        "_id": catalog.caller.key(name),
        "id": name,
        "name": name,
        "requires": list(requires),
        "tenantId": catalog.caller.tenant,
    }
    await catalog.database[ENVIRONMENTS].insert_one(made)


async def published(
    catalog: Catalog, *files: dict[str, Any], key: str = "tool", version: str = "1", **more: Any
) -> str:
    """The id of a release with these files."""
    product = await catalog.database[PRODUCTS].find_one({"tenantId": catalog.caller.tenant, "key": key})
    fields = {"status": "PUBLISHED", "publishedAt": timestamps.now(), "artifacts": list(files), **more}
    made = await catalog.put(product or await catalog.product(key), version, **fields)
    return str(made["id"])


async def do(catalog: Catalog, verb: str, **fields: Any) -> tuple[Any, Any]:
    """The promotion and the problem that a mutation answers with."""
    text = f"mutation($input: {VERBS[verb]}!) {{ {verb}(input: $input) {{ promotion {{ {RECORD} }} problem {{ {PROBLEM} }} }} }}"
    answer = (await catalog.ask(text, input=fields))[verb]
    return answer["promotion"], answer["problem"]


async def promote(catalog: Catalog, id_: str, to: str = "QA", **fields: Any) -> tuple[Any, Any]:
    return await do(catalog, "promoteRelease", releaseId=id_, environment=to, **fields)


async def roll_back(catalog: Catalog, id_: str, reason: str = "It fails.", **fields: Any) -> tuple[Any, Any]:
    return await do(catalog, "rollbackPromotion", promotionId=id_, reason=reason, **fields)


async def held(catalog: Catalog, name: str = "QA") -> dict[str, str]:
    """Return the contents of an environment: checksums by path."""
    found = catalog.database[CONTENTS].find({"tenantId": catalog.caller.tenant, "environment": name})
    return {content["path"]: content["checksum"] async for content in found}


async def records(catalog: Catalog) -> list[PromotionDocument]:
    """The ledger as it is stored."""
    found = catalog.database[PROMOTIONS].find({"tenantId": catalog.caller.tenant}, {"_id": 0})
    return await found.sort("sequence", 1).to_list(None)


async def everything(catalog: Catalog) -> dict[str, list[dict[str, Any]]]:
    """All documents of the database."""
    names = sorted(await catalog.database.client[catalog.database.name].list_collection_names())
    return {name: rows for name in names if (rows := [row async for row in catalog.database[name].find({})])}
