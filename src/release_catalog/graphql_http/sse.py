"""GraphQL over Server-Sent Events: graphql-sse's "distinct connections mode", one response for an operation.

https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md. Each event has an id. A client that sends the
last one in the header Last-Event-ID continues after it: an EventSource does so by itself after a cut. The first
part and heartbeats have ids, too, so that a client that was cut before its first event continues where it began.
A stream that was cut lacks the event `complete` (see `stream`).
"""

from release_catalog.graphql_http import response
from release_catalog.graphql_http.response import Json
from release_catalog.graphql_http.stream import Stream
from release_catalog.graphql_http.subscriber_limit import SSE


class EventStream(Stream):
    """The results of an operation as server-sent events."""

    media_type = "text/event-stream"
    transport = SSE

    def beginning(self) -> bytes:
        """Return a comment with the position."""
        return self.heartbeat()

    def part(self, result: Json) -> bytes:
        """Return the event `next`; a refusal has no id, so that a client continues before the refused event."""
        followed = self.context.followed
        id_ = b"id: %s\n" % followed.last_id.encode() if followed and "data" in result else b""
        return b"%sevent: next\ndata: %s\n\n" % (id_, response.encode_json(result))

    def heartbeat(self) -> bytes:
        """Return a comment with the position; it makes no event in the client."""
        followed = self.context.followed
        return b":\nid: %s\n\n" % followed.position.encode() if followed else b":\n\n"

    def ending(self) -> bytes:
        """Return the event `complete`."""
        return b"event: complete\ndata:\n\n"
