"""Tokens of any content: each is a caller or refused, and nothing else happens."""

import asyncio
import base64
import hmac
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from release_catalog.auth.jwt import JwtAuthenticator
from release_catalog.domain import caller, ids
from release_catalog.settings import Settings

SECRET = "an issuer's secret of more than 32 bytes"
JWTS = JwtAuthenticator(Settings(jwt_issuer="https://i", jwt_audience="a", jwt_secret=SECRET))  # type: ignore[arg-type]
GOOD = {
    "iss": "https://i",
    "aud": "a",
    "sub": "ann",
    "tenant": "t",
    "iat": 1,
    "exp": 4_000_000_000,
    "scope": "admin",
}

numbers = st.one_of(
    st.integers(), st.floats(), st.integers(-(10**400), 10**400), st.sampled_from([10**n for n in range(9, 40)])
)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=20) | st.sampled_from(["admin", "local", "token:1"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.just("admin"), inner, max_size=3)
    ),
    max_leaves=5,
)


def signed(header: Any, claims: Any) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    text = b".".join(parts)
    digest = base64.urlsafe_b64encode(hmac.digest(SECRET.encode(), text, "sha256")).rstrip(b"=")
    return (text + b"." + digest).decode()


@given(st.dictionaries(st.sampled_from([*GOOD, "nbf", "scopes", "scp", "jti"]), values), st.booleans())
def test_any_claim_makes_a_caller_or_a_refusal(changed: dict[str, Any], whole: bool) -> None:
    claims = {**(GOOD if whole else {}), **changed}
    found = asyncio.run(JWTS.caller(signed({"alg": "HS256"}, claims), "127.0.0.1"))
    if found is None:
        return
    assert not caller.is_reserved(found.subject)
    assert found.expires_at is not None
    scopes: Any = next((claims[name] for name in ("scope", "scopes", "scp") if name in claims), [])
    assert not found.scopes or isinstance(scopes, str | list)
    assert all(type(claims[name]) in {int, float} for name in ("exp", "iat", "nbf") if name in claims)


@given(st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "b64", "cty", "zip"]), values) | values)
def test_any_header_makes_a_caller_or_a_refusal(header: Any) -> None:
    whole = {"alg": "HS256", **header} if isinstance(header, dict) else header
    found = asyncio.run(JWTS.caller(signed(whole, GOOD), "127.0.0.1"))
    assert found is None or found.subject == "ann"


@given(st.text(st.characters(categories=["Lu", "Ll", "Nd", "Pd"]), min_size=1, max_size=20))
def test_the_subjects_of_the_catalog_itself_are_reserved(name: str) -> None:
    own = [caller.local("t").subject, caller.token_subject(ids.new()), caller.account_subject(name)]
    assert all(caller.is_reserved(f(subject)) for subject in own for f in (str, str.upper, str.title))
