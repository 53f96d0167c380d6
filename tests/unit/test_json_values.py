"""JSON input: each number keeps its digits, or is known not to."""

import decimal
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_catalog.domain import json_values, metadata
from release_catalog.domain.json_values import InexactNumber
from release_catalog.domain.validation import Validator

EXACT = (
    "0", "-0", "1", "-9223372036854775808", "9223372036854775807", "18446744073709551615", "0.1", "1.10", "-2.5e-3",
    "1e5", "1E+22", "1e308", "5e-324", "0e999999999999", "1234567890.123456", "0.0000000000000001", "100000000000000000000e-20",
)  # fmt: skip
INEXACT = (
    "18446744073709551616", "-9223372036854775809", "12345678901234567890123", "1e400", "-1e400", "1e-400",
    "1e99999999999999999999", "3.14159265358979323846", "100000000000000000000.5e-20", "0.1234567890123456789", "9007199254740993.0", "9" * 5_000,
)  # fmt: skip


def as_text(source: str) -> tuple[str | None, list[tuple[str, str]]]:
    checks = Validator({}, "input")
    text = metadata.text(checks, json_values.loads(source))
    return text, [(violation.field, violation.code) for violation in checks.found]


@pytest.mark.parametrize("number", EXACT)
@pytest.mark.parametrize("shape", ["%s", "[%s]", '{"a":%s}', "[1,%s ,2]", "\n%s\n"])
def test_exact_numbers_are_kept(shape: str, number: str) -> None:
    text, violations = as_text(shape % number)
    assert not violations
    kept = json.loads(text or "", parse_int=decimal.Decimal, parse_float=decimal.Decimal)
    assert kept == json.loads(shape % number, parse_int=decimal.Decimal, parse_float=decimal.Decimal)


@pytest.mark.parametrize("number", INEXACT)
@pytest.mark.parametrize(
    ("shape", "path"),
    [
        ("%s", "input.metadata"),
        ("[%s]", "input.metadata[0]"),
        ('{"a":%s}', "input.metadata.a"),
        ('{"a": {"b.c": [null, %s , 2]}}', "input.metadata.a.b.c[1]"),
        ("\n%s\n", "input.metadata"),
    ],
)
def test_other_numbers_are_refused_with_their_paths(shape: str, path: str, number: str) -> None:
    assert as_text(shape % number) == (None, [(path, "NOT_JSON")])


def test_all_inexact_numbers_are_refused_together() -> None:
    _, violations = as_text('{"a": 18446744073709551616, "b": ["18446744073709551616", 1e999], "c": 1}')
    assert violations == [("input.metadata.a", "NOT_JSON"), ("input.metadata.b[1]", "NOT_JSON")]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_of_python_is_read_exactly(value: Any) -> None:
    try:
        source = json.dumps(value).encode()
        orjson.loads(source)
    except orjson.JSONDecodeError:  # half of a surrogate pair
        with pytest.raises(orjson.JSONDecodeError):
            json_values.loads(source)
        return
    assert json_values.loads(source) == json_values.loads(source.decode()) == value


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_is_kept_or_known_to_be_inexact(value: decimal.Decimal) -> None:
    text = f"{value:e}".replace("E", "e")
    number = json_values.loads(f"[{text}]")[0]
    assert isinstance(number, InexactNumber) == (decimal.Decimal(repr(float(text))) != value)
    assert repr(number) == text or not isinstance(number, InexactNumber)


@pytest.mark.parametrize(
    "source",
    [
        "",
        "[1",
        "NaN",
        "[Infinity]",
        "[18446744073709551616, NaN]",
        '["\\ud800", 1e400]',
        "[1e400, NaN]",
        "[1e400",
        "[1e400]]",
        "[1e400, 01]",
        b'[1e400, "\xff"]',
        "01",
        b"[\xff]",
        "{}1",
    ],
)
def test_what_is_no_json_is_refused(source: str | bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        json_values.loads(source)


def test_a_doubtful_number_in_deep_json() -> None:
    """The limit is the same with every Python, also where orjson has not seen the depth."""
    with pytest.raises(orjson.JSONDecodeError):
        json_values.loads("[" * 1_000 + "1e400" + "]" * 1_000)
    for depth in (1_000, 5_000, 100_000):
        with pytest.raises(orjson.JSONDecodeError):
            json_values.loads("[1e400, " + '[{"a":' * (depth // 2) + "1" + "}]" * (depth // 2) + "]")
    assert json_values.loads("[" * 400 + "1e400" + "]" * 400)


def test_digits_in_texts_are_not_numbers() -> None:
    digest = "sha256:" + "9" * 64
    assert json_values.loads(json.dumps({"a": digest, "b": " 1e400"})) == {"a": digest, "b": " 1e400"}
