"""GraphQL subscriptions as multipart responses, the default of Apollo Client.

https://www.apollographql.com/docs/graphos/routing/operations/subscriptions/multipart-protocol. Each part is a JSON
object with a result in `payload`; an empty object is a heartbeat. A stream that was cut lacks the last boundary
(see `stream`).
"""

from release_catalog.graphql_http import response
from release_catalog.graphql_http.response import Json
from release_catalog.graphql_http.stream import Stream
from release_catalog.graphql_http.subscriber_limit import MULTIPART

_BOUNDARY = b"\r\n--graphql"
_PART = b"\r\ncontent-type: application/json\r\n\r\n%s" + _BOUNDARY


class MultipartStream(Stream):
    """The results of a subscription as parts of one response."""

    # Clients read a part when they have the boundary after it, so each part ends with one.
    media_type = 'multipart/mixed;boundary="graphql";subscriptionSpec="1.0"'
    transport = MULTIPART

    def beginning(self) -> bytes:
        """Return the first boundary with a heartbeat, so that the client sees the head of the response at once."""
        return _BOUNDARY + self.heartbeat()

    def part(self, result: Json) -> bytes:
        """Return a part with a result."""
        return _PART % response.encode_json({"payload": result})

    def heartbeat(self) -> bytes:
        """Return a part without a result."""
        return _PART % b"{}"

    def ending(self) -> bytes:
        """Return the end of the last boundary."""
        return b"--\r\n"
