"""Reads by id of the collections in which the tenant's id alone does not decide what a caller may see.

A promotion, an event and a content are visible with their release, a webhook by its scopes, and a delivery with
its webhook. An access token is stored under the digest of its secret. All other collections are read by
`records.by_ids`.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from release_catalog.domain.caller import Caller
from release_catalog.storage import access_tokens, event_log, records, webhooks
from release_catalog.storage.collection_names import (
    CONTENTS,
    EVENTS,
    PROMOTIONS,
    TOKENS,
    WEBHOOK_DELIVERIES,
    WEBHOOKS,
    CollectionName,
)
from release_catalog.storage.cursors import FieldPaths
from release_catalog.storage.database import Collections

# Returns documents by their ids, as far as they are visible to the caller, with these paths.
Reader = Callable[[Caller, Collections, Iterable[str], FieldPaths], Awaitable[dict[str, Any]]]

READERS: Mapping[CollectionName[Any], Reader] = MappingProxyType(
    {
        PROMOTIONS: records.promotions_by_ids,
        CONTENTS: records.contents_by_ids,
        EVENTS: event_log.by_ids,
        WEBHOOKS: webhooks.by_ids,
        WEBHOOK_DELIVERIES: webhooks.deliveries_by_ids,
        TOKENS: access_tokens.by_ids,
    }
)
