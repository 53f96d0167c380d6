"""The catalog as tests use it: through its real schema, with every database command counted."""

import collections
import functools
from typing import Any

import orjson
from graphql import ExecutionResult, parse, validate
from mongomock_motor import AsyncMongoMockClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from release_catalog.domain import release, release_document, timestamps
from release_catalog.domain.caller import Caller
from release_catalog.domain.reference_data import ProductDocument
from release_catalog.domain.release import ReleaseDocument
from release_catalog.files import verifier
from release_catalog.graphql_api.schema import schema
from release_catalog.graphql_http.response import format_result
from release_catalog.query_engine import executor
from release_catalog.query_engine.context import Context
from release_catalog.storage import bulk_load
from release_catalog.storage.collection_names import PRODUCTS, RELEASES
from release_catalog.storage.database import Database, ReadOnlyDatabase
from release_catalog.usage import JSON_OPTIONS
from support.graphql_client import GraphQLClient

_READS = {"find", "aggregate", "count"}


def _body(result: ExecutionResult) -> bytes:
    return orjson.dumps(format_result(result), option=JSON_OPTIONS)


@functools.lru_cache(1_000)
def _prepared(query: str) -> executor.Document | ExecutionResult:
    """The document, or the result of one that is invalid; the application keeps documents, too."""
    document = parse(query)
    errors = validate(schema._schema, document)
    return ExecutionResult(None, errors) if errors else executor.Document(schema._schema, document)


class Commands(CommandListener):
    """Counts what goes to the database, by the collection that it is for."""

    def __init__(self) -> None:
        self.reads: collections.Counter[str] = collections.Counter()
        self.sent: list[dict[str, Any]] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in _READS:
            self.reads[event.command[event.command_name]] += 1
            self.sent.append(dict(event.command))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass

    def clear(self) -> None:
        self.reads.clear()
        self.sent.clear()


class Catalog(GraphQLClient):
    """A catalog over a database, as one caller sees it."""

    def __init__(self, database: Database, caller: Caller, commands: Commands | None = None) -> None:
        self.database = database
        self.caller = caller
        self.commands = commands or Commands()
        self.files: verifier.Fetcher | None = None

    def seen_by(self, caller: Caller) -> "Catalog":
        """The same catalog as another caller sees it."""
        return Catalog(self.database, caller, self.commands)

    async def respond(self, query: str, **variables: Any) -> Any:
        """The whole response to a query, as a client gets it."""
        return orjson.loads(await self.body(query, variables))

    async def body(self, query: str, variables: dict[str, Any], *, planned: bool = True) -> bytes:
        """The response's body, byte for byte."""
        prepared = _prepared(query)
        if isinstance(prepared, ExecutionResult):
            return _body(prepared)
        self.commands.clear()
        # As the application has it, but for mongomock-motor, whose databases take no options.
        is_mock = isinstance(self.database.client, AsyncMongoMockClient)
        reading = None if is_mock else ReadOnlyDatabase(self.database)
        context = Context(self.caller, self.database, files=self.files, reading=reading)
        # A hundred writes at once take their turns, however slow the machine is.
        context.seconds = 120
        return _body(await executor.answer(prepared, schema._schema, context, variables, None, planned=planned))

    async def load(
        self, *sources: dict[str, Any], publish: bool = False, catalog_id: str = "default", check: bool = False
    ) -> bulk_load.Loaded:
        """Load import documents; with `check`, their references are completed first."""
        now = timestamps.now()
        read = []
        for source in sources:
            fields, violations = release_document.read(source, "", now)
            assert not violations
            read.append(fields)
        if check:
            checked = await bulk_load.check(
                self.caller, self.database, dict(enumerate(read)), catalog_id=catalog_id
            )
            assert not checked.refused
        return await bulk_load.load(self.caller, self.database, read, publish=publish, catalog_id=catalog_id)

    async def put(
        self, product: ProductDocument, version: str, name: str | None = None, **fields: Any
    ) -> ReleaseDocument:
        """Store a release as it is given; returns its document."""
        now = fields.pop("createdAt", timestamps.now())
        made = release.document(
            self.caller.tenant, product, name or product["name"], version, now, createdAt=now, **fields
        )
        assert await bulk_load.put(self.caller, self.database, RELEASES, [made]) == 1
        return made

    async def product(
        self, key: str, scheme: str = "ANY", catalog_id: str = "default", **fields: Any
    ) -> ProductDocument:
        """Store a product; returns its document."""
        await bulk_load.catalog(self.caller, self.database, catalog_id)
        made: Any = {**bulk_load.product(self.caller, catalog_id, key), "versionScheme": scheme, **fields}
        await self.database[PRODUCTS].insert_one(made)
        product: ProductDocument = made
        return product


def source(name: str, version: str = "1.0", **fields: Any) -> dict[str, Any]:
    """An import document."""
    needs = fields.pop("needs", ())
    return {
        "name": name,
        "version": version,
        "createdAt": "2026-01-01T00:00:00Z",
        "project": name,
        "author": "builds@acme.example",
        "artifacts": [],
        "dependencies": [{"name": needed, "version": "1.0"} for needed in needs],
        **fields,
    }
