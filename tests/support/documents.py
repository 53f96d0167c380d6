"""The limits on documents."""

import asyncio
from typing import Any

from release_catalog.graphql_api.request_errors import RequestError
from release_catalog.graphql_api.schema import schema
from release_catalog.graphql_http.documents import DocumentStore, InvalidDocument
from release_catalog.request_limits import Limits


def judged(text: str, **limits: Any) -> str:
    """Return the limit that a document exceeds, or another verdict."""
    try:
        asyncio.run(DocumentStore(schema._schema, limits=Limits(**limits)).meant({"query": text}))
    except RequestError as refusal:
        return f"{(refusal.extensions or {})['limit']}" if refusal.status == 400 else "not 400"
    except InvalidDocument as invalid:
        return invalid.errors[0].message
    return "fine"
