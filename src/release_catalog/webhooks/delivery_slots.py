"""The slots for webhook deliveries of a process, shared between tenants, receivers, and slow receivers.

A receiver that hangs holds a slot for 15 seconds. So no tenant and no receiver's host gets more than its share of
the slots, receivers that were slow the last time have a small share of their own, and tenants take turns.
"""

import collections
import contextlib
import random
import urllib.parse
from collections.abc import Sequence
from typing import NamedTuple

from release_catalog.domain.caller import Owner
from release_catalog.domain.webhooks import WebhookDocument
from release_catalog.fair_share import Busy, FairSlots

AT_ONCE = 64
OF_TENANT = 16
# One receiver may serve the webhooks of many tenants, or of one.
OF_HOST, OF_TENANT_AT_HOST = 16, 8
# A receiver is slow if its last message took longer.
SLOW_SECONDS = 2.0
OF_SLOW, OF_SLOW_OF_TENANT = 16, 4
# The maximum number of webhooks and of tenants that are remembered; nothing is known of others.
MAX_KNOWN = 20_000


class _Receiver(NamedTuple):
    host: str
    slow: bool


class Places:
    """A chooser of the webhooks to deliver to next, which holds a slot for each."""

    def __init__(self) -> None:
        self._places = FairSlots(AT_ONCE, per_tenant=OF_TENANT, leave_free=True)
        # Here a host stands for the tenant, and a tenant for its caller.
        self._hosts = FairSlots(AT_ONCE, per_tenant=OF_HOST, per_caller=OF_TENANT_AT_HOST)
        self._slow = FairSlots(OF_SLOW, per_tenant=OF_SLOW_OF_TENANT, leave_free=True)
        self._receivers: collections.OrderedDict[str, _Receiver] = collections.OrderedDict()
        self._held: dict[str, contextlib.ExitStack] = {}
        # Tenants in the order of their last turns.
        self._turns: collections.OrderedDict[str, None] = collections.OrderedDict()

    @property
    def free(self) -> int:
        """Return the number of free slots."""
        return self._places.free

    def choose(self, due: Sequence[WebhookDocument]) -> list[WebhookDocument]:
        """Hold slots for as many of these webhooks as may have one, one for each tenant in turn, and return them.

        Only their `_id` and `tenantId` are needed.
        """
        queues: dict[str, list[WebhookDocument]] = {}
        # So that several processes rarely choose the same ones, and no webhook of a tenant waits for long.
        for webhook in random.sample(due, len(due)):
            queues.setdefault(webhook["tenantId"], []).append(webhook)
        turns = {tenant: turn for turn, tenant in enumerate(self._turns, start=1)}
        tenants = sorted(queues, key=lambda tenant: turns.get(tenant, 0))
        chosen: list[WebhookDocument] = []
        while tenants and self.free:
            # A webhook that does not fit now will not fit in a later turn either, because slots are only taken
            # here.
            fitting = [(tenant, self._next(queues[tenant])) for tenant in tenants]
            chosen += [webhook for _, webhook in fitting if webhook]
            tenants = [tenant for tenant, webhook in fitting if webhook]
        return chosen

    def _next(self, queue: list[WebhookDocument]) -> WebhookDocument | None:
        while queue and self._places.fits(Owner(queue[-1]["tenantId"])):
            webhook = queue.pop()
            if self._hold(webhook):
                self._remember_turn(webhook["tenantId"])
                return webhook
        return None

    def _hold(self, webhook: WebhookDocument) -> bool:
        id_, tenant = webhook["_id"], webhook["tenantId"]
        if id_ in self._held:
            return False
        receiver = self._receivers.get(id_)
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(self._places.slot_now(Owner(tenant)))
                if receiver:
                    held.enter_context(self._hosts.slot_now(Owner(receiver.host, tenant)))
                if receiver and receiver.slow:
                    held.enter_context(self._slow.slot_now(Owner(tenant)))
            except Busy:
                return False
            self._held[id_] = held.pop_all()
        return True

    def _remember_turn(self, tenant: str) -> None:
        self._turns[tenant] = None
        self._turns.move_to_end(tenant)
        if len(self._turns) > MAX_KNOWN:
            self._turns.popitem(last=False)

    def admit(self, webhook: WebhookDocument) -> bool:
        """Return whether a chosen webhook may be delivered to, now that its whole document is known.

        If not, its slot is given back: its host was unknown or has changed, and the host's share is in use.
        """
        id_, host = webhook["_id"], _host(webhook)
        receiver = self._receivers.get(id_)
        if receiver is None or receiver.host != host:
            self._remember(id_, _Receiver(host, slow=False))
            try:
                self._held[id_].enter_context(self._hosts.slot_now(Owner(host, webhook["tenantId"])))
            except Busy:
                self.give_back(id_)
                return False
        return True

    def give_back(self, id_: str, seconds: float | None = None) -> None:
        """Give the slot of a webhook back; its last message, if any, took `seconds`."""
        self._held.pop(id_).close()
        if seconds is not None and (receiver := self._receivers.get(id_)):
            self._remember(id_, receiver._replace(slow=seconds >= SLOW_SECONDS))

    def _remember(self, id_: str, receiver: _Receiver) -> None:
        self._receivers[id_] = receiver
        self._receivers.move_to_end(id_)
        if len(self._receivers) > MAX_KNOWN:
            self._receivers.popitem(last=False)


def _host(webhook: WebhookDocument) -> str:
    return (urllib.parse.urlsplit(webhook["url"]).hostname or "").rstrip(".")
