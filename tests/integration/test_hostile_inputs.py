"""No text, list or JSON of any caller holds the server up: not in any argument, header, path or message.

The places and the texts come from hostile_requests.py. What is measured is CPU time. `make test-hostile` tries every
text at every place, and needs a machine of its own: there, a request has a fifth of a second. Here each kind of place
meets every text, some of them at each of its places, and only work out of all proportion counts: what grows with the
square of a text takes many seconds.
"""

import contextlib
import functools
import math
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog
from pymongo import AsyncMongoClient
from starlette.applications import Starlette
from starlette.datastructures import Headers

from conftest import LOCAL, connected
from release_catalog import logging_config
from release_catalog.auth import service_accounts
from release_catalog.graphql_http import endpoint, websocket
from release_catalog.server.app import create_app
from release_catalog.settings import Settings
from release_catalog.storage import indexes
from release_catalog.storage.collection_names import CATALOGS
from support import hostile_requests as hostile
from support import tenant_walls as walls
from support.catalog import Catalog
from support.hostile_requests import LONG, SHORT, Meter, Place, Probe, Request, Taken

WIDE = os.environ.get("HOSTILE") == "wide"
WORLD = walls.world()
# Seconds of CPU for a request, seconds between two turns of the loop, and how many times as much the long text may take,
# once it takes more than noise does: FLOOR.
MAX_SECONDS, MAX_GAP, MAX_RATIO, FLOOR = (0.2, 0.1, 40, 0.02) if WIDE else (3.0, 3.0, 400, 0.5)
TRIES = 3
# As many values as go into one request under aliases, where nothing suspicious is seen.
TOGETHER = 10

PLACES = hostile.places()
# Types whose values get into resolvers, whatever they are.
FREE = {"String", "ID", "JSON"}
SINGLE = [place for place in PLACES if not place.is_list]
ROOTS = sorted({(place.operation, place.root) for place in PLACES})


class Server:
    """The application in this process, with a meter, and what was found wrong."""

    def __init__(self, app: Starlette, meter: Meter) -> None:
        self.app = app
        self.meter = meter
        self.found: list[str] = []
        self.count = 0

    async def taken(self, work: Callable[[], Awaitable[Any]], enough: float = FLOOR) -> tuple[Taken, Any]:
        """Return the least of up to three measurements, and the answer."""
        best, answer = await self.meter.measure(work)
        for _ in range(TRIES - 1):
            if best.total <= enough and best.gap <= enough:
                break
            best = best.least((await self.meter.measure(work))[0])
        return best, answer

    async def judge(
        self, name: str, work: Callable[[], Awaitable[Any]], shorter: Callable[[], Awaitable[Any]] | None = None
    ) -> Any:
        """Note what takes too long, by itself or beside a shorter one; return the answer."""
        self.count += 1
        try:
            taken, answer = await self.taken(work)
        except Exception as error:  # noqa: BLE001  whatever is not handled is found
            self.found.append(f"{name}: {error!r}")
            return 0, b""
        if taken.total > MAX_SECONDS or taken.gap > MAX_GAP:
            self.found.append(f"{name}: {taken}")
        elif shorter and taken.total > FLOOR:
            short, _ = await self.taken(shorter, 0)
            if taken.total > max(MAX_RATIO * short.total, FLOOR):
                self.found.append(f"{name}: {taken}, and {short.total * 1e3:.1f} ms for the shorter one")
        return answer

    async def send(self, name: str, request: Request, shorter: Request | None = None) -> bytes:
        """Judge a request, which is answered, if only by a refusal."""

        def sending(sent: Request) -> Callable[[], Awaitable[tuple[int, bytes]]]:
            return lambda: hostile.send(self.app, sent)

        status, body = await self.judge(name, sending(request), sending(shorter) if shorter else None)
        if status >= 500 or b"INTERNAL_SERVER_ERROR" in body:
            self.found.append(f"{name}: status {status}, {body[:300]!r}")
        return bytes(body)

    def check(self) -> None:
        """Fail with all that was found."""
        found, self.found = self.found, []
        assert not found, f"{len(found)} of {self.count}:\n" + "\n".join(found[:40])


@pytest.fixture(scope="module")
def _logging() -> Any:
    """Log as a server does: what it costs belongs to a request."""
    logging_config.configure("info", "json")
    yield
    structlog.reset_defaults()


@contextlib.asynccontextmanager
async def _serving(url: str, name: str, settings: Settings) -> AsyncIterator[Server]:
    async with connected(url, name, driver=AsyncMongoClient) as database:
        await indexes.ensure(database)
        if not await database[CATALOGS].find_one({}):
            await walls.stock(Catalog(database, LOCAL))
        app = create_app(settings, database=database)
        async with app.router.lifespan_context(app), Meter.running() as meter:
            yield Server(app, meter)


@pytest.fixture(scope="module")
async def server(mongodb_url: str, _logging: None) -> AsyncIterator[Server]:
    patch = pytest.MonkeyPatch()
    # Refusals wait on purpose, and messages are read at a pace: neither takes any time of the server's.
    patch.setattr(endpoint, "REFUSAL_DELAY_SECONDS", 0)
    patch.setattr(websocket, "MESSAGE_BURST", 1_000_000)
    async with _serving(mongodb_url, "hostile", Settings()) as server:
        yield server
    patch.undo()


@pytest.fixture(scope="module")
def account_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with an account."""
    file = tmp_path_factory.mktemp("accounts") / "accounts"
    file.write_text(service_accounts.line("ci", "local", ["release:read"], "long enough for anybody") + "\n")
    return file


@pytest.fixture(scope="module")
async def guarded(mongodb_url: str, _logging: None, account_file: Path) -> AsyncIterator[Server]:
    """The application with accounts and JWTs."""
    settings = Settings(accounts=account_file, jwt_issuer="i", jwt_audience="a", jwt_secret="s" * 32)  # type: ignore[arg-type]
    async with _serving(mongodb_url, "hostile_guarded", settings) as server:
        yield server


# ---------------------------------------------------------------- the schema


def portion(places: Sequence[Place], place: Place) -> list[tuple[str, int]]:
    """Return families and sizes for a place. Those of one kind share all families, in one size or the other.

    Which of the two it is changes from kind to kind, so that half of all kinds meet each family in each size.
    """
    names = list(hostile.FAMILIES)
    if WIDE:
        return [(name, size) for size in (LONG, SHORT) for name in names]
    alike = [one for one in places if one.kind == place.kind]
    first = places.index(alike[0])
    sizes = {name: (LONG, SHORT)[(at + first) % 2] for at, name in enumerate(names)}
    share = names[alike.index(place) :: len(alike)]
    return sorted(((name, sizes[name]) for name in share), key=lambda pair: -pair[1])


@pytest.mark.parametrize(("operation", "root"), ROOTS, ids=[" ".join(root) for root in ROOTS])
async def test_texts_at_every_place_of_the_schema(server: Server, operation: str, root: str) -> None:
    here = [place for place in SINGLE if (place.operation, place.root) == (operation, root)]
    beside = [] if WIDE else [place for place in here if operation == "mutation" and _is_judged_with_others(place)]
    if beside:
        await _tried_together(server, beside)
    for place in here:
        if place in beside:
            continue
        probes = [Probe(place, f, size, hostile.FAMILIES[f](size)) for f, size in portion(SINGLE, place)]
        await (_subscribed if operation == "subscription" else _tried)(server, place, probes)
    server.check()


def _is_judged_with_others(place: Place) -> bool:
    """Whether a mutation looks at other fields too where this one is of no use: so not at what names its object."""
    names = [step for step in place.path if isinstance(step, str)]
    is_gate = {"ifMatch", "idempotencyKey"} & set(names) or (place.type == "ID" and len(names) < 2)
    return place.type in FREE and not is_gate


async def _tried_together(server: Server, places: Sequence[Place]) -> None:
    """Send an input with a hostile text in each of its fields, and each text alone where one of them may take long.

    A mutation looks at all of its input before it refuses it. In the next request, each field has the next text.
    """
    names, root = list(hostile.FAMILIES), ROOTS.index(("mutation", places[0].root))
    tame = hostile.together([Probe(place, "tame", 1, "a") for place in places], WORLD)
    await hostile.send(server.app, tame)
    usual, (_, body) = await server.meter.measure(functools.partial(hostile.send, server.app, tame))
    assert b'"data"' in body, f"{places[0].root} is not reached: {body[:300]!r}"
    # Mutations with the same fields begin with one text or the next.
    for turn in range(len(names)) if WIDE else range(root % 2, len(names), 2):
        probes = []
        for at, place in enumerate(places):
            family = names[(at + turn) % len(names)]
            # Longer ids are refused before anything else.
            size = LONG if (at + turn + root) % 3 == 0 and place.type != "ID" else SHORT
            probes.append(Probe(place, family, size, hostile.FAMILIES[family](size)))
        if await _is_fine(server, hostile.together(probes, WORLD), usual):
            server.count += len(probes)
        else:
            for probe in probes:
                await _alone(server, probe)
    for place in places:
        for family in ("letters", "marks", "blanks") if place.type == "ID" else ():
            await _alone(server, Probe(place, family, LONG, hostile.FAMILIES[family](LONG)))


async def _is_fine(server: Server, request: Request, usual: Taken) -> bool:
    """Return whether a request with several hostile values shows that none of them takes long by itself.

    One that takes long holds the loop for longer than all of the others do.
    """
    for _ in range(TRIES):
        taken, (status, body) = await server.meter.measure(functools.partial(hostile.send, server.app, request))
        if taken.total <= MAX_SECONDS / 2 + usual.total and taken.gap <= FLOOR + usual.gap:
            # What is refused as a whole tells nothing of the values in it.
            return status < 500 and b'"data"' in body and b"INTERNAL_SERVER_ERROR" not in body
    return False


async def _alone(server: Server, probe: Probe) -> None:
    shorter = Probe(probe.place, probe.family, SHORT, hostile.FAMILIES[probe.family](SHORT))
    await server.send(str(probe), hostile.operation([probe], WORLD), hostile.operation([shorter], WORLD))


async def _tried(server: Server, place: Place, probes: Sequence[Probe]) -> None:
    """Send values under aliases of one operation, and each alone where one of them may take long."""
    tame = hostile.operation([Probe(place, "tame", 1, _tame(place))] * min(TOGETHER, len(probes)), WORLD)
    await hostile.send(server.app, tame)
    usual, (_, body) = await server.meter.measure(functools.partial(hostile.send, server.app, tame))
    assert b'"data"' in body, f"{place} is not reached: {body[:300]!r}"
    fine = place.type in FREE
    for group in grouped(probes):
        if fine and (fine := await _is_fine(server, hostile.operation(group, WORLD), usual)):
            server.count += len(group)
            continue
        for probe in group:
            await _alone(server, probe)
        # Where the long ones are refused as a whole, the short ones may go together.
        fine = place.type in FREE and group[-1].size == SHORT


def _tame(place: Place) -> Any:
    type_: Any = hostile.SCHEMA.type_map[place.type]
    if hasattr(type_, "values"):
        return next(iter(type_.values))
    return {"DateTime": walls.CREATED, "Date": "2026-01-01", "Long": 1}.get(place.type, "a")


def grouped(probes: Sequence[Probe]) -> Iterable[list[Probe]]:
    """Put as many probes together as a request may hold bytes and values."""
    group: list[Probe] = []
    size = values = 0
    for probe in probes:
        text = orjson.dumps(probe.value)
        more = len(text) - len(text.translate(None, b"[{,"))
        if group and (
            len(group) == TOGETHER
            or size + len(text) > hostile.MAX_BODY // 2
            or values + more > hostile.MAX_VALUES
        ):
            yield group
            group, size, values = [], 0, 0
        group.append(probe)
        size, values = size + len(text), values + more
    if group:
        yield group


async def _subscribed(server: Server, place: Place, probes: Sequence[Probe]) -> None:
    for probe in probes:
        shorter = Probe(place, probe.family, SHORT, hostile.FAMILIES[probe.family](SHORT))
        conversations = [hostile.subscriptions([one], WORLD) for one in (probe, shorter)]
        first, second = (functools.partial(hostile.talk, server.app, talk) for talk in conversations)
        await server.judge(str(probe), first, second)


async def test_texts_in_documents(server: Server) -> None:
    """As literals they come by another way: at each kind of place one, and all over all of them."""
    names = list(hostile.FAMILIES)
    for at, place in enumerate(SINGLE if WIDE else _of_each_kind(SINGLE)):
        if place.operation == "subscription":
            continue
        for step in range(len(names) if WIDE else 1):
            family = names[(at + step) % len(names)]
            size = (LONG, SHORT)[(at + step) % 2]
            made = [
                hostile.operation([Probe(place, family, n, hostile.FAMILIES[family](n))], WORLD, literals=True)
                for n in (size, SHORT)
            ]
            if place.type in FREE:
                await server.send(f"literal {place}, {family} x {size}", *made)
    server.check()


async def test_halves_of_surrogates(server: Server) -> None:
    text = hostile.LONE * SHORT
    seen = set()
    for place in PLACES:
        if place.is_list or place.operation == "subscription" or (not WIDE and place.root in seen):
            continue
        seen.add(place.root)
        for literals in (False, True):
            request = hostile.operation([Probe(place, "surrogates", SHORT, text)], WORLD, literals=literals)
            await server.send(f"{place}, surrogates", request)
    server.check()


@pytest.mark.parametrize("operation", ["query", "mutation"])
async def test_lists_at_every_place_of_the_schema(server: Server, operation: str) -> None:
    # As many as are allowed anywhere, and more. Of 20,000, only their number is seen.
    sizes = (250, 1_000, 20_000) if WIDE else (1_000, 20_000)
    places = [place for place in PLACES if place.is_list and place.operation == operation]
    for place in places if WIDE else _of_each_kind(places):
        one = hostile.entry(place, WORLD)
        for size in sizes:
            for name, value in hostile.lists(one, size):
                request = hostile.operation([Probe(place, name, size, value)], WORLD)
                if len(request.body) <= hostile.MAX_BODY and (WIDE or size < 20_000 or name == "the same"):
                    await server.send(f"{place}, {size} entries: {name}", request)
    server.check()


def _of_each_kind(places: Iterable[Place]) -> list[Place]:
    return list({place.kind: place for place in places}.values())


async def test_lists_of_objects_with_all_fields(server: Server) -> None:
    for place in PLACES if WIDE else _of_each_kind(PLACES):
        if place.is_list and place.type.endswith("Input"):
            for text in ("a", "", "\n", "a" * 300):
                one = hostile.entry(place, WORLD, full=True, text=text)
                size = len(orjson.dumps(one)) + 1
                count = min(1_000, hostile.MAX_VALUES // _values(one), (hostile.MAX_BODY - 5_000) // size)
                request = hostile.operation([Probe(place, "", count, [one] * count)], WORLD)
                await server.send(f"{place}, {count} full entries of {text[:3]!r} x {len(text)}", request)
    server.check()


async def test_a_body_full_of_variables(server: Server) -> None:
    for place in PLACES if WIDE else _of_each_kind(PLACES):
        if place.is_list and place.operation == "mutation":
            one = hostile.entry(place, WORLD)
            length = 1_000 if isinstance(one, dict) or place.path[-1] == "platforms" else 250
            size = (len(orjson.dumps(one)) + 1) * length + 1_000
            count = min(40, hostile.MAX_VALUES // (_values(one) * length), hostile.MAX_BODY // size)
            request = hostile.operation([Probe(place, "", length, [one] * length)] * count, WORLD)
            # Some are mutations that are carried out one after the other: what counts is that others get their turn.
            taken, (status, _) = await server.taken(functools.partial(hostile.send, server.app, request), MAX_GAP)
            server.count += 1
            if taken.gap > MAX_GAP or status >= 500:
                server.found.append(f"{place}, {count} variables of {length} entries: status {status}, {taken}")
    server.check()


def _values(value: Any) -> int:
    text = orjson.dumps(value)
    return len(text) - len(text.translate(None, b"[{,")) + 1


async def test_json_at_every_place(server: Server) -> None:
    single = [place for place in PLACES if not place.is_list and place.operation != "subscription"]
    for at, place in enumerate(single if WIDE else _of_each_kind(single)):
        sizes = (LONG, hostile.MAX_VALUES) if place.type == "JSON" else (LONG,)
        for size in sizes:
            for number, (name, raw) in enumerate(hostile.jsons(size)):
                # Where free JSON has no place, one form is enough at each.
                if WIDE or place.type == "JSON" or number == at % _FORMS:
                    request = hostile.operation([Probe(place, name, size, raw)], WORLD)
                    if len(request.body) <= hostile.MAX_BODY:
                        await server.send(f"{place}, JSON of {size:,}: {name}", request)
    server.check()


_FORMS = len(list(hostile.jsons(1)))


# ---------------------------------------------------------------- what is no part of the schema


Make = Callable[[str], Iterable[tuple[str, Request]]]


async def _all(server: Server, make: Make, sizes: Sequence[int] = (SHORT, LONG), one_of: int = 1) -> None:
    """Judge the requests that `make` makes of each family, each in one of the sizes, or in all.

    Of as many requests that follow one another as `one_of` says, one is enough, which changes with the family.
    """
    for at, (family, text) in enumerate(hostile.FAMILIES.items()):
        made = {size: list(make(text(size))) for size in {SHORT, *sizes}}
        for number, (name, shorter) in enumerate(made[SHORT]):
            if WIDE or (number + at) % one_of == 0:
                chosen = sizes if WIDE else [sizes[(number // one_of + at) % len(sizes)]]
                for size in chosen:
                    await server.send(f"{name}, {family} x {size:,}", made[size][number][1], shorter)
    server.check()


async def test_the_envelope_and_the_document(server: Server) -> None:
    await _all(server, hostile.envelopes, one_of=5)
    for name, request in hostile.envelopes(hostile.LONE * SHORT):
        await server.send(f"{name}, surrogates", request)
    server.check()


async def test_documents_and_bodies_at_their_limits(server: Server) -> None:
    for family in hostile.FAMILIES if WIDE else ("blanks", "quotes", "opening brackets", "marks", "JSON texts"):
        text = hostile.FAMILIES[family]
        for name, request in hostile.envelopes(text(98_000)):
            await server.send(f"{name}, {family} x 98,000", request)
        for place in PLACES:
            if place.kind in {"Release.description", "Release.metadata", "Query.releases(after)"}:
                size = hostile.MAX_BODY // (7 if family == "JSON texts" else 4)
                request = hostile.operation([Probe(place, family, size, text(size))], WORLD)
                await server.send(f"{place}, {family} x {size:,}", request)
    server.check()


async def test_hal(server: Server) -> None:
    await _all(server, lambda text: hostile.hal_requests(text, WORLD), (120, SHORT, LONG), one_of=7)
    for name, request in hostile.hal_requests(hostile.LONE * 100, WORLD):
        await server.send(f"{name}, surrogates", request)
    server.check()


async def test_headers(server: Server) -> None:
    # At each address in turn; larger ones are refused before they are read.
    await _all(server, lambda text: hostile.header_requests(text, WORLD), (8_000, SHORT), one_of=9)
    for family in ("commas", "semicolons", "letters", "etags"):
        for name, request in hostile.header_requests(hostile.FAMILIES[family](hostile.MAX_HEADER), WORLD):
            await server.send(f"{name}, {family} x {hostile.MAX_HEADER:,}", request)
    server.check()


async def test_credentials(guarded: Server) -> None:
    headers = {"authorization", "x-project-token", "accept", "sec-fetch-site"}

    def some(text: str) -> Iterable[tuple[str, Request]]:
        every = hostile.header_requests(text, WORLD)
        return ((name, request) for name, request in every if headers & {n for n, _ in request.headers[-1:]})

    await _all(guarded, some, (8_000, SHORT), one_of=9)


async def test_the_headers_that_are_tried_are_those_that_are_read(server: Server, guarded: Server) -> None:
    read: set[str] = set()
    original = Headers.__getitem__, Headers.getlist, Headers.__contains__

    def noted(method: Any) -> Any:
        def wrapped(self: Headers, key: str) -> Any:
            read.add(key.lower())
            return method(self, key)

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        for name, method in zip(("__getitem__", "getlist", "__contains__"), original, strict=True):
            patch.setattr(Headers, name, noted(method))
        for one in (server, guarded):
            for _, request in [*hostile.header_requests("a", WORLD), *hostile.hal_requests("a", WORLD)]:
                await hostile.send(one.app, request)
            await hostile.talk(one.app, [hostile.dumps(hostile.INIT), "end"], [("origin", "http://localhost")])
    # Of answers, and those that a test in memory has no way to send.
    of_answers = {
        "content-type",
        "vary",
        "etag",
        "last-modified",
        "cache-control",
        "location",
        "x-content-type-options",
    }
    assert read - of_answers <= hostile.HEADERS.keys()


# ---------------------------------------------------------------- WebSocket


async def test_messages(server: Server) -> None:
    families = [*hostile.FAMILIES.items(), ("surrogates", hostile.repeated(hostile.LONE))]
    for at, (family, text) in enumerate(families):
        shorter = dict(hostile.sockets(text(SHORT)))
        for size in (SHORT, LONG, 250_000) if WIDE else (SHORT, LONG):
            for number, (name, messages) in enumerate(hostile.sockets(text(size))):
                # One size in three turns, which change with the family.
                if not WIDE and (at + number) % 3 != (size == LONG):
                    continue
                both = messages, shorter[name]
                first, second = (functools.partial(hostile.talk, server.app, talk) for talk in both)
                await server.judge(f"{name}, {family} x {size:,}", first, second)
    server.check()


async def test_headers_of_sockets(server: Server) -> None:
    messages = [hostile.dumps(hostile.INIT), hostile.ENDING]
    for at, (family, text) in enumerate(hostile.FAMILIES.items()):
        for header in hostile.HEADERS if WIDE else ("origin", "host", "authorization"):
            for number, before in enumerate(hostile.HEADERS[header]):
                for size in (8_000, SHORT) if WIDE else ((8_000, SHORT)[(at + number) % 2],):
                    pairs = [(header, before + hostile.header_text(text(size)))]
                    talking = functools.partial(hostile.talk, server.app, messages, pairs)
                    await server.judge(f"socket {header}: {before}, {family} x {size:,}", talking)
    server.check()


def test_every_family_has_its_length() -> None:
    for name, text in hostile.FAMILIES.items():
        for size in (SHORT, LONG):
            assert math.isclose(len(text(size)), size, rel_tol=0.01), name


def test_every_kind_of_place_meets_every_family() -> None:
    met: dict[str, set[str]] = {}
    for place in SINGLE:
        met.setdefault(place.kind, set()).update(name for name, _ in portion(SINGLE, place))
    assert all(families == set(hostile.FAMILIES) for families in met.values())
    pairs = {pair for place in SINGLE for pair in portion(SINGLE, place)}
    assert len(pairs) == 2 * len(hostile.FAMILIES)
    assert sum(place.type in FREE for place in SINGLE) > 400
