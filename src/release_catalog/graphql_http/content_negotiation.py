"""The choice of the media type of a response: RFC 9110, 12.5.1."""

import functools
import re
from collections.abc import Iterator

MEDIA_TYPES = "application/json", "application/graphql-response+json", "text/event-stream"
_STREAM = MEDIA_TYPES[2]
_WEIGHT = re.compile(r"q=([01](?:\.\d*)?)")


@functools.lru_cache(256)
def negotiate_media_type(accept: str) -> str | None:
    """Return the accepted media type that the client likes best; a stream only if `accept` names it."""
    qualities = dict(_accepted(accept or "*/*"))

    def quality(media_type: str) -> float:
        ranges = (media_type, "application/*", "*/*")  # the most specific one counts
        return next((qualities[name] for name in ranges if name in qualities), 0)

    # Of equals, the first that the client names; a client that names neither is used to JSON.
    named = [name for name in qualities if name in MEDIA_TYPES]
    found = max((*named, *(name for name in MEDIA_TYPES if name != _STREAM)), key=quality)
    return found if quality(found) else None


def _accepted(header: str) -> Iterator[tuple[str, float]]:
    """Yield the media ranges of an Accept header with their weights; skip invalid weights."""
    for entry in header.lower().split(","):
        media_range, *parameters = (part.strip() for part in entry.split(";"))
        weights = (match[1] for part in parameters if (match := _WEIGHT.fullmatch(part)))
        yield media_range, float(next(weights, 1))
