"""The requests outside GraphQL that write: the import of a release (S1), and its creation (S2)."""

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from release_catalog.domain import events, hal_urls
from release_catalog.files import verification
from release_catalog.graphql_api.mutation import WRITING, perform
from release_catalog.query_engine.context import Context
from release_catalog.storage import release_writes
from release_catalog.storage.idempotency import Answer, Payload

_IMPORTED = "catalogId name version status warnings message".split()
# The fields of a mutation's input that are headers here.
Headers = Mapping[str, str]
_WARNING = "artifactName message expectedSha256 actualSha256".split()


@dataclasses.dataclass(frozen=True)
class Written:
    """The response to a request that wrote a release."""

    status: int
    body: dict[str, Any]
    # The address of the release.
    location: str


@dataclasses.dataclass(frozen=True)
class Operation:
    """A request that writes: its mutation, and its body, which has the fields of an input type of GraphQL."""

    mutation: str
    body: str
    # Does the work with the decoded parts of the path, the body and the fields that the headers give.
    perform: Callable[[Context, Mapping[str, str], dict[str, Any], Headers], Awaitable[Answer]]
    respond: Callable[[Payload], Written]
    # Precede the names of the body's fields in violations.
    prefixes: tuple[str, ...] = ()


async def _import(context: Context, path: Mapping[str, str], document: dict[str, Any], headers: Headers) -> Answer:
    input_ = {
        **headers,
        "projectIdentifier": path["projectIdentifier"],
        "release": document,
        "verification": "WAIT",
        "onConflict": "UPDATE",
    }
    return await perform(context, verification.import_release, input_, **WRITING, fetches=True, takes_long=True)


def _imported(answer: Payload) -> Written:
    body = {name: answer[name] for name in _IMPORTED}
    body["warnings"] = [{name: warning.get(name) for name in _WARNING} for warning in answer["warnings"]]
    return Written(201 if answer["created"] else 200, body, _location(answer))


async def _create(context: Context, _: Mapping[str, str], document: dict[str, Any], headers: Headers) -> Answer:
    input_ = {**headers, "release": document}
    return await perform(context, release_writes.create_from_document, input_, **WRITING)


def _created(answer: Payload) -> Written:
    return Written(201, events.release_payload(answer["release"]), _location(answer))


def _location(answer: Payload) -> str:
    return hal_urls.release(answer["release"]["catalogId"], answer["release"]["id"])


# The header with the `idempotencyKey` of the mutation.
IDEMPOTENCY_KEY = "Idempotency-Key"
IMPORT = "/api/v1/catalog/releases/project/{projectIdentifier}/import"
CREATE = "/v3/releases"
OPERATIONS: Mapping[str, Operation] = {
    IMPORT: Operation("importRelease", "ReleaseDocumentInput", _import, _imported, ("input.release.", "input.")),
    CREATE: Operation("createRelease", "CreateReleaseInput", _create, _created, ("input.",)),
}
