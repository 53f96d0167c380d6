"""Tokens and values are counted without parsing."""

import contextlib

import pytest
from graphql import (
    GraphQLSyntaxError,
    Lexer,
    Source,
    TokenKind,
)
from hypothesis import given
from hypothesis import strategies as st

from release_catalog.graphql_api.limits import document_limits
from release_catalog.graphql_api.request_errors import RequestError
from release_catalog.graphql_http.request import check_json_size
from support.effort import bounded

MEGABYTE = 1 << 20


def lexed(text: str) -> tuple[int, bool]:
    """Return the number of tokens that GraphQL's own lexer finds, with comments, and whether it reaches the
    end."""
    token, lexer = Lexer(Source(text)).token, Lexer(Source(text))
    for count in range(len(text) + 1):
        try:
            token = lexer.read_next_token(token.end)
        except GraphQLSyntaxError:
            return count, False
        if token.kind is TokenKind.EOF:
            break
    return count, True


PIECES = (
    *'{}()[]:!$&=|@.,-+\\"#\n\r \ufeffaE_01é\x00',
    *("...", '"""', '"x"', '\\"', '\\"""', "name", "-1.5e+3", "0.1", "1e", "# x\r", "\ud800", "😀"),
)


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_tokens_are_counted_as_the_lexer_finds_them(text: str) -> None:
    count, whole = lexed(text)
    if whole:
        assert len(document_limits.tokenize(text, 1_000)) == count
    # What can't be read is refused either way: but not before as much of it is counted as is read.
    assert len(document_limits.tokenize(text, 1_000)) >= count


@pytest.mark.parametrize("piece", [*PIECES, "a ", '"\\"', '"\n', "\\u0041", "#\n", '"""\\"""', "-.", "1."])
@pytest.mark.parametrize("before", ["", '"', '"""', "#"])
def test_tokens_are_counted_in_linear_time(before: str, piece: str) -> None:
    text = before + piece * (MEGABYTE // len(piece))
    with bounded(), contextlib.suppress(RequestError):
        document_limits.tokenize(text, 2_000)


@pytest.mark.parametrize("value", ["[]", "[1]", "{}", '{"a":{}}', '""', "0", "[[[[[]]]]]"])
def test_values_are_counted_in_linear_time(value: str) -> None:
    body = f"[{','.join([value] * (MEGABYTE // (len(value) + 1)))}]".encode()
    with bounded(), pytest.raises(RequestError, match="65536") as refusal:
        check_json_size(body, MEGABYTE)
    assert (refusal.value.status, (refusal.value.extensions or {})["limit"]) == (400, "values")
    check_json_size(body[: MEGABYTE // 16], MEGABYTE)
