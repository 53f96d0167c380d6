"""Checks of the database."""

import datetime
from collections.abc import AsyncIterator

from release_catalog.cli.checks import machine_checks
from release_catalog.cli.checks.findings import Finding, error, info, ok, warning
from release_catalog.cli.options import failure_text
from release_catalog.settings import Settings
from release_catalog.storage import database as db
from release_catalog.storage import deployment_state, probes, restore_marker
from release_catalog.storage.database import Database

_OLDEST, _NEWEST = 6, 8
# Leases run by the database's clock, and only log times and JWTs by this machine's.
_CLOCK_WARNING, _CLOCK_ERROR = 2.0, 60.0
_LIFETIME_SECONDS = 30
_LAG_SECONDS = 10.0
_OPLOG_HOURS = 24.0
_SOON = datetime.timedelta(days=14)
_SHOWN = 5


async def access(database: Database, seconds: float) -> Finding:
    """Find a database that does not answer within this time, or that refuses the user or asks for one."""
    try:
        with db.deadline(seconds):
            await database.command("ping")
            asks = await probes.asks_for_user(database)
    except db.Failure as wrong:
        if probes.is_refused_user(wrong):
            return error(
                f"The database refuses the user: {failure_text(wrong)}",
                "Correct the user and the password in RELEASE_CATALOG_MONGODB_URL, and authSource: it names the "
                "database that has the user.",
            )
        return error(f"The database does not answer: {failure_text(wrong)}", CHECK_URL)
    if asks:
        return error(
            "The database asks for a user, and the URL has none.",
            "Add a user to RELEASE_CATALOG_MONGODB_URL: mongodb://USER:PASSWORD@HOST/?authSource=admin.",
        )
    return ok("The database answers.")


async def server(_: Settings, database: Database) -> AsyncIterator[Finding]:
    """Find a MongoDB that is too old, or has no transactions or primary."""
    if await db.is_standalone(database.client):
        yield error(
            "MongoDB is a single server without transactions.",
            "Start it with --replSet rs0, and run rs.initiate() in mongosh once.",
        )
        return
    state = await deployment_state.server(database)
    major = int(state["version"].partition(".")[0])
    if major < _OLDEST:
        yield error(f"MongoDB {state['version']} is too old.", f"Upgrade to MongoDB {_OLDEST} or newer.")
    elif major > _NEWEST:
        yield warning(f"MongoDB {state['version']} is newer than all tested ones.", "Test it first.")
    else:
        yield ok(f"MongoDB {state['version']} is supported.")
    if state["replicaSet"] and not state["primary"]:
        yield error(f"The replica set {state['replicaSet']} has no primary.", "Look at rs.status() in mongosh.")


async def catalog(_: Settings, database: Database) -> AsyncIterator[Finding]:
    """Find a database without a catalog."""
    if await database.client[database.name].list_collection_names(filter={"name": "releases"}):
        yield ok(f"The database {database.name} has a catalog.")
    else:
        yield info(
            f"The database {database.name} has no catalog yet.",
            "The first start of a server creates it. Otherwise check RELEASE_CATALOG_DATABASE.",
        )


async def restore(_: Settings, database: Database) -> AsyncIterator[Finding]:
    """Find a restore that has not ended."""
    if marker := await restore_marker.find(database):
        yield error(
            restore_marker.unfinished(marker["tenant"]),
            "Nobody is served what it restores before its end.",
        )


async def rights(_: Settings, database: Database) -> AsyncIterator[Finding]:
    """Find a user of the database who lacks rights."""
    missing = await probes.missing_rights(database)
    if missing is None:
        yield warning(
            "MongoDB asks for no user: everybody who reaches it may change the data.",
            "Turn on its authentication, and add a user with the role readWrite.",
        )
    elif needed := [action for action in missing if action != probes.OPTIONAL_ACTION]:
        yield error(
            f"The user of the database lacks rights: {', '.join(needed)}.",
            f"Grant the role readWrite on {database.name}.",
        )
    elif missing:
        yield info(
            "The user of the database has no right to change RELEASE_CATALOG_EVENTS_DAYS later.",
            f"Grant the role dbAdmin on {database.name} for that.",
        )
    else:
        yield ok("The user of the database has all rights.")


async def indexes(found: Settings, database: Database) -> AsyncIterator[Finding]:
    """Find indexes that are missing or different, and events that are kept for another time."""
    if not await database.client[database.name].list_collection_names(filter={"name": "releases"}):
        return
    if faults := await probes.index_faults(database):
        more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        yield warning(
            f"Indexes are not those of this version: {', '.join(faults[:_SHOWN])}{more}.",
            "The start of a server creates missing indexes. Drop different ones first, with dropIndex in mongosh.",
        )
    else:
        yield ok("All indexes exist.")
    for days in await probes.retention_days(database) - {found.events_days}:
        yield info(
            f"Events are kept for {days:g} days, and RELEASE_CATALOG_EVENTS_DAYS is {found.events_days}.",
            "The next start of a server with this setting changes it, and MongoDB removes what is older.",
        )


async def clock(_: Settings, database: Database) -> AsyncIterator[Finding]:
    """Find a clock that differs from the database's."""
    ahead, uncertain = await probes.clock_offset(database)
    wrong = max(0.0, abs(ahead) - uncertain)
    text = (
        f"The clock of this machine is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} the database's."
    )
    remedy = "Synchronise both clocks by NTP: JWTs expire by this machine's clock."
    if wrong > _CLOCK_ERROR:
        yield error(text, remedy)
    elif wrong > _CLOCK_WARNING:
        yield warning(text, remedy)
    else:
        yield ok("The clocks of this machine and the database agree.")


async def transactions(_: Settings, database: Database) -> AsyncIterator[Finding]:
    """Find transactions that stay open for long after a process was killed."""
    seconds = await probes.transaction_seconds(database)
    if seconds is None:
        yield info("The lifetime of transactions can't be read.", _MONITOR)
    elif seconds > _LIFETIME_SECONDS:
        yield warning(
            f"A killed process blocks the documents that it was writing for {seconds} s.",
            "Start mongod with --setParameter transactionLifetimeLimitSeconds=10.",
        )
    else:
        yield ok(f"Transactions of killed processes end after {seconds} s.")


async def replication(_: Settings, database: Database) -> AsyncIterator[Finding]:
    """Find members of the replica set that are behind or down, and an oplog that is short."""
    try:
        state = await probes.replication(database)
    except probes.NoReplicaSet:
        # The check of the server tells it.
        return
    if state is None:
        yield info("The state of the replica set can't be read.", _MONITOR)
        return
    late = [f"{name} by {lag:.0f} s" for name, lag in state.lags.items() if lag > _LAG_SECONDS]
    if state.unhealthy:
        yield warning(f"Members are not healthy: {', '.join(state.unhealthy)}.", "Look at rs.status() in mongosh.")
    if late:
        yield warning(
            f"Members are behind: {', '.join(late)}.", "Look at their load and disks: writes wait for them."
        )
    hours = await probes.oplog_hours(database) if state.lags else None
    if hours is not None and hours < _OPLOG_HOURS:
        yield warning(
            f"The oplog covers {hours:.1f} hours: a member that is away for longer must copy everything.",
            "Enlarge it with replSetResizeOplog.",
        )
    if not state.unhealthy and not late:
        yield ok(f"The replica set is healthy: {len(state.lags)} secondaries.")


async def disk(found: Settings, database: Database) -> AsyncIterator[Finding]:
    """Find a database whose disk is nearly full."""
    free = await probes.free_bytes(database) if found.mongodb_url else None
    if free is not None:
        yield machine_checks.space(free, "the database")


async def tokens(found: Settings, database: Database) -> AsyncIterator[Finding]:
    """Find access tokens that expire soon or never, and a server to which nobody has credentials."""
    state = await probes.tokens(database, _SOON)
    if state.ending:
        names = ", ".join(state.ending[:_SHOWN])
        yield warning(
            f"Access tokens expire within {_SOON.days} days: {names}.", "Replace them: see docs/command-line.md."
        )
    if state.endless:
        yield info(
            f"{state.endless} access tokens never expire.", "Create tokens with --days, and revoke old ones."
        )
    if found.authenticated and not (state.usable or found.accounts or found.jwt_issuer):
        yield error("Nobody has credentials.", "Create a token: release-catalog token create NAME --scope admin.")
    elif state.usable and not state.ending:
        yield ok(f"{state.usable} access tokens can be used.")


CHECK_URL = "Check RELEASE_CATALOG_MONGODB_URL, the network, and that MongoDB runs."
_MONITOR = "Grant the role clusterMonitor on admin to let this command read it."
