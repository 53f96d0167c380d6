"""The size of a request, measured in a fraction of the time that reading it takes."""

import itertools
import re

from release_catalog.graphql_api.request_errors import limit_exceeded

# Exact for valid documents. A token that is not closed goes on to the end: otherwise the search would never end.
_TOKEN = re.compile(
    r'''
    [!$&():=@\[\]{|}] | \.\.\.
    | [A-Za-z_][0-9A-Za-z_]*+
    | -?[0-9]++ (?:\.[0-9]++)?+ (?:[eE][+-]?[0-9]++)?+
    | """ (?:[^"\\]++ | \\""" | \\ | "(?!""))*+ (?:""")?+
    | " (?:[^"\\\n\r]++ | \\.)*+ "?+
    | \#[^\n\r]*+
    ''',
    re.VERBOSE,
)

# A useful body has fewer values than this at its maximum size; empty lists or short names would take a hundred
# times their bytes.
BYTES_A_VALUE = 16


def tokenize(text: str, max_tokens: int) -> list[str]:
    """Return the tokens of a document, comments among them; refuse more than `max_tokens`."""
    found = [match[0] for match in itertools.islice(_TOKEN.finditer(text), max_tokens + 1)]
    if len(found) > max_tokens:
        raise limit_exceeded("tokens", max_tokens, f"Document contains more than {max_tokens} tokens")
    return found


def check_json_size(body: bytes, most_bytes: int) -> None:
    """Refuse JSON with more values than make sense in `most_bytes`: commas and brackets, even those in texts."""
    most = most_bytes // BYTES_A_VALUE
    count = len(body) - len(body.translate(None, b"[{,")) if len(body) > most else 0
    if count > most:
        raise limit_exceeded("values", most, f"The body has up to {count} values")
