"""Webhooks: signatures by the Standard Webhooks scheme, and the retry schedule of webhook deliveries."""

import base64
import datetime
import email.utils
import hashlib
import hmac
import os
import random
from collections.abc import Iterable
from typing import TypedDict

from release_catalog.domain import events, timestamps

# Seconds from one attempt to the next: the first is immediate, and the tenth is the last.
DELAYS = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
# The maximum fraction added to a delay, so that deliveries refused together are not retried together.
JITTER = 0.2
MAX_DELAY = 86_400.0
# The time for which a replaced secret still signs.
OVERLAP = datetime.timedelta(hours=24)

_PREFIX = "whsec_"


class WebhookDocument(TypedDict):
    """A webhook, with its place in the event log and its lease."""

    _id: str
    id: str
    tenantId: str
    url: str
    events: list[str]
    active: bool
    createdAt: datetime.datetime
    # The caller as whom it sees events.
    createdBy: str
    scopes: list[str]
    updatedAt: datetime.datetime | None
    updatedBy: str | None
    # A new one with each change by a caller.
    version: str
    secret: str
    formerSecret: str | None
    # The time until which the former secret signs too.
    formerUntil: datetime.datetime
    # The number of the last event that it is done with, and the attempts to deliver the next one.
    cursor: int
    attempts: int
    nextAttemptAt: datetime.datetime
    # The holder of the lease, None if nobody has it, and its end.
    owner: str | None
    leaseUntil: datetime.datetime


class WebhookDeliveryDocument(TypedDict):
    """The outcome of delivering an event to a webhook."""

    _id: str
    tenantId: str
    webhookId: str
    # The number of the event.
    sequence: int
    status: str
    attempts: int
    responseStatus: int | None
    error: str | None
    nextAttemptAt: datetime.datetime | None
    deliveredAt: datetime.datetime | None
    createdAt: datetime.datetime


def delivery_id(delivery: WebhookDeliveryDocument) -> str:
    """Return the id of the delivery of an event to a webhook."""
    return f"{delivery['webhookId']}-{events.id_of(delivery['sequence'])}"


def new_secret() -> str:
    """Return 32 random bytes in the form of the Standard Webhooks scheme."""
    return _PREFIX + base64.b64encode(os.urandom(32)).decode()


def headers(id_: str, now: datetime.datetime, body: bytes, secrets: Iterable[str]) -> dict[str, str]:
    """Return the headers that prove `body` to be message `id_`, sent now by a holder of one of `secrets`."""
    seconds = str(timestamps.milliseconds(now) // 1000)
    signed = f"{id_}.{seconds}.".encode() + body
    signatures = " ".join(_signature(secret, signed) for secret in secrets)
    return {"webhook-id": id_, "webhook-timestamp": seconds, "webhook-signature": signatures}


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def delay(attempts: int, retry_after: float | None = None) -> float | None:
    """Return the seconds until the next attempt after `attempts` failed ones; None after the last.

    `retry_after` are the seconds that the receiver requested; they count if they are longer, up to a day.
    """
    if attempts >= len(DELAYS):
        return None
    seconds = DELAYS[attempts] * random.uniform(1, 1 + JITTER)  # noqa: S311  it is no secret
    return max(seconds, min(retry_after or 0, MAX_DELAY))


def retry_after(header: str | None, now: datetime.datetime) -> float | None:
    """Return the seconds in a Retry-After header, in either of its forms; None if it is invalid."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header.strip()[:9])
    try:
        instant = email.utils.parsedate_to_datetime(header)
        return max((instant.replace(tzinfo=instant.tzinfo or timestamps.UTC) - now).total_seconds(), 0)
    except (ValueError, OverflowError):
        return None
