"""Access tokens: one document each, under the digest of the token, which itself is not stored."""

import datetime
from collections.abc import Iterable
from typing import Any

import structlog
from pymongo.asynchronous.collection import AsyncCollection

from release_catalog import errors
from release_catalog.domain import access_tokens, ids, timestamps
from release_catalog.domain.access_tokens import AccessTokenDocument
from release_catalog.domain.caller import OPERATIONS, Caller
from release_catalog.domain.validation import Validator
from release_catalog.storage import cursors, leases, transactions
from release_catalog.storage import database as db
from release_catalog.storage.collection_names import PRODUCTS, TOKENS
from release_catalog.storage.database import Collections, Database, Stage
from release_catalog.storage.idempotency import Answer, MutationInput
from release_catalog.storage.records import MAX_LISTED

# The precision of `lastUsedAt`.
USED = datetime.timedelta(minutes=1)
# Tokens of one name that a command tells apart.
_MAX_NAMED = 10

_log = structlog.get_logger()


async def create(caller: Caller, database: Database, values: MutationInput) -> Answer:
    """Create a token of the caller's tenant; only this answer contains it."""
    checks, now = Validator(values, "input"), timestamps.now()
    by_operator = caller.may(OPERATIONS)
    name, scopes = checks.name("name") or "", access_tokens.scopes(checks, by_operator=by_operator)
    expires, product_id = values.get("expiresAt"), values.get("productId")
    if expires is not None and expires <= now:
        checks.refuse(
            "expiresAt",
            "IN_PAST",
            "The time of expiry has passed: give a time in the future, or null for a token that does not expire.",
        )
    if product_id is not None and not await database[PRODUCTS].find_one(
        {"_id": caller.key(product_id)}, {"_id": 1}
    ):
        checks.refuse("productId", "UNKNOWN", f"The product {product_id!r} does not exist: save it first.")
    if checks.found:
        return errors.ValidationProblem(violations=checks.found)
    token = access_tokens.new()
    made: AccessTokenDocument = {
        "_id": access_tokens.digest(token),
        "id": ids.new(),
        "tenantId": caller.tenant,
        "name": name,
        "scopes": scopes,
        "productId": product_id,
        "createdAt": now,
        "createdBy": caller.subject,
        "expiresAt": expires,
        "lastUsedAt": None,
        "revokedAt": None,
    }

    async def work(session: Any) -> Answer:
        await database[TOKENS].insert_one(made, session=session)
        return {"accessToken": made, "token": token}

    answer = await transactions.run(database, work)
    about = {"token_id": made["id"], "tenant": caller.tenant, "by": caller.subject}
    _log.info("access token created", **about, scopes=scopes, product=product_id, expires=expires)
    return answer


async def revoke(caller: Caller, database: Database, values: MutationInput) -> Answer:
    """Revoke a token for good; an already revoked token does not change."""
    match = {"tenantId": caller.tenant, "id": values["id"]}

    async def work(session: Any) -> AccessTokenDocument | None:
        end = {"$set": {"revokedAt": timestamps.now()}}
        await database[TOKENS].update_one({**match, "revokedAt": None}, end, session=session)
        return await database[TOKENS].find_one(match, session=session)

    found = await transactions.run(database, work)
    if found is None:
        return errors.NotFound(detail=f"The access token {values['id']!r} does not exist: check its id.")
    _log.info("access token revoked", token_id=found["id"], tenant=caller.tenant, by=caller.subject)
    return {"accessToken": found}


async def everyone(caller: Caller, database: Database) -> list[AccessTokenDocument]:
    """Return the tenant's tokens, newest first, at most 1000."""
    found = database[TOKENS].find({"tenantId": caller.tenant}).sort([("createdAt", -1), ("id", -1)])
    return await cursors.documents(found.hint("created").limit(MAX_LISTED), MAX_LISTED)


async def by_id_or_name(caller: Caller, database: Database, text: str) -> list[AccessTokenDocument]:
    """Return the tenant's token with this id, or up to 10 tokens with this name that are not revoked.

    It walks the tenant's tokens, so it is for a command and not for a request.
    """
    if by_id := await by_ids(caller, database, [text]):
        return [*by_id.values()]
    match = {"tenantId": caller.tenant, "name": text, "revokedAt": None}
    found = database[TOKENS].find(match).sort([("createdAt", -1), ("id", -1)])
    return await cursors.documents(found.hint("created").limit(_MAX_NAMED), _MAX_NAMED)


async def by_ids(
    caller: Caller, database: Collections, ids: Iterable[str], keys: cursors.FieldPaths = None
) -> dict[str, AccessTokenDocument]:
    """Return `keys` of the tenant's tokens by id."""
    match = {"tenantId": caller.tenant, "id": {"$in": list(ids)}}
    found = database[TOKENS].find(match, db.projection(keys, "id")).hint("id").batch_size(db.ONE_BATCH)
    return {token["id"]: token for token in await cursors.documents(found, None, keys)}


async def known(database: Database, token: str) -> AccessTokenDocument | None:
    """Return the document of a token, of any tenant: the token identifies the caller.

    A token expires by the database's clock; `expiresAt` in the returned document is by this machine's clock.
    """
    stages: list[Stage] = [{"$match": {"_id": access_tokens.digest(token)}}, {"$set": {"now": "$$NOW"}}]
    # Its documents get a field more.
    collection: AsyncCollection[Any] = database[TOKENS]
    found = await db.aggregate(collection, stages)
    if not found:
        return None
    behind = timestamps.now() - found[0].pop("now")
    document: AccessTokenDocument = found[0]
    if document["expiresAt"] is not None:
        document["expiresAt"] += behind
    return document


@db.bounded
async def used(database: Database, document: AccessTokenDocument) -> None:
    """Record the use of a token, at most once a minute."""
    rarely = {"$expr": {"$lte": ["$lastUsedAt", leases.after(-USED)]}}
    await database[TOKENS].update_one({"_id": document["_id"], **rarely}, [{"$set": {"lastUsedAt": "$$NOW"}}])
