"""Authentication by JWTs, service accounts and access tokens, attacks on it, and the permissions of callers."""

import asyncio
import base64
import hashlib
import hmac
import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
import structlog.testing
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import SecretStr

from release_catalog.auth import access_tokens, authenticator, jwks, passwords, service_accounts
from release_catalog.domain import access_tokens as texts
from release_catalog.domain import caller, timestamps
from release_catalog.domain.caller import Caller
from release_catalog.graphql_http import endpoint
from release_catalog.server.app import create_app
from release_catalog.settings import Settings
from release_catalog.storage.collection_names import TOKENS
from support.catalog import Catalog
from support.effort import bounded
from support.graphql_client import client_of, data_of, post, refusal_of, served

SECRET = "an issuer's secret of more than 32 bytes"
ISSUER, AUDIENCE = "https://issuer.example", "catalog"
JWT: dict[str, Any] = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
VIEWER = "{ viewer { subject tenantId scopes } }"
GRAPHQL, HAL = "/graphql", "/v1/registries/none"
KEYS: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def claims(**changed: Any) -> dict[str, Any]:
    now = time.time()
    made: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ann",
        "tenant": "local",
        "scope": "openid release:read",
    }
    made |= {"iat": int(now), "exp": int(now) + 3000, **changed}
    return {name: value for name, value in made.items() if value is not None}


def signed(key: Any = SECRET, algorithm: str = "HS256", headers: Any = None, **changed: Any) -> str:
    return jwt.encode(claims(**changed), key, algorithm, headers)


def forged(header: Any, payload: Any, key: bytes = b"") -> str:
    """A token that no library would make: anything as header and payload, signed by HMAC."""

    def part(value: Any) -> bytes:
        text = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(text).rstrip(b"=")

    text = part(header) + b"." + part(payload)
    return (text + b"." + part(hmac.digest(key, text, "sha256"))).decode()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of refusals do not wait on purpose."""
    monkeypatch.setattr(endpoint, "REFUSAL_DELAY_SECONDS", 0)


async def viewer(http: httpx2.AsyncClient, **headers: str) -> dict[str, Any]:
    answer: dict[str, Any] = data_of(await post(http, VIEWER, headers=headers))["viewer"]
    return answer


async def refused(http: httpx2.AsyncClient, status: int = 401, /, **headers: str) -> tuple[str, str]:
    """Return the response to these headers, which must be the same for GraphQL and HAL."""
    raw = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    with bounded():
        hal = await http.get(HAL, headers=raw)
        response = await post(http, VIEWER, headers=raw)
    assert (hal.status_code, response.status_code) == (status, status), (hal.text, response.text)
    assert hal.headers["content-type"] == "application/problem+json"
    problem, error = hal.json(), refusal_of(response)
    violation = {"field": "", "message": error["message"], "code": "BAD_REQUEST"}
    assert problem.pop("violations", None) == ([violation] if status == 400 else None)
    assert problem == {
        "type": "about:blank", "title": problem["title"], "status": status, "detail": error["message"], "instance": HAL,
    }  # fmt: skip
    challenge = response.headers.get("www-authenticate", "")
    assert hal.headers.get("www-authenticate", "") == challenge
    return error["message"], challenge


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def basic(name: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


async def test_without_credentials_there_is_a_challenge(empty: Catalog) -> None:
    async with served(empty.database, **JWT, jwt_secret=SECRET, introspection="public") as http:
        _, challenge = await refused(http)
        assert challenge == 'Bearer realm="release-catalog"'
        page = await http.get(GRAPHQL, headers={"accept": "text/html"})
        assert page.status_code == 200
        assert [(await http.get(path)).status_code for path in ("/livez", "/readyz")] == [200, 200]
        form = "application/graphql-response+json"
        response = await http.post(GRAPHQL, content=b"{", headers={"accept": form})
        assert response.headers["content-type"] == f"{form}; charset=utf-8"
        assert response.status_code == 401
        assert (await post(http, VIEWER, headers={"accept": "text/css"})).status_code == 406
        twice = [("authorization", "Bearer a"), ("authorization", "Bearer b")]
        assert (await post(http, VIEWER, headers=twice)).status_code == 400
        _, challenge = await refused(http, 400, **bearer(signed()), **{"x-project-token": texts.new()})
        assert challenge.endswith('error="invalid_request"')
        # RFC 6750: whoever sends what is no credentials here is told what is.
        for value in (signed(), f"Token {signed()}", "Digest x"):
            told = await refused(http, authorization=value)
            assert told == (
                "Credentials are missing: send a token in the header Authorization: Bearer, for example.", 'Bearer realm="release-catalog"'
            )  # fmt: skip


async def test_known_callers_read_the_schema_unless_introspection_is_off(empty: Catalog) -> None:
    known = bearer(signed())
    introspect, misspelt = "{ __schema { queryType { name } } }", "{ viewr { subject } }"
    for setting, strangers, callers in ((None, 401, 200), ("public", 200, 200), ("off", 404, 404)):
        async with served(empty.database, **JWT, jwt_secret=SECRET, introspection=setting) as http:
            assert (await http.get("/schema.graphql")).status_code == strangers
            found = await http.get("/schema.graphql", headers=known)
            assert found.status_code == callers
            assert ("type Query" in found.text) == (callers == 200)
            is_off = setting == "off"
            assert (
                "introspection has been disabled" in (await post(http, introspect, headers=known)).text
            ) == is_off
            assert ("Did you mean" in (await post(http, misspelt, headers=known)).text) == (not is_off)
            # Only callers who are known get this far, whatever the setting says.
            assert (await post(http, introspect)).status_code == 401
            page = await http.get(GRAPHQL, headers={"accept": "text/html"})
            assert page.headers["content-type"].startswith("text/html")
            assert page.status_code == (404 if is_off else 200)
            assert ("RELEASE_CATALOG_INTROSPECTION" in page.text) == is_off
            assert ("schema" in (await http.get("/v1", headers=known)).json()["_links"]) == (not is_off)


async def test_a_jwt_identifies_the_caller(empty: Catalog) -> None:
    async with served(empty.database, **JWT, jwt_secret=SECRET) as http:
        mine = {"subject": "ann", "tenantId": "local", "scopes": ["release:read"]}
        assert await viewer(http, **bearer(signed())) == mine
        assert await viewer(http, authorization=f"bearer {signed(aud=['other', AUDIENCE])}") == mine
        for said in ({"scopes": ["release:read", 1]}, {"scp": "release:read"}, {"scp": ["release:read", "x"]}):
            assert await viewer(http, **bearer(signed(scope=None, **said))) == mine
        for kind in ("JWT", "at+jwt", "application/at+jwt", None):
            assert await viewer(http, **bearer(signed(headers={"typ": kind}))) == mine
        assert (await viewer(http, **bearer(signed(scope=None))))["scopes"] == []
        assert (await viewer(http, **bearer(signed(exp=time.time() - 10))))["subject"] == "ann"
    async with served(empty.database, **JWT, jwt_secret=SECRET, jwt_tenant_claim="https://x/org") as http:
        token = signed(**{"https://x/org": "acme"})
        assert (await viewer(http, **bearer(token)))["tenantId"] == "acme"


def attacks() -> Iterator[tuple[str, str]]:
    good, now = claims(), time.time()
    public = KEYS["RS256"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    yield "none", jwt.encode(good, "", "none")
    for name in ("None", "NONE", "nOnE", "", None, 7, ["HS256"], "HS384", "RS256"):
        yield f"alg {name}", forged({"alg": name, "typ": "JWT"}, good, SECRET.encode())
    yield "public key as secret", forged({"alg": "HS256", "typ": "JWT"}, good, public)
    yield "RS256 by another key", signed(KEYS["RS256"], "RS256")
    yield "empty key", forged({"alg": "HS256"}, good, b"")
    yield "no signature", signed().rpartition(".")[0] + "."
    yield "another signature", signed()[:-4] + "AAAA"
    for name in ("exp", "iat", "iss", "aud", "sub", "tenant"):
        nothing: dict[str, Any] = {name: None}
        yield f"no {name}", signed(**nothing)
    yield "another audience", signed(aud="others")
    yield "another issuer", signed(iss=f"{ISSUER}/")
    yield "expired", signed(exp=now - 60)
    yield "not yet valid", signed(nbf=now + 3600, exp=now + 7200)
    yield "issued later", signed(iat=now + 3600, exp=now + 7200)
    values: list[Any] = [
        float("inf"), float("-inf"), float("nan"), "x", "9999999999", [], {}, None, True, -1, -(10**18), 1e300,
        10**11 * 3, 10**17, 10**18, 10**30, 10**400,
    ]  # fmt: skip
    for name in ("exp", "iat", "nbf"):
        for value in values if name != "nbf" else (v for v in values if v is not None):
            yield f"{name} {str(value)[:40]}", forged({"alg": "HS256"}, {**good, name: value}, SECRET.encode())
    for subject in ("local", "Local", "anonymous", "token:1", "account:ci", "TOKEN:1", " token:1", "token :1",
                    "\uff54oken:1", "token\uff1a1", "account:", "local:x"):  # fmt: skip
        yield f"sub {subject}", forged({"alg": "HS256"}, {**good, "sub": subject}, SECRET.encode())
    values = ["", "a\n", "x" * 256, 7, ["local"], {"$ne": 1}]
    for value in values:
        yield f"tenant {value}", forged({"alg": "HS256"}, {**good, "tenant": value}, SECRET.encode())
    for kind in ("logout+jwt", "dpop+jwt", "JWE", 7, ""):
        yield f"typ {kind}", forged({"alg": "HS256", "typ": kind}, good, SECRET.encode())
    yield "crit", forged({"alg": "HS256", "crit": ["b64"], "b64": False}, good, SECRET.encode())
    yield "kid traversal", signed("x" * 32, headers={"kid": "../../../../dev/null"})
    own = {"kty": "oct", "k": base64.urlsafe_b64encode(b"x" * 32).decode()}
    yield (
        "own key",
        signed("x" * 32, headers={"jwk": own, "jku": "http://127.0.0.1:1/", "x5u": "http://127.0.0.1:1/"}),
    )
    yield "deep header", forged(b"[" * 3000, good)
    yield "header is a list", forged([], good)
    yield "payload is a list", forged({"alg": "HS256"}, [], SECRET.encode())
    yield "1 MB", "a" * 2**20
    yield "1 MB of dots", "." * 2**20
    yield "over 8 kB", signed(note="x" * 8192)
    for text in ("", ".", "..", "a.b", "a.b.c.d", "\xff.\xff.\xff", "rcat_", "rcat_" + "0" * 49, "null"):
        yield f"garbage {text}", text


ATTACKS = dict(attacks())


@pytest.fixture(scope="module")
def issuer() -> Iterator["Issuer"]:
    made = Issuer()
    yield made
    made.close()


class Issuer:
    """An identity provider that publishes keys, and counts how often they are asked for."""

    def __init__(self) -> None:
        self.body, self.status, self.asked, issuer = b"", 200, 0, self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                self.send_response(issuer.status)
                self.send_header("Location", "http://127.0.0.1:1/")
                self.end_headers()
                self.wfile.write(issuer.body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/keys"

    def publish(self, **keys: Any) -> None:
        self.status = 200
        self.body = json.dumps({"keys": [{**public(key), "kid": id_} for id_, key in keys.items()]}).encode()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def public(key: Any) -> dict[str, Any]:
    kind = {rsa.RSAPrivateKey: "RS256", ec.EllipticCurvePrivateKey: "ES256"}
    name = next((name for cls, name in kind.items() if isinstance(key, cls)), "EdDSA")
    made: dict[str, Any] = jwt.get_algorithm_by_name(name).to_jwk(key.public_key(), as_dict=True)
    return made


async def test_no_attack_on_a_secret_gets_in(empty: Catalog) -> None:
    async with served(empty.database, **JWT, jwt_secret=SECRET) as http:
        assert {await refused(http, **bearer(ATTACKS[name])) for name in ATTACKS} == {
            (
                "The credentials are invalid: get new ones.",
                'Bearer realm="release-catalog", error="invalid_token"',
            )
        }


async def test_no_attack_on_published_keys_gets_in(empty: Catalog, issuer: Issuer) -> None:
    issuer.publish(RS256=KEYS["RS256"], ES256=KEYS["ES256"])
    issuer.asked = 0
    async with served(empty.database, **JWT, jwt_jwks_url=issuer.url) as http:
        for name in ATTACKS.keys() - {"RS256 by another key"}:
            await refused(http, **bearer(ATTACKS[name]))
        await refused(http, **bearer(signed(KEYS["ES256"], "ES256", {"kid": "RS256"})))
        await refused(http, **bearer(signed(KEYS["EdDSA"], "EdDSA", {"kid": "RS256"})))
        published = base64.urlsafe_b64decode(public(KEYS["RS256"])["n"] + "==")
        await refused(http, **bearer(forged({"alg": "HS256", "kid": "RS256"}, claims(), published)))
    assert issuer.asked <= 1


async def test_keys_that_are_published_are_taken(empty: Catalog, issuer: Issuer) -> None:
    issuer.publish(**KEYS)
    issuer.asked = 0
    async with served(empty.database, **JWT, jwt_jwks_url=issuer.url) as http:
        for name, key in KEYS.items():
            assert (await viewer(http, **bearer(signed(key, name, {"kid": name}))))["subject"] == "ann"
        # Of several keys none is meant.
        await refused(http, **bearer(signed(KEYS["RS256"], "RS256")))
    assert issuer.asked == 1
    async with served(empty.database, **JWT, jwt_jwks_url=issuer.url, jwt_algorithms="ES256, EdDSA") as http:
        await refused(http, **bearer(signed(KEYS["RS256"], "RS256", {"kid": "RS256"})))
        assert await viewer(http, **bearer(signed(KEYS["ES256"], "ES256", {"kid": "ES256"})))
    issuer.publish(only=KEYS["ES256"])
    async with served(empty.database, **JWT, jwt_jwks_url=issuer.url) as http:
        assert await viewer(http, **bearer(signed(KEYS["ES256"], "ES256")))


async def test_keys_are_rotated_and_outlive_their_issuer(
    empty: Catalog, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = KEYS["RS256"], KEYS["ES256"]
    token, later = signed(old, "RS256", {"kid": "old"}), signed(new, "ES256", {"kid": "new"})
    issuer.publish(old=old)
    issuer.asked = 0
    async with served(empty.database, **JWT, jwt_jwks_url=issuer.url) as http:
        assert await viewer(http, **bearer(token))
        issuer.publish(new=new)
        # Whoever makes keys up does not make us ask for them.
        for _ in range(20):
            await refused(http, **bearer(later))
        assert issuer.asked == 1
        monkeypatch.setattr(jwks, "PAUSE_SECONDS", 0.0)
        assert await viewer(http, **bearer(later))
        assert issuer.asked == 2
        await refused(http, **bearer(token))
        for status, body in (
            (500, b""),
            (302, b""),
            (200, b"{"),
            (200, b"[]"),
            (200, b"x" * (jwks.MAX_BYTES + 1)),
        ):
            issuer.status, issuer.body = status, body
            await refused(http, **bearer(token))
            assert await viewer(http, **bearer(later)), "the keys that were known still hold"
        # Those that are no longer fresh are asked for without anybody waiting.
        monkeypatch.setattr(jwks, "FRESH_SECONDS", 0.0)
        issuer.publish(old=old)
        assert await viewer(http, **bearer(later))
        for _ in range(100):
            if (await post(http, VIEWER, headers=bearer(later))).status_code == 401:
                break
            await asyncio.sleep(0.02)
        assert await viewer(http, **bearer(token))


async def test_without_fetched_keys_authentication_is_unavailable(empty: Catalog) -> None:
    async with served(empty.database, **JWT, jwt_jwks_url="http://127.0.0.1:1/keys") as http:
        message, challenge = await refused(http, 503, **bearer(signed(KEYS["RS256"], "RS256")))
        assert challenge == ""
        assert "try again" in message


def test_only_keys_fit_for_signatures_are_used() -> None:
    good = public(KEYS["RS256"])
    small = public(rsa.generate_private_key(65537, 1024))
    wide = public_of_curve(ec.SECP384R1())
    unfit: list[Any] = [
        {**good, "use": "enc"}, {**good, "alg": "RSA-OAEP"}, {**good, "n": "!"}, {**good, "kty": "oct", "k": "eA"},
        small, wide, {"kty": "oct", "k": "eA", "alg": "HS256"}, 7, {}, {"kty": ["RSA"]},
    ]  # fmt: skip
    for number, jwk in enumerate(unfit):
        assert jwks.parse_jwks({"keys": [jwk]}) == {}, number
    assert set(jwks.parse_jwks({"keys": [*unfit, {**good, "kid": "1", "use": "sig", "alg": "RS256"}]})) == {
        "1",
        None,
    }
    wrongs: list[Any] = [None, [], {}, {"keys": {}}]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="not a set of keys"):
            jwks.parse_jwks(wrong)


def public_of_curve(curve: ec.EllipticCurve) -> dict[str, Any]:
    made: dict[str, Any] = jwt.get_algorithm_by_name("ES384").to_jwk(
        ec.generate_private_key(curve).public_key(), as_dict=True
    )
    return made


# ruff: noqa: ASYNC240  a file of one line delays nobody
PASSWORD = "correct horse battery"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "accounts"
    line = service_accounts.line("ci", "acme corp/1", ["release:write", "release:read"], PASSWORD)
    path.write_text(f"# accounts\n\n{line}\n")
    return path


async def test_accounts_sign_in_with_their_password(
    empty: Catalog, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert PASSWORD not in file.read_text()
    tried: list[str] = []
    matches = passwords.matches

    def trying(known: str, password: str) -> bool:
        tried.append(password)
        return matches(known, password)

    monkeypatch.setattr(passwords, "matches", trying)
    async with served(empty.database, accounts=file) as http:
        mine = {"subject": "account:ci", "tenantId": "acme corp/1", "scopes": ["release:read", "release:write"]}
        for _ in range(5):
            assert await viewer(http, **basic("ci", PASSWORD)) == mine
        assert len(tried) == 1, "what was good a moment ago is not verified again"
        for name, password in (
            ("ci", f"{PASSWORD} "),
            ("nobody", PASSWORD),
            ("", PASSWORD),
            ("ci", ""),
            ("ci\0", "x"),
        ):
            _, challenge = await refused(http, **basic(name, password))
            assert challenge == 'Basic realm="release-catalog", charset="UTF-8"'
        assert set(tried) == {PASSWORD, f"{PASSWORD} ", ""}, "of a name that does not exist, nothing is verified"
        for text in ("!", "", base64.b64encode(b"ci").decode(), base64.b64encode(b"\xff:x").decode()):
            await refused(http, authorization=f"Basic {text}")
        # An account that is taken out of the file is out.
        file.write_text("# none\n")
        await refused(http, **basic("ci", PASSWORD))


async def test_a_file_that_is_spoiled_changes_nothing(empty: Catalog, file: Path) -> None:
    async with served(empty.database, accounts=file) as http:
        for text in ("ci acme release:read hunter2\n", "ci acme all $argon2id$x\n", "ci\n", file.read_text() * 2):
            file.write_text(text)
            assert await viewer(http, **basic("ci", PASSWORD))
            with pytest.raises(service_accounts.Unreadable, match="line") as error:
                service_accounts.read(text)
            assert "hunter2" not in str(error.value)
        file.unlink()
        assert await viewer(http, **basic("ci", PASSWORD))


async def test_the_rate_limit_turns_a_flood_of_guesses_away(empty: Catalog, file: Path) -> None:
    async with served(empty.database, accounts=file) as http:
        guesses = [post(http, VIEWER, headers=basic("ci", f"guess {n}")) for n in range(8)]
        answers = await asyncio.gather(*guesses)
    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [429] * 3
    refusal = next(answer for answer in answers if answer.status_code == 429)
    assert refusal.json()["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
    assert refusal.headers["retry-after"] == "5"


CREATE = """mutation($i: CreateAccessTokenInput!) { createAccessToken(input: $i) { token
  accessToken { id name scopes productId createdAt expiresAt lastUsedAt revokedAt }
  problem { detail ... on ValidationProblem { violations { field code } } } } }"""
REVOKE = """mutation($id: ID!) { revokeAccessToken(input: {id: $id}) { accessToken { id revokedAt }
  problem { __typename status } } }"""
LIST = "{ accessTokens { id name scopes productId lastUsedAt revokedAt } }"


async def made(catalog: Catalog, *scopes: str, **fields: Any) -> dict[str, Any]:
    asked = {"name": "nightly", "scopes": scopes, **fields}
    answer = (await catalog.ask(CREATE, i=asked))["createAccessToken"]
    assert answer["problem"] is None, answer
    return {**answer["accessToken"], "token": answer["token"]}


async def test_a_token_is_shown_once_and_only_its_digest_is_kept(empty: Catalog) -> None:
    token = await made(empty, "release:write", "release:read", "release:read")
    assert texts.well_formed(token["token"])
    assert token["scopes"] == ["release:read", "release:write"]
    [kept] = await empty.database[TOKENS].find({}).to_list(None)
    assert kept["_id"] == hashlib.sha256(token["token"].encode()).hexdigest()
    assert token["token"] not in str(kept)
    assert [one["id"] for one in (await empty.ask(LIST))["accessTokens"]] == [token["id"]]
    stranger = empty.seen_by(caller.local("another"))
    assert (await stranger.ask(LIST))["accessTokens"] == []
    assert (await stranger.ask(REVOKE, id=token["id"]))["revokeAccessToken"]["problem"]["status"] == 404


async def test_tokens_name_their_maker_and_the_log_has_each_of_them(empty: Catalog) -> None:
    ann = empty.seen_by(Caller("local", "ann", frozenset({"admin"})))
    with structlog.testing.capture_logs() as entries:
        token = await made(ann, "release:read")
        assert (await empty.ask("{ accessTokens { createdBy } }"))["accessTokens"] == [{"createdBy": "ann"}]
        await empty.ask(REVOKE, id=token["id"])
        await empty.ask(REVOKE, id="none")
    assert [(entry["event"], entry["token_id"], entry["tenant"], entry["by"]) for entry in entries] == [
        ("access token created", token["id"], "local", "ann"),
        ("access token revoked", token["id"], "local", "local"),
    ]
    assert token["token"] not in str(entries)


async def test_a_token_works_in_both_headers_until_it_is_revoked(
    empty: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await made(empty, "release:read")
    async with served(empty.database, authentication="required") as http:
        mine = {"subject": f"token:{token['id']}", "tenantId": "local", "scopes": ["release:read"]}
        for headers in (bearer(token["token"]), {"x-project-token": token["token"]}):
            assert await viewer(http, **headers) == mine
        await refused(http, **{"x-project-token": texts.new()})
        await refused(http, **basic("ci", token["token"]))
        assert access_tokens.KNOWN_SECONDS <= 5
        revoked = (await empty.ask(REVOKE, id=token["id"]))["revokeAccessToken"]["accessToken"]["revokedAt"]
        assert (await empty.ask(REVOKE, id=token["id"]))["revokeAccessToken"]["accessToken"][
            "revokedAt"
        ] == revoked
        now = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: now() + access_tokens.KNOWN_SECONDS)
        await refused(http, **bearer(token["token"]))
    [listed] = (await empty.ask(LIST))["accessTokens"]
    assert listed["revokedAt"] == revoked
    assert listed["lastUsedAt"] is not None


async def test_a_token_expires_even_while_it_is_known(empty: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    token = await made(empty, "release:read", expiresAt="2126-01-01T00:00:00Z")
    async with served(empty.database, authentication="required") as http:
        assert await viewer(http, **bearer(token["token"]))
        monkeypatch.setattr(timestamps, "now", lambda: timestamps.parse("2126-01-01T01:00:00Z"))
        assert (await post(http, VIEWER, headers=bearer(token["token"]))).status_code == 401


async def test_the_log_has_why_credentials_are_refused(empty: Catalog, file: Path) -> None:
    old, back = [await made(empty, "release:read", expiresAt=at) for at in ("2126-01-01T00:00:00Z", None)]
    await empty.ask(REVOKE, id=back["id"])
    # Tokens expire by the database's clock, which no test can set.
    past = {"expiresAt": timestamps.parse("2026-01-01T00:00:00Z")}
    await empty.database[TOKENS].update_one({"id": old["id"]}, {"$set": past})
    async with served(empty.database, accounts=file) as http:
        with structlog.testing.capture_logs() as entries:
            for headers in (
                bearer(texts.new()), bearer(back["token"]), bearer(old["token"]),
                basic("ci", "guess"), basic("guess", PASSWORD),
            ):  # fmt: skip
                assert (await post(http, VIEWER, headers=headers)).status_code == 401
    told = [entry for entry in entries if entry["event"] != "request"]
    assert [(entry["event"], entry.get("reason"), entry.get("token_id"), entry.get("account")) for entry in told] == [
        ("token refused", "unknown", None, None),
        ("token refused", "revoked", back["id"], None),
        ("token refused", "expired", old["id"], None),
        ("service account refused", "wrong password", None, "ci"),
        ("service account refused", "unknown", None, None),
    ]  # fmt: skip
    assert "guess" not in str(told)


async def test_the_log_has_the_reason_why_a_subject_is_refused(empty: Catalog) -> None:
    async with served(empty.database, **JWT, jwt_secret=SECRET) as http:
        with structlog.testing.capture_logs() as entries:
            await refused(http, **bearer(signed(sub="token:0123456789abcdef01234567")))
            await refused(http, **bearer(signed(exp=10**18)))
    reasons = {str(entry.get("reason")) for entry in entries if entry["event"] == "token refused"}
    assert reasons == {
        "the sub is reserved for the catalog's own callers: give the user another one",
        "exp must be a number of seconds since 1970, before the year 10000",
    }


async def test_a_scope_that_is_neither_a_text_nor_a_list_grants_nothing(empty: Catalog) -> None:
    async with served(empty.database, **JWT, jwt_secret=SECRET) as http:
        values: list[Any] = [
            {"admin": True},
            {"admin": {}},
            [["admin"]],
            [{"admin": 1}],
            7,
            True,
            1.5,
            ["openid"],
            "Admin",
        ]
        for name in ("scope", "scopes", "scp"):
            for value in values:
                said = {"scope": None, name: value}
                assert (await viewer(http, **bearer(signed(**said))))["scopes"] == [], (name, value)


async def test_a_subject_that_only_contains_a_reserved_word_is_let_in(empty: Catalog) -> None:
    async with served(empty.database, **JWT, jwt_secret=SECRET) as http:
        for subject in ("locally", "token", "account", "my:token:1", "auth0|local", "ann@account", "x" * 255):
            assert (await viewer(http, **bearer(signed(sub=subject))))["subject"] == subject


async def test_the_log_names_the_claim_that_a_jwt_lacks(empty: Catalog) -> None:
    async with served(empty.database, **JWT, jwt_secret=SECRET) as http:
        with structlog.testing.capture_logs() as entries:
            await refused(http, **bearer(signed(tenant=None)))
    assert {entry.get("reason") for entry in entries} >= {'Token is missing the "tenant" claim'}


async def test_the_last_use_is_noted_once_a_minute(empty: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_tokens, "KNOWN_SECONDS", -1.0)
    token, noted = await made(empty, "release:read"), access_tokens._noted
    notes: list[Any] = []

    def noting(database: Any, document: Any) -> Any:
        notes.append(document)
        return noted(database, document)

    monkeypatch.setattr(access_tokens, "_noted", noting)
    async with served(empty.database, authentication="required") as http:
        await viewer(http, **bearer(token["token"]))
        for _ in range(100):
            if (await empty.database[TOKENS].find_one({}))["lastUsedAt"]:  # type: ignore[index]
                break
            await asyncio.sleep(0.02)
        for _ in range(3):
            await viewer(http, **bearer(token["token"]))
        assert len(notes) == 1
        old = timestamps.parse("2020-01-01T00:00:00Z")
        await empty.database[TOKENS].update_one({}, {"$set": {"lastUsedAt": old}})
        await viewer(http, **bearer(token["token"]))
    assert len(notes) == 2
    used = await empty.database[TOKENS].find_one({})
    assert used
    assert used["lastUsedAt"]
    assert used["lastUsedAt"] > old


async def test_invalid_inputs_of_an_access_token_are_refused(empty: Catalog) -> None:
    product = await empty.product("tool")
    for asked, wrong in (
        ({"scopes": []}, [("input.scopes", "REQUIRED")]),
        ({"scopes": ["admin", "root"]}, [("input.scopes[1]", "UNKNOWN")]),
        ({"name": "", "expiresAt": "2020-01-01T00:00:00Z"}, [("input.name", "REQUIRED"), ("input.expiresAt", "IN_PAST")]),
        ({"productId": "nothing"}, [("input.productId", "UNKNOWN")]),
        ({"productId": product["id"], "scopes": ["release:write", "admin"]}, [("input.scopes[1]", "BEYOND_PRODUCT")]),
    ):  # fmt: skip
        given = {"name": "n", "scopes": ["release:read"], **asked}
        problem = (await empty.ask(CREATE, i=given))["createAccessToken"]["problem"]
        assert [(v["field"], v["code"]) for v in problem["violations"]] == wrong
    assert await empty.database[TOKENS].count_documents({}) == 0


async def test_without_authentication_only_this_machine_is_served_as_operator(empty: Catalog) -> None:
    app = create_app(Settings(), database=empty.database)
    async with app.router.lifespan_context(app):
        for client, status in (
            ("127.0.0.1", 200),
            ("::1", 200),
            ("10.0.0.1", 401),
            ("::ffff:10.0.0.1", 401),
            ("", 401),
        ):
            async with client_of(app, client=(client, 1)) as http:
                response = await post(http, VIEWER)
                assert (response.status_code, (await http.get(HAL)).status_code == 401) == (status, status == 401)
    assert not authenticator.is_loopback(None)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({**JWT}, "JWTs need"),
        ({"jwt_secret": SECRET}, "JWTs need"),
        ({"jwt_issuer": ISSUER, "jwt_secret": SECRET}, "JWTs need"),
        ({**JWT, "jwt_secret": "hunter2"}, "at least 32 bytes"),
        ({**JWT, "jwt_secret": SECRET, "jwt_jwks_url": "https://x"}, "exclude each other"),
        ({**JWT, "jwt_secret": SECRET, "jwt_algorithms": "RS256"}, "set any of HS256"),
        ({**JWT, "jwt_jwks_url": "https://x", "jwt_algorithms": "RS256,HS256"}, "set any of RS256"),
        ({**JWT, "jwt_secret": SECRET, "jwt_algorithms": "none"}, "set any of HS256"),
        ({**JWT, "jwt_jwks_url": "http://issuer.example"}, "https URL"),
        ({**JWT, "jwt_jwks_url": "https://u:hunter2@issuer.example"}, "https URL"),
        ({**JWT, "jwt_jwks_url": "file:///etc/passwd"}, "https URL"),
    ],
)
def test_settings_that_would_let_anybody_in_are_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as error:
        Settings(**settings)
    assert "hunter2" not in str(error.value)
    assert SECRET not in str(error.value)


def test_secrets_do_not_show_in_settings() -> None:
    shown = repr(Settings(**JWT, jwt_secret=SecretStr(SECRET), mongodb_url="mongodb://u:hunter2@h"))
    assert SECRET not in shown
    assert "hunter2" not in shown


# What callers may do.


async def test_a_missing_scope_is_an_error_of_its_field_alone(empty: Catalog) -> None:
    await empty.product("tool")
    nobody = Caller("local", "nobody", frozenset({"webhook:write"}))
    response = await empty.seen_by(nobody).respond(
        "{ viewer { subject } release(id: 1) { id } catalogs { totalCount } }"
    )
    assert response["data"] is None
    response = await empty.seen_by(nobody).respond("{ viewer { subject } release(id: 1) { id } }")
    assert response["data"] == {"viewer": {"subject": "nobody"}, "release": None}
    [error] = response["errors"]
    detail = "Your credentials lack the scope release:read: use others that have it."
    problem = {"type": "about:blank", "title": "Forbidden", "status": 403, "detail": detail}
    assert error["extensions"] == {"code": "FORBIDDEN", "problem": problem}
    assert error["path"] == ["release"]


async def test_hal_needs_the_scope_to_read(empty: Catalog) -> None:
    async with served(empty.database, **JWT, jwt_secret=SECRET) as http:
        response = await http.get(HAL, headers=bearer(signed(scope="webhook:write")))
        assert (response.status_code, response.headers["content-type"]) == (403, "application/problem+json")
        assert response.json()["title"] == "Forbidden"
        assert (await http.get(HAL, headers=bearer(signed()))).status_code == 404


def test_each_scope_allows_its_operations() -> None:
    every = [caller.READ, caller.WRITE, caller.PROMOTE, caller.WEBHOOK, caller.ADMIN]
    table = {
        caller.READ: [caller.READ],
        caller.WRITE: [caller.READ, caller.WRITE],
        caller.PROMOTE: [caller.READ, caller.PROMOTE],
        caller.WEBHOOK: [caller.WEBHOOK],
        caller.ADMIN: every,
    }
    for scope, allowed in table.items():
        assert [s for s in every if Caller("t", "s", frozenset({scope})).may(s)] == allowed
