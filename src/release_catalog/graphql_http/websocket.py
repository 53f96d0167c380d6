"""GraphQL over WebSocket: https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md (graphql-transport-ws).

Beside the codes of the protocol, a socket is closed with 4403 if the caller is refused, and when its credentials
end; with 4420 if the client took nothing for 30 seconds; with 1013 if there are too many sockets. A server that
shuts down sends 1012. A client that subscribes again with `after` continues after its last event.
"""

import asyncio
import contextlib
import http
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket, WebSocketDisconnect

from release_catalog import request_record
from release_catalog.domain import ids, json_values
from release_catalog.domain.caller import Caller
from release_catalog.graphql_api.request_errors import RequestError
from release_catalog.graphql_http import response, stream
from release_catalog.graphql_http.request import check_json_size
from release_catalog.graphql_http.response import Results
from release_catalog.graphql_http.subscriber_limit import (
    WEBSOCKET,
    Authenticate,
    SubscriberLimiter,
    reauthenticate,
    wait_until_unauthorized,
)
from release_catalog.pace import Pace
from release_catalog.query_engine.context import Context
from release_catalog.request_record import Observers, RequestRecord
from release_catalog.server import client_address, connection_limit

PROTOCOL = "graphql-transport-ws"
MAX_MESSAGE_BYTES = 1 << 20
# Characters of the credentials, with their scheme.
MAX_AUTHORIZATION = 9 * 1024
MAX_OPERATIONS = 50
# At most this many characters in an operation's id, which each of its messages repeats.
MAX_ID = 255
INIT_SECONDS = 10.0
# Before connection_init, when the client is unknown: messages, and bytes of each.
MAX_EARLY_MESSAGES = 10
MAX_EARLY_BYTES = 16_384
# After connection_init: this many messages at once, and this many a second in the long run. Faster clients wait.
MESSAGE_BURST, MESSAGES_A_SECOND = 200, 100
PATIENCE_SECONDS = 30.0
# The time that a socket stays open if there is no slot for it.
REFUSED_SECONDS = 1.0
_MAX_REASON_BYTES = 123
_ENDED = 4403, "Credentials expired"
# A header value as HTTP allows it.
_FIELD_VALUE = re.compile(r"[!-~]+(?:[ \t]+[!-~]+)*")
_TOO_SLOW = "Too slow: subscribe again with after, the id of your last event"

Answer = Callable[[dict[str, Any], Context], Awaitable[Results]]


class Closed(Exception):  # noqa: N818  it is not an error of this program
    """The end of a socket, with its code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")


class Endpoint:
    """The WebSocket endpoint: `answer` gives the responses to an operation, `authenticate` a client's context.

    `authenticate` gets the Authorization that the client sent, either as a header or in the payload of
    connection_init, because browsers can't send the header; it raises RequestError. Pages of `origins` may connect
    besides those of this host.
    """

    def __init__(
        self,
        answer: Answer,
        authenticate: Authenticate,
        subscriber_limit: SubscriberLimiter,
        origins: Sequence[str] = (),
        observers: Observers = (),
    ) -> None:
        self.answer = answer
        self.authenticate = authenticate
        self.subscriber_limit = subscriber_limit
        self.origins = origins
        self.observers = observers

    async def serve(self, websocket: WebSocket) -> None:
        """Serve a socket until it is closed."""
        if not welcome(websocket.headers, self.origins):
            await websocket.close()  # before it is accepted: HTTP's 403
            return
        try:
            await self._serve(websocket)
        except WebSocketDisconnect:
            return
        except Closed as closed:
            # A client that reads nothing can't be told before it does, and many never will.
            with contextlib.suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await websocket.close(closed.code, closed.reason)

    async def _serve(self, websocket: WebSocket) -> None:
        if PROTOCOL not in websocket.scope["subprotocols"]:
            await websocket.accept()
            raise Closed(4406, "Subprotocol not acceptable")
        await websocket.accept(PROTOCOL)
        await Socket(websocket, self).run()


def welcome(headers: Headers, origins: Sequence[str]) -> bool:
    """Return whether a page of this origin may connect.

    Browsers let the pages of any origin connect, and send the credentials that they keep for the user.
    """
    origin = headers.get("origin")
    return origin is None or origin in origins or _authority(origin) == headers.get("host")


def _authority(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


class Socket:
    """A connection and its operations."""

    def __init__(self, websocket: WebSocket, endpoint: Endpoint) -> None:
        self._websocket = websocket
        self._answer = endpoint.answer
        self._authenticate = endpoint.authenticate
        self._seats = endpoint.subscriber_limit
        self._observers = endpoint.observers
        # Given back when the socket ends: its place among unknown clients, or its slot.
        self._held = contextlib.ExitStack()
        self._context: Context | None = None
        self._initialised = False
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._sending = asyncio.Lock()
        self._early = 0
        self._pace = Pace(MESSAGE_BURST, MESSAGES_A_SECOND)

    async def run(self) -> None:
        """Serve until the client leaves (WebSocketDisconnect) or the server closes the socket (Closed)."""
        crowded = asyncio.Event()
        place = self._seats.unknown.add(client_address.find(self._websocket.scope), crowded.set)
        self._held.callback(place.gone)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._unknown = tasks.create_task(_make_room(crowded))
                await self._receive(tasks)
        except BaseExceptionGroup as group:
            # The others were cancelled because of the first.
            raise group.exceptions[0] from None
        finally:
            self._held.close()

    async def _receive(self, tasks: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        deadline: float | None = loop.time() + INIT_SECONDS
        while True:
            late = _ENDED if self._context else (4408, "Connection initialisation timeout")
            try:
                async with asyncio.timeout_at(deadline):
                    limit = MAX_MESSAGE_BYTES if self._context else MAX_EARLY_BYTES
                    message = _read(await self._websocket.receive(), limit)
            except TimeoutError:
                raise Closed(*late) from None
            self._check_early(message)
            await self._take(message, tasks)
            # Wait at least a turn of the event loop: a client that sends without a pause holds up nobody else.
            await self._pace.wait()
            if self._context:
                left = stream.seconds_until(self._context.caller.expires_at)
                deadline = None if left is None else loop.time() + left

    def _check_early(self, message: Mapping[str, Any]) -> None:
        if self._initialised or message.get("type") == "connection_init":
            return
        self._early += 1
        if self._early > MAX_EARLY_MESSAGES:
            raise Closed(1008, f"Send connection_init within your first {MAX_EARLY_MESSAGES} messages.")

    async def _take(self, message: dict[str, Any], tasks: asyncio.TaskGroup) -> None:
        match message:
            case {"type": "connection_init"}:
                await self._initialise(message.get("payload"), tasks)
            case {"type": "ping"}:
                await self._send({"type": "pong"})
            case {"type": "pong"}:
                pass
            case {"type": "subscribe", "id": str(id_)} if len(id_) > MAX_ID:
                raise Closed(4400, f"The id of the operation is too long: give at most {MAX_ID} characters.")
            case {"type": "subscribe", "id": str(id_), "payload": dict(payload)} if id_:
                await self._subscribe(id_, payload, tasks)
            case {"type": "complete", "id": str(id_)}:
                if operation := self._operations.pop(id_, None):
                    operation.cancel()
            case _:
                raise Closed(4400, "This is not a message of graphql-transport-ws: correct it.")

    async def _initialise(self, payload: Any, tasks: asyncio.TaskGroup) -> None:
        if self._initialised:
            raise Closed(4429, "Too many initialisation requests")
        self._initialised = True
        if not isinstance(payload, dict | None):
            raise Closed(4400, "The payload of connection_init must be an object: correct it.")
        if value := _authorization(payload or {}):
            kept = [pair for pair in self._websocket.scope["headers"] if pair[0] != b"authorization"]
            self._websocket.scope["headers"] = [*kept, (b"authorization", value)]
        try:
            context = await self._arrive()
        except RequestError as refusal:
            later = refusal.status in {429, 503}
            raise Closed(*(1013, str(refusal)) if later else (4403, f"Forbidden: {refusal}")) from refusal
        await self._take_seat(context.caller)
        self._context = context
        tasks.create_task(self._leave(self._context))
        await self._send({"type": "connection_ack"})

    async def _take_seat(self, caller: Caller) -> None:
        """Take a slot in exchange for the place among unknown clients."""
        with contextlib.ExitStack() as seat:
            try:
                seat.enter_context(self._seats.slot(caller, WEBSOCKET))
            except RequestError as refusal:
                request_record.note_limit(refusal.limit)
                # A refused client comes back at once.
                await asyncio.sleep(REFUSED_SECONDS)
                raise Closed(1013, str(refusal)) from refusal
            self._unknown.cancel()
            self._held.close()
            self._held = seat.pop_all()
        connection_limit.identified(self._websocket.scope)

    async def _arrive(self) -> Context:
        # Not the WebSocket itself, which caches its headers.
        return await self._authenticate(HTTPConnection(self._websocket.scope))

    async def _leave(self, context: Context) -> None:
        await wait_until_unauthorized(self._arrive, context)
        raise Closed(*_ENDED)

    async def _subscribe(self, id_: str, payload: dict[str, Any], tasks: asyncio.TaskGroup) -> None:
        if self._context is None:
            raise Closed(4401, "Unauthorized")
        if id_ in self._operations:
            raise Closed(4409, f"Subscriber for {id_} already exists")
        if len(self._operations) >= MAX_OPERATIONS:
            reason = f"The socket has {MAX_OPERATIONS} operations, the maximum: complete one first."
            await self._send({"id": id_, "type": "error", "payload": [{"message": reason}]})
            return
        self._operations[id_] = tasks.create_task(self._record(id_, payload, self._context))

    async def _record(self, id_: str, payload: dict[str, Any], context: Context) -> None:
        """Run an operation with a record of its own, in the task of the operation."""
        record = RequestRecord(ids.new(), "websocket")
        if connection := request_record.current.get():
            record.client, record.path = connection.client, connection.path
            record.trace_id, record.traceparent = connection.trace_id, connection.traceparent
        record.tenant, record.caller = context.caller.tenant, context.caller.subject
        request_record.current.set(record)
        try:
            await self._operate(id_, payload, context)
        finally:
            request_record.finish(record, self._observers)

    async def _operate(self, id_: str, payload: dict[str, Any], before: Context) -> None:
        this = asyncio.current_task()
        context = await reauthenticate(self._arrive, before)
        if context is None:
            raise Closed(*_ENDED)
        try:
            results = await self._answer(payload, context)
        except RequestError as refusal:
            if refusal.extensions is None:
                request_record.add_code(http.HTTPStatus(refusal.status).name)
                raise Closed(4400, str(refusal)) from refusal
            # This request costs too much: the other operations on this socket go on.
            results = _refused(refusal)
        async with contextlib.aclosing(results):
            last: dict[str, Any] = {"id": id_, "type": "complete"}
            async for result in results:
                if "data" not in result:
                    last = {"id": id_, "type": "error", "payload": result["errors"]}
                    break
                await self._send({"id": id_, "type": "next", "payload": result})
        # Before the client is told: it may use the id again at once.
        if self._operations.get(id_) is this:
            del self._operations[id_]
            await self._send(last)

    async def _send(self, message: dict[str, Any]) -> None:
        text = response.encode_json(message)
        if record := request_record.current.get():
            record.bytes_sent += len(text)
        try:
            async with self._sending, asyncio.timeout(PATIENCE_SECONDS):
                await self._websocket.send_text(text.decode())
        except TimeoutError:
            raise Closed(4420, _TOO_SLOW) from None


async def _make_room(crowded: asyncio.Event) -> None:
    await crowded.wait()
    raise Closed(1013, "Too many sockets wait for connection_init: send it sooner.")


def _authorization(payload: dict[str, Any]) -> bytes | None:
    """Return the value of Authorization in the payload of connection_init, if there is one.

    A value that could not come as one header of a request is refused.
    """
    sent = (value for name, value in payload.items() if name.lower() == "authorization")
    values = [value for value in sent if value is not None and value != ""]
    if not values:
        return None
    if len(values) > 1:
        raise Closed(4400, "The payload of connection_init has several Authorization: send one.")
    [value] = values
    if not isinstance(value, str) or len(value) > MAX_AUTHORIZATION or not _FIELD_VALUE.fullmatch(value):
        reason = (
            f"Authorization in the payload must be a valid header value of at most {MAX_AUTHORIZATION} characters."
        )
        raise Closed(4400, reason)
    return value.encode("ascii")


async def _refused(refusal: RequestError) -> Results:
    yield response.format_refusal(refusal)


def _read(received: Any, max_bytes: int) -> dict[str, Any]:
    if received["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(received.get("code", 1006))
    text = received.get("text")
    if text is None:
        raise Closed(4400, "The message is binary: send text.")
    if len(text) > max_bytes:
        when = "" if max_bytes == MAX_MESSAGE_BYTES else " before connection_init is acknowledged"
        raise Closed(1009, f"The message is too large: send at most {max_bytes} bytes{when}.")
    try:
        check_json_size(text.encode(), max_bytes)
        message = json_values.loads(text)
    except RequestError as refusal:
        raise Closed(1009, str(refusal)) from refusal
    except orjson.JSONDecodeError as error:
        raise Closed(4400, f"This is not JSON: correct it ({error}).") from error
    return message if isinstance(message, dict) else {}
