"""The hand-written endpoint that writes, as createRelease does: a document, its event and the event's number.

The document is made by this project's own pure functions: the comparison is about the code around them.
"""

from typing import Any

import orjson
from pymongo import ReturnDocument, WriteConcern
from starlette.requests import Request
from starlette.responses import Response

import catalog
from catalog import KEY, TENANT, database
from release_catalog.domain import events, timestamps
from release_catalog.domain import release as releases
from release_catalog.domain.caller import local
from release_catalog.storage import search_terms


async def create(request: Request) -> Response:
    """Make a draft of a release with one file and one dependency, in one transaction."""
    given = orjson.loads(await request.body())
    product = await database.products.find_one({"_id": KEY + given["productId"]}) or {}
    now = timestamps.now()
    made = {"size": 1024, "sha256": given["sha256"], "downloadUrl": "https://downloads.example/file"}
    file = releases.artifact(now, name="file", **made)
    needed = [{"name": given["needed"], "version": given["neededVersion"]}]
    names = ("name", "version")
    new = releases.document(
        TENANT, product, *(given[name] for name in names), now, artifacts=[file], dependencies=needed
    )

    async def work(session: Any) -> None:
        await database.releases.insert_one(search_terms.to_stored(local(TENANT), new), session=session)
        counter = await database.counters.find_one_and_update(
            {"_id": KEY + "events"},
            {"$inc": {"value": 1}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        event = {"_id": f"{KEY}{counter['value']:016d}", "tenantId": TENANT, "sequence": counter["value"]}
        event |= {"type": "RELEASE_CREATED", "triggeredAt": now, "releaseId": new["id"]}
        await database.events.insert_one(
            {**event, "data": orjson.dumps(events.release_payload(new)).decode()}, session=session
        )

    async with catalog.client.start_session() as session:
        await session.with_transaction(work, write_concern=WriteConcern("majority"))
    shown = {name: new[name] for name in (*names, "status")}
    answer = {"data": {"createRelease": {"release": shown, "problem": None}}}
    return Response(orjson.dumps(answer), media_type="application/json")
