"""The dispatcher of webhook deliveries: to each webhook in order, at least once, from any free process.

The event log is the queue. A webhook that fails waits for its next attempt and delays no other.
"""

import asyncio
import contextlib
import datetime
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any
from urllib.parse import urlsplit

import structlog

from release_catalog import request_record
from release_catalog.domain import events as kinds
from release_catalog.domain import ids, timestamps, webhooks
from release_catalog.domain.caller import Caller, Owner
from release_catalog.domain.events import EventDocument
from release_catalog.domain.webhooks import WebhookDocument
from release_catalog.events.change_stream import Notify
from release_catalog.files import address_guard
from release_catalog.request_record import Observers, RequestRecord
from release_catalog.storage import database as db
from release_catalog.storage import event_log, outages, webhook_queue
from release_catalog.storage import webhooks as stored
from release_catalog.storage.database import Database
from release_catalog.storage.workers import Workers
from release_catalog.webhooks.delivery_slots import AT_ONCE, SLOW_SECONDS, Places
from release_catalog.webhooks.sender import DeliveryResult, WebhookSender

# Other webhooks get their turn after this time, however many events are pending for one.
TURN_SECONDS = 2.0
# The pause between two looks, at least as long as the look itself took; and the one after a failed look.
_PAUSE_SECONDS = 0.05
_RETRY_SECONDS = 1.0
_GONE = 410

_log = structlog.get_logger()


@contextlib.asynccontextmanager
async def run_dispatcher(
    database: Database,
    allowed: address_guard.Allowed,
    ending: asyncio.Event | None = None,
    observers: Observers = (),
    workers: Workers | None = None,
) -> AsyncIterator[Notify]:
    """Deliver to webhooks of all tenants for as long as the context lasts, or until it is `ending`.

    The yielded function wakes the dispatcher. The `observers` get a record of each attempt.
    """
    async with WebhookSender(allowed, AT_ONCE) as poster:
        over, bell = asyncio.Event(), asyncio.Event()
        work = _dispatch(database, poster, over, bell, observers)
        dispatcher = (workers or Workers()).start("webhooks", work)

        def end() -> None:
            over.set()
            bell.set()

        try:
            with db.when(ending, end):
                yield lambda _: bell.set()
        finally:
            end()
            await db.end(dispatcher)


async def _dispatch(
    database: Database, poster: WebhookSender, over: asyncio.Event, bell: asyncio.Event, observers: Observers
) -> None:
    turns: dict[asyncio.Task[None], Lease] = {}
    places = Places()

    def ended(task: asyncio.Task[None]) -> None:
        lease = turns.pop(task)
        places.give_back(lease.id, lease.seconds)
        _log_failure(task)
        # A slot is free, and the same webhook may have more pending events.
        bell.set()

    while not over.is_set():
        bell.clear()
        began = asyncio.get_running_loop().time()
        try:
            taken, again = await _take(database, places)
        except db.Failure as error:
            _log.warning("search for due webhooks failed", reason=outages.reason(error))
            taken, again = [], _RETRY_SECONDS
        except Exception:  # noqa: BLE001  whatever it is, the next look may succeed
            _log.exception("search for due webhooks failed")
            taken, again = [], _RETRY_SECONDS
        for webhook in taken:
            lease = Lease(database, webhook, observers)
            task = asyncio.create_task(deliver_batch(database, poster, webhook, lease))
            turns[task] = lease
            task.add_done_callback(ended)
        await asyncio.sleep(max(_PAUSE_SECONDS, asyncio.get_running_loop().time() - began))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(bell.wait(), again)
    for lease in turns.values():
        lease.end()
    await asyncio.gather(*turns, return_exceptions=True)


async def _take(database: Database, places: Places) -> tuple[list[WebhookDocument], float]:
    """Lease webhooks that got a slot, and release those whose receiver's share turns out to be in use."""
    chosen: dict[str, WebhookDocument] = {}

    def choose(due: Sequence[WebhookDocument]) -> list[WebhookDocument]:
        chosen.update((webhook["_id"], webhook) for webhook in places.choose(due))
        return [*chosen.values()]

    taken: list[WebhookDocument] = []
    try:
        leased, again = await webhook_queue.take(database, AT_ONCE, choose)
        for webhook in leased:
            try:
                is_admitted = places.admit(webhook)
            except Exception:  # noqa: BLE001  one broken webhook must not hold up the others
                # Its lease ends by itself.
                _log.exception("broken webhook", webhook=webhook["_id"])
                continue
            chosen.pop(webhook["_id"])
            if is_admitted:
                taken.append(webhook)
            else:
                with contextlib.suppress(db.Failure):  # then its lease ends by itself
                    await webhook_queue.release(database, webhook)
    finally:
        # Another process was faster, or the database failed.
        for id_ in chosen:
            places.give_back(id_)
    return taken, again


def _log_failure(one: "asyncio.Task[None]") -> None:
    # Its lease ends by itself: until then nobody repeats the failed work.
    if isinstance(error := one.exception(), db.Failure):
        _log.warning("webhook delivery interrupted", reason=outages.reason(error))
    elif error:
        _log.error("webhook delivery interrupted", exc_info=error)


class Lease:
    """A webhook that is leased while events are delivered to it.

    When the lease ends, the current HTTP request is cancelled, but no database command: that could cost its
    connection.
    """

    def __init__(self, database: Database, webhook: WebhookDocument, observers: Observers = ()) -> None:
        """Take over a leased webhook; the `observers` get a record of each attempt."""
        self.observers = observers
        self.id: str = webhook["_id"]
        self.over = asyncio.Event()
        # The time that the last message took; None before the first one.
        self.seconds: float | None = None
        self._database = database
        self._webhook = webhook
        self._sending: asyncio.Future[DeliveryResult] | None = None
        self._begun = webhook_queue.leased_at(webhook), time.monotonic()

    def now(self) -> datetime.datetime:
        """Return the current time of the database's clock, which may be far from this machine's."""
        instant, at = self._begun
        return instant + datetime.timedelta(seconds=time.monotonic() - at)

    def end(self) -> None:
        """Start nothing more."""
        self.over.set()
        if self._sending:
            self._sending.cancel()

    async def send(self, sending: Coroutine[Any, Any, DeliveryResult]) -> DeliveryResult | None:
        """Return the result, or None if the lease ended first."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._sending = asyncio.ensure_future(sending)
        try:
            return await self._sending
        except asyncio.CancelledError:
            if self.over.is_set():
                return None
            raise
        finally:
            self.seconds = loop.time() - began

    async def renew(self) -> None:
        """Renew the lease until it ends, which it does if another process has it."""
        while not self.over.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.over.wait(), webhook_queue.LEASE.total_seconds() / 3)
            with contextlib.suppress(db.Failure):
                if not self.over.is_set() and not await webhook_queue.renew(self._database, self._webhook):
                    self.end()


async def deliver_batch(database: Database, poster: WebhookSender, webhook: WebhookDocument, lease: Lease) -> None:
    """Deliver the pending events of a leased webhook, for a while."""
    renewing = asyncio.create_task(lease.renew())
    try:
        await _deliver_pending(database, poster, webhook, lease)
    finally:
        lease.end()
        await renewing
    await webhook_queue.release(database, webhook)


async def _deliver_pending(
    database: Database, poster: WebhookSender, webhook: WebhookDocument, lease: Lease
) -> None:
    with db.deadline(db.BACKGROUND_SECONDS):
        rows = await event_log.following(database, webhook["tenantId"], webhook["cursor"])
    if not rows:
        await webhook_queue.snooze(database, webhook)
        return
    if rows[0]["sequence"] > webhook["cursor"] + 1:
        await _record_expired(database, webhook, rows[0]["sequence"] - 1, lease.now())
    end = asyncio.get_running_loop().time() + TURN_SECONDS
    version, wanted, owner = webhook["version"], kinds.matching(webhook["events"]), stored.owner(webhook)
    for row in rows:
        try:
            body = await _body(database, owner, row) if row["type"] in wanted else None
        except db.Failure:
            raise
        except Exception:  # noqa: BLE001  one broken event must not hold up the others
            _log.exception("broken event", event_id=kinds.id_of(row["sequence"]), webhook=webhook["id"])
            error = "The event can't be read: the cause is in the server's log."
            await webhook_queue.log_attempt(
                database, webhook, row["sequence"], "FAILED", lease.now(), attempts=0, error=error
            )
            continue
        if body is None:
            continue
        after = await _deliver(database, poster, webhook, row["sequence"], body, lease)
        slow = (lease.seconds or 0) >= SLOW_SECONDS
        if after is None or after["version"] != version or slow or asyncio.get_running_loop().time() > end:
            return
        webhook = after
    if await webhook_queue.advance(database, webhook, rows[-1]["sequence"]):
        await webhook_queue.fail_pending(database, webhook, rows[-1]["sequence"])


async def _body(database: Database, owner: Caller, header: EventDocument) -> bytes | None:
    """Return the message about an event, or None if the owner of the webhook can't see it."""
    with db.deadline(db.BACKGROUND_SECONDS):
        event = await event_log.whole(owner, database, header)
    return event and kinds.webhook_body(event, all_=owner.sees_drafts is True)


async def _deliver(
    database: Database,
    poster: WebhookSender,
    webhook: WebhookDocument,
    sequence: int,
    body: bytes,
    lease: Lease,
) -> WebhookDocument | None:
    """Deliver one event; return the updated webhook, or None if it must get no more for now."""
    now = lease.now()
    former = webhook["formerSecret"] if webhook["formerUntil"] > now else None
    secrets = [webhook["secret"], *([former] if former else [])]
    headers = webhooks.headers(kinds.id_of(sequence), now, body, secrets)
    if lease.over.is_set():
        return None
    record = _record(webhook, sequence, len(body))
    reply = await lease.send(poster.post(Owner(webhook["tenantId"]), webhook["url"], headers, body))
    _finish(record, reply, lease.observers)
    if reply is None:
        return None
    if reply.error is None:
        at = lease.now()
        await webhook_queue.log_attempt(
            database, webhook, sequence, "DELIVERED", at, responseStatus=reply.status, deliveredAt=at
        )
        return await webhook_queue.advance(database, webhook, sequence)
    return await _failed(database, webhook, sequence, reply, lease.now())


def _record(webhook: WebhookDocument, sequence: int, size: int) -> RequestRecord:
    """Begin the record of an attempt; of the URL it has only the host, because the rest may be a secret."""
    record = RequestRecord(ids.new(), "webhook")
    record.tenant, record.webhook, record.event_id = webhook["tenantId"], webhook["id"], kinds.id_of(sequence)
    record.attempt, record.bytes_sent = webhook["attempts"] + 1, size
    with contextlib.suppress(ValueError):
        record.host = urlsplit(webhook["url"]).hostname
    return record


def _finish(record: RequestRecord, reply: DeliveryResult | None, observers: Observers) -> None:
    if reply is None:
        record.add_code("INTERRUPTED")
    else:
        record.status = reply.status
        if reply.error is not None:
            record.add_code("UNREACHABLE" if reply.status is None else "REFUSED")
    request_record.finish(record, observers)


async def _failed(
    database: Database, webhook: WebhookDocument, sequence: int, reply: DeliveryResult, now: datetime.datetime
) -> WebhookDocument | None:
    attempts = webhook["attempts"] + 1
    outcome: dict[str, Any] = {"responseStatus": reply.status, "error": reply.error}
    _log.info("webhook delivery failed", webhook=webhook["id"], attempts=attempts, status=reply.status)
    if reply.status == _GONE:
        await webhook_queue.log_attempt(database, webhook, sequence, "PENDING", now, **outcome)
        await webhook_queue.switch_off(database, webhook)
        return None
    seconds = webhooks.delay(attempts, webhooks.retry_after(reply.retry_after, now))
    if seconds is None:
        await webhook_queue.log_attempt(database, webhook, sequence, "FAILED", now, **outcome)
        return await webhook_queue.advance(database, webhook, sequence)
    at = timestamps.truncate_to_millis(now + datetime.timedelta(seconds=seconds))
    await webhook_queue.log_attempt(database, webhook, sequence, "PENDING", now, nextAttemptAt=at, **outcome)
    await webhook_queue.postpone(database, webhook, attempts, seconds)
    return None


async def _record_expired(database: Database, webhook: WebhookDocument, last: int, now: datetime.datetime) -> None:
    """Log that events expired before their delivery to a webhook."""
    first = webhook["cursor"] + 1
    error = f"Events up to {kinds.id_of(last)} were no longer kept when the webhook was due."
    _log.warning("events expired before their webhook delivery", webhook=webhook["id"], count=last - first + 1)
    await webhook_queue.log_attempt(database, webhook, first, "FAILED", now, attempts=0, error=error)
