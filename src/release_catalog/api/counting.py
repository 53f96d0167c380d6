"""How much there is of a request, told in a fraction of the time that reading it takes."""

import itertools
import re

from release_catalog.api.refusals import too_much

# Exact for what can be parsed. What is not closed goes on to the end: otherwise it would be looked at for ever.
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

# What anybody has use for has fewer values than this in a body as large as it may be; empty lists or short names
# would take a hundred times their bytes.
BYTES_A_VALUE = 16


def tokens(text: str, most: int) -> list[str]:
    """The tokens of a document, comments among them; refused where there are more than `most`."""
    found = [match[0] for match in itertools.islice(_TOKEN.finditer(text), most + 1)]
    if len(found) > most:
        raise too_much("tokens", most, f"Document contains more than {most} tokens")
    return found


def values(body: bytes, most_bytes: int) -> None:
    """Refuse JSON with more values than make sense in `most_bytes`: commas and brackets, even those in texts."""
    most = most_bytes // BYTES_A_VALUE
    count = len(body) - len(body.translate(None, b"[{,")) if len(body) > most else 0
    if count > most:
        raise too_much("values", most, f"The body has up to {count} values")
