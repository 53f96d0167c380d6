"""Node ids: opaque ids that are unique over all types, and name a document by its type and its id."""

import base64
import binascii
from typing import NamedTuple

# The maximum number of characters in a node id. The longest is that of a content: the name of its environment, its
# repository key and its path have up to 256, 256 and 1,024 characters of up to four bytes each, and the name has
# three characters for each of its bytes.
MAX_NODE_ID = 11_000


class NodeKey(NamedTuple):
    """The type of a document, its id, and for a file the id of its release."""

    type: str
    id: str
    release_id: str | None = None


def encode(type_: str, id_: str, release_id: str | None = None) -> str:
    """Return the node id of the document of a type with this id; a file has the id of its release besides."""
    # The server makes the ids of files, without slashes. Ids of releases may have some.
    path = id_ if release_id is None else f"{release_id}/{id_}"
    return base64.urlsafe_b64encode(f"{type_}:{path}".encode()).rstrip(b"=").decode()


def decode(node_id: str, types_in_releases: frozenset[str]) -> NodeKey | None:
    """Return the key in a node id; None if it is not exactly what `encode` returns."""
    if len(node_id) > MAX_NODE_ID:
        return None
    try:
        raw = base64.urlsafe_b64decode(node_id.encode("ascii") + b"=" * (-len(node_id) % 4)).decode()
    except (binascii.Error, UnicodeError):
        return None
    type_, _, path = raw.partition(":")
    if type_ in types_in_releases:
        release_id, _, id_ = path.rpartition("/")
        key = NodeKey(type_, id_, release_id)
    else:
        key = NodeKey(type_, path)
    # Base64 has several texts for the same bytes, of which one is the id.
    return key if encode(*key) == node_id else None
