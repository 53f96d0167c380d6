"""Looks at a MongoDB for `release-catalog doctor`: each reads something and changes nothing."""

import datetime
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from pymongo.errors import OperationFailure

from release_catalog.domain import timestamps
from release_catalog.storage import indexes
from release_catalog.storage.collection_names import TOKENS
from release_catalog.storage.database import Database

# What servers do in their database. The last one is needed only to change RELEASE_CATALOG_EVENTS_DAYS.
ACTIONS = ("find", "insert", "update", "remove", "createCollection", "createIndex", "changeStream", "collMod")
OPTIONAL_ACTION = "collMod"
_ANY = "anyAction"
# Tokens that are looked at.
_MAX_TOKENS = 1_000
# A full oplog forgets its oldest entry for each new one.
_FULL = 0.9
# MongoDB's codes: no right, and no such command, parameter or collection.
_DENIED = {13, 18, 26, 59, 72, 166, 238, 8000}
# No such user, a wrong password, and both in Atlas; no right; a single server.
_REFUSED_USER = {11, 18, 8000}
_NO_RIGHT, _NO_REPLICA_SET = 13, 76


class NoReplicaSet(Exception):  # noqa: N818  it is no fault of the program
    """MongoDB is a single server."""


async def asks_for_user(database: Database) -> bool:
    """Return whether MongoDB refuses to read because the URL has no user."""
    found = await database.client.admin.command("connectionStatus")
    if found["authInfo"]["authenticatedUsers"]:
        return False
    try:
        await database.client[database.name].list_collection_names(filter={"name": "releases"})
    except OperationFailure as error:
        if error.code == _NO_RIGHT:
            return True
        raise
    return False


def is_refused_user(error: Exception) -> bool:
    """Return whether MongoDB does not know the user or the password."""
    return isinstance(error, OperationFailure) and error.code in _REFUSED_USER


async def missing_rights(database: Database) -> list[str] | None:
    """Return the actions that the database's user lacks; None if MongoDB asks for no user."""
    found = await database.client.admin.command("connectionStatus", showPrivileges=True)
    about = found["authInfo"]
    if not about["authenticatedUsers"]:
        return None
    allowed = {
        action
        for privilege in about.get("authenticatedUserPrivileges", [])
        if _covers(privilege["resource"], database.name)
        for action in privilege["actions"]
    }
    return [] if _ANY in allowed else [action for action in ACTIONS if action not in allowed]


def _covers(resource: Mapping[str, Any], name: str) -> bool:
    """Return whether a resource is all collections of a database."""
    if resource.get("anyResource"):
        return True
    return resource.get("db") in {"", name} and resource.get("collection") == ""


async def index_faults(database: Database) -> list[str]:
    """Return the indexes that are missing or have other keys, as collection and name."""
    faults = []
    for collection in indexes.INDEXES:
        cursor = await database.client[database.name][collection].list_indexes()
        found = {index["name"]: index async for index in cursor}
        wanted = (index.document for index in indexes.all_of(collection))
        for index in (index for index in wanted if [*index["key"]] != ["_id"]):
            there = found.get(index["name"])
            if there is None:
                faults.append(f"{collection}.{index['name']} (missing)")
            elif any(
                _plain(there.get(part)) != _plain(index.get(part)) for part in ("key", "partialFilterExpression")
            ) or bool(there.get("unique")) != bool(index.get("unique")):
                faults.append(f"{collection}.{index['name']} (different)")
    return faults


async def retention_days(database: Database) -> set[float]:
    """Return the days for which events and webhook deliveries are kept; empty if nothing removes them."""
    found = [await database[collection].index_information() for collection in indexes.KEPT]
    seconds = [index.get(indexes.RETENTION, {}).get("expireAfterSeconds") for index in found]
    return {it / indexes.DAY_SECONDS for it in seconds if it is not None}


def _plain(value: Any) -> Any:
    return [*value.items()] if isinstance(value, Mapping) else value


async def clock_offset(database: Database) -> tuple[float, float]:
    """Return the seconds by which this machine's clock is ahead of the database's, and the uncertainty."""
    began, before = time.monotonic(), datetime.datetime.now(datetime.UTC)
    hello = await database.client.admin.command("hello")
    half = (time.monotonic() - began) / 2
    there = hello["localTime"].replace(tzinfo=datetime.UTC)
    return (before - there).total_seconds() + half, half


async def transaction_seconds(database: Database) -> int | None:
    """Return the lifetime of transactions; None if the user lacks the right to read it."""
    name = "transactionLifetimeLimitSeconds"
    found = await _allowed(database, "getParameter", transactionLifetimeLimitSeconds=1)
    return int(found[name]) if found and name in found else None


class Replication(NamedTuple):
    """The state of a replica set: seconds behind the primary by member, and members that are not healthy."""

    lags: dict[str, float]
    unhealthy: list[str]


async def replication(database: Database) -> Replication | None:
    """Return the state of the replica set; None if the user lacks the right to read it. Raise NoReplicaSet."""
    try:
        found = await _allowed(database, "replSetGetStatus")
    except OperationFailure as error:
        if error.code == _NO_REPLICA_SET:
            raise NoReplicaSet from error
        raise
    if found is None:
        return None
    members = found["members"]
    primary = next((member for member in members if member.get("stateStr") == "PRIMARY"), None)
    lags = {
        str(member["name"]): (primary["optimeDate"] - member["optimeDate"]).total_seconds()
        for member in members
        if primary and member.get("stateStr") == "SECONDARY"
    }
    well = {"PRIMARY", "SECONDARY", "ARBITER"}
    return Replication(lags, [str(it["name"]) for it in members if it.get("stateStr") not in well])


async def oplog_hours(database: Database) -> float | None:
    """Return the hours that the oplog covers; None if the user lacks the right, or it is not full yet."""
    local = database.client["local"]
    try:
        size = await local.command("collStats", "oplog.rs")
        if size["size"] < _FULL * size["maxSize"]:
            return None
        ends = [await local["oplog.rs"].find_one({}, {"wall": 1}, sort=[("$natural", way)]) for way in (1, -1)]
    except OperationFailure as error:
        if error.code in _DENIED:
            return None
        raise
    if not all(ends):
        return None
    oldest, newest = (end["wall"] for end in ends)
    hours: float = (newest - oldest).total_seconds() / 3_600
    return hours


async def free_bytes(database: Database) -> int | None:
    """Return the free bytes of the database's disk; None if MongoDB does not tell."""
    found = await _allowed(database, "dbStats", own=True)
    if not found or not found.get("fsTotalSize"):
        return None
    return int(found["fsTotalSize"] - found["fsUsedSize"])


class Tokens(NamedTuple):
    """Access tokens of all tenants: how many can be used, how many never expire, and those that soon do."""

    usable: int
    endless: int
    ending: list[str]


async def tokens(database: Database, within: datetime.timedelta) -> Tokens:
    """Return the state of the newest access tokens."""
    shown = dict.fromkeys(("tenantId", "name", "expiresAt"), 1)
    cursor = database[TOKENS].find({"revokedAt": None}, shown).limit(_MAX_TOKENS)
    now = timestamps.now()
    found = [it for it in await cursor.to_list(_MAX_TOKENS) if it["expiresAt"] is None or it["expiresAt"] > now]
    ending = [
        f"{it['name']} of {it['tenantId']}" for it in found if it["expiresAt"] and it["expiresAt"] <= now + within
    ]
    return Tokens(len(found), sum(it["expiresAt"] is None for it in found), ending)


async def _allowed(
    database: Database, command: str, *, own: bool = False, **options: Any
) -> dict[str, Any] | None:
    """Return the response to a command for administrators; None if the user lacks the right to send it."""
    target = database.client[database.name if own else "admin"]
    try:
        found: dict[str, Any] = await target.command(command, 1, **options)
    except OperationFailure as error:
        if error.code in _DENIED:
            return None
        raise
    return found
