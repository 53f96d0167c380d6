"""The documents of GraphQL requests: found by text, by hash, or by id in a list of trusted documents."""

import collections
import functools
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import orjson
from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    NoFragmentCyclesRule,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    parse,
    specified_rules,
    validate,
)

from release_catalog import request_record
from release_catalog.domain.caller import Owner
from release_catalog.fair_share import Aside, Busy
from release_catalog.graphql_api.limits import document_limits
from release_catalog.graphql_api.limits.input_limits import InputLimits
from release_catalog.graphql_api.limits.query_cost import QueryCost
from release_catalog.graphql_api.request_errors import capacity_exceeded
from release_catalog.query_engine import executor
from release_catalog.request_limits import Limits

MAX_VALIDATION_ERRORS = 10
# With its plans, a token takes about a kilobyte.
MAX_KEPT_TOKENS = 60_000
MAX_KEPT = 1_000
# Nobody writes longer ones by hand, and comments would let them fill the memory.
MAX_CACHED_CHARACTERS = 20_000
MAX_HASHED_CHARACTERS = 4_000_000
# Smaller documents are read at once, in a millisecond or two; larger ones may take a hundred.
QUICK_TOKENS = 100
QUICK_CHARACTERS = 4_000
# The number of large documents of one caller, and of all, that wait to be read, and the longest wait of each.
MAX_WAITING, MAX_ALL_WAITING = 50, 1_000
WAIT_SECONDS = 10.0
_NOBODY = Owner("")

Value = TypeVar("Value")
# Takes points from a caller, or refuses the request.
Charge = Callable[[int], None]


def _free(_: int) -> None:
    """Charge nothing."""


class InvalidDocument(Exception):  # noqa: N818  it is not an error of this program
    """A document that can't be executed, its errors, and whether it had to be read to find them."""

    def __init__(self, *errors: GraphQLError, read: bool = False) -> None:
        super().__init__()
        self.errors = list(errors)
        self.read = read


class Unreadable(Exception):  # noqa: N818  it is not an error of this program
    """The file of trusted documents is invalid; the message says what it must hold."""


class WeightedLRUCache(Generic[Value]):
    """The values that were used last, limited by their number and their weight."""

    def __init__(self, max_entries: int, weight: int) -> None:
        self._left, self._most = weight, max_entries
        self._values: collections.OrderedDict[str, tuple[Value, int]] = collections.OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: str) -> Value | None:
        """Return the value of `key` if it is still kept."""
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def add(self, key: str, value: Value, weight: int) -> None:
        """Keep a value, and drop the least recently used ones."""
        if key not in self._values:
            self._values[key] = value, weight
            self._left -= weight
        while self._left < 0 or len(self._values) > self._most:
            self._left += self._values.popitem(last=False)[1][1]


class ValidatedDocument(executor.Document):
    """A valid document, the checks of its variables, and the points that reading it costs."""

    def __init__(
        self,
        schema: GraphQLSchema,
        node: DocumentNode,
        limits: Limits,
        points: int = 0,
        plan_uses: executor.CacheUses | None = None,
    ) -> None:
        super().__init__(schema, node, plan_uses)
        self.points = points
        self.sha256 = ""
        self.costs = QueryCost(schema, self.fragments)
        self.inputs = InputLimits(schema, node, limits)


class DocumentStore:
    """The documents of requests, parsed and validated once for as long as they are in use."""

    def __init__(
        self,
        schema: GraphQLSchema,
        trusted: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        *,
        introspects: bool = True,
    ) -> None:
        """Accept only the texts in `trusted`, a mapping by id, if it is present.

        Unless it `introspects`, there is no introspection, and no error tells which names the schema has.
        """
        self._schema = schema
        self._limits = limits or Limits()
        self._introspects = introspects
        self._rules = specified_rules if introspects else (*specified_rules, NoSchemaIntrospectionCustomRule)
        self._trusted = trusted
        self._texts = frozenset((trusted or {}).values())
        self._hashed: WeightedLRUCache[str] = WeightedLRUCache(MAX_KEPT, MAX_HASHED_CHARACTERS)
        self.kept: WeightedLRUCache[ValidatedDocument] = WeightedLRUCache(MAX_KEPT, MAX_KEPT_TOKENS)
        # How often documents were kept, and how often operations had a plan already.
        self.uses, self.plan_uses = executor.CacheUses(), executor.CacheUses()
        # Large documents are read and planned one after the other, in turns between callers, while the requests of
        # other callers go on. A second thread would only share the interpreter with the first.
        self._aside = Aside(1, max_waiting=MAX_ALL_WAITING, max_waiting_per_caller=MAX_WAITING)

    async def meant(
        self, parameters: Mapping[str, Any], owner: Owner = _NOBODY, charge: Charge = _free
    ) -> ValidatedDocument:
        """Return the document of a request; raise InvalidDocument if it is missing or can't be executed.

        A large document that is not known costs its caller points before it is read, and waits for its turn.
        """
        text, id_ = parameters.get("query"), parameters.get("documentId")
        persisted = (parameters.get("extensions") or {}).get("persistedQuery")
        digest = persisted.get("sha256Hash") if isinstance(persisted, dict) else None
        if text is None:
            text = self._known(id_, digest)
        elif self._trusted is not None and text not in self._texts:
            raise InvalidDocument(
                _refused(
                    "This server answers only trusted documents: give the documentId of one.",
                    "DOCUMENT_NOT_TRUSTED",
                )
            )
        elif isinstance(digest, str) and digest != _hash(text):
            raise InvalidDocument(
                _refused("The sha256Hash does not match the query: correct it.", "BAD_USER_INPUT")
            )
        document = self.kept.get(text)
        self.uses.note(document)
        if document is None:
            digest_of_text = _hash(text)
            _note_hash(digest_of_text)
            document = await self._read(text, owner, charge)
            document.sha256 = digest_of_text
        else:
            _note_hash(document.sha256)
        if isinstance(digest, str) and self._trusted is None and self._hashed.get(digest) is None:
            self._hashed.add(digest, text, len(text))
        return document

    def _known(self, id_: Any, digest: Any) -> str:
        """Return the text with this id or this hash."""
        name = id_ if isinstance(id_, str) else digest
        found = (self._trusted or {}).get(name) or self._hashed.get(name.removeprefix("sha256:"))
        if found is not None:
            return found
        if name is digest:
            # Apollo's clients expect this: they repeat the request with the query.
            raise InvalidDocument(_refused("PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND"))
        raise InvalidDocument(
            _refused("The documentId is unknown: give the id of a trusted document.", "DOCUMENT_NOT_FOUND")
        )

    async def plan(
        self,
        owner: Owner,
        charge: Charge,
        document: executor.Document,
        operation: OperationDefinitionNode,
        variables: Mapping[str, Any],
    ) -> executor.QueryPlan:
        """Plan an operation for these variables; for a large document, this costs as much as reading it."""
        points = document.points if isinstance(document, ValidatedDocument) else 0
        if not points:
            return document.plan(operation, variables)
        charge(points)

        async def work() -> executor.QueryPlan:
            if known := document.known_plan(operation, variables):
                return known
            return await self._aside.in_thread(functools.partial(document.plan, operation, variables))

        return await self._in_turn(owner, work)

    async def _read(self, text: str, owner: Owner, charge: Charge) -> ValidatedDocument:
        tokens = document_limits.tokenize(text, self._limits.max_tokens)
        points = _points(text, tokens)
        if not points:
            return self._keep(text, tokens, self._judged(text, tokens))
        charge(points)

        async def work() -> ValidatedDocument:
            if known := self.kept.get(text):
                return known
            judged = functools.partial(self._judged, text, tokens)
            return self._keep(text, tokens, await self._aside.in_thread(judged))

        return await self._in_turn(owner, work)

    def _keep(self, text: str, tokens: list[str], document: ValidatedDocument) -> ValidatedDocument:
        if len(text) <= MAX_CACHED_CHARACTERS:
            self.kept.add(text, document, len(tokens))
        return document

    async def _in_turn(self, owner: Owner, work: Callable[[], Awaitable[Value]]) -> Value:
        """Run work when it is the owner's turn; refuse if too much of its work waits, or for too long."""
        try:
            return await self._aside.turn(owner, work, max_seconds=WAIT_SECONDS)
        except Busy as busy:
            what = "large documents to read"
            raise capacity_exceeded(own=busy.own, what=what, limit="documents", allowed=MAX_WAITING) from busy

    def _judged(self, text: str, tokens: list[str]) -> ValidatedDocument:
        circular = document_limits.check(tokens, self._limits)
        try:
            node = parse(text)
        except GraphQLError as error:
            raise document_limits.refused_by_parser(error.message, self._limits) or InvalidDocument(
                error, read=True
            ) from error
        # If fragments are circular, the rules that follow them would do so for each fragment.
        for rules in ((NoFragmentCyclesRule,), self._rules) if circular else (self._rules,):
            if errors := validate(
                self._schema, node, rules, MAX_VALIDATION_ERRORS, hide_suggestions=not self._introspects
            ):
                raise InvalidDocument(*errors, read=True)
        _unlink(node)
        return ValidatedDocument(self._schema, node, self._limits, _points(text, tokens), self.plan_uses)


def _points(text: str, tokens: list[str]) -> int:
    """Return the price of reading a document aside: a point for each token above those that are read at once."""
    return max(0, len(tokens) - QUICK_TOKENS, (len(text) - QUICK_CHARACTERS) * QUICK_TOKENS // QUICK_CHARACTERS)


def load_trusted_documents(path: Path) -> dict[str, str]:
    """Load the trusted documents from a JSON object of texts by id, as GraphQL tools write it."""
    try:
        found = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise Unreadable("give a JSON object with documents by their ids")
    return found


def _unlink(node: DocumentNode) -> None:
    """Remove each token's link to the one before it: circular references stay in memory for long."""
    token = node.loc.start_token if node.loc else None
    while token:
        token.prev, token = None, token.next


def _note_hash(digest: str) -> None:
    if record := request_record.current.get():
        record.document_hash = digest


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _refused(message: str, code: str) -> GraphQLError:
    return GraphQLError(message, extensions={"code": code})
