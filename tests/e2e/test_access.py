"""Credentials as operators and callers have them; and whatever is printed or stored meanwhile, no secret is in it."""

import base64
import json
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any

import anyio
import httpx2
import jwt
import orjson
import pytest

from conftest import connected
from release_catalog.domain import caller
from support.catalog import source
from support.graphql_client import data_of, post
from support.processes import SCRIPT, environment, run, serving

SECRET = "5ecret-of-the-issuer-that-nobody-may-see"
PASSWORD = "5ecret password of ci"
VIEWER = "{ viewer { subject tenantId } }"


def settings(folder: Path, mongodb_url: str, **more: Any) -> dict[str, Any]:
    return {
        "mongodb_url": mongodb_url,
        "database": f"test_{uuid.uuid4().hex}",
        "data_dir": folder / "data",
        **more,
    }


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_only_loopback_is_served_without_authentication(host: str, tmp_path: Path, mongodb_url: str) -> None:
    done = run("serve", "--host", host, "--port", 0, **settings(tmp_path, mongodb_url))
    assert done.returncode == 1
    assert done.stderr == (
        f"Other machines can reach {host}, and authentication is off: create a token (release-catalog token) and set "
        "RELEASE_CATALOG_AUTHENTICATION=required, or serve at 127.0.0.1.\n"
    )


def test_invalid_settings_are_named_without_their_values(tmp_path: Path) -> None:
    done = run("serve", jwt_secret=SECRET, data_dir=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "The settings can't be used: JWTs need RELEASE_CATALOG_JWT_ISSUER, _AUDIENCE, and _SECRET or _JWKS_URL: "
        "set all three.\n"
    )
    short = run("serve", jwt_secret="5ecret", data_dir=tmp_path)
    assert short.stderr.startswith(
        "The settings can't be used: RELEASE_CATALOG_JWT_SECRET: the secret is too short: give at least 32 bytes"
    )
    (tmp_path / "accounts").write_text("ci acme 5ecret\n")
    file = run("serve", accounts=tmp_path / "accounts", data_dir=tmp_path)
    assert file.stderr == (
        "The accounts can't be used: line 1 was not printed by release-catalog account. "
        "Check RELEASE_CATALOG_ACCOUNTS.\n"
    )
    (tmp_path / "accounts").write_bytes(b"\xff")
    binary = run("serve", accounts=tmp_path / "accounts", data_dir=tmp_path)
    assert binary.stderr == "The accounts can't be used: the file is not UTF-8. Check RELEASE_CATALOG_ACCOUNTS.\n"
    missing = run("serve", accounts=tmp_path / "none", data_dir=tmp_path)
    assert missing.stderr == f"{tmp_path / 'none'} can't be read or written: No such file or directory.\n"
    assert "5ecret" not in done.stderr + short.stderr + file.stderr + missing.stderr


@pytest.mark.parametrize("text", ["{", "[1]", '{"a": 1}'])
def test_unusable_trusted_documents_are_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "documents.json").write_text(text)
    done = run("serve", documents=tmp_path / "documents.json", data_dir=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "The trusted documents can't be used: give a JSON object with documents by their ids. "
        "Check RELEASE_CATALOG_DOCUMENTS.\n"
    )


def test_credentials_are_made_at_the_command_line(tmp_path: Path, mongodb_url: str) -> None:
    mine = settings(tmp_path, mongodb_url)
    wrong = run("token", "nightly", "--new-catalog", "--scope", "root", "--product", "none", **mine)
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr.splitlines() == [
        "This scope does not exist: give any of release:read, release:write.",
        "The product 'none' does not exist: save it first.",
    ]
    for arguments, typed, reason in (
        (("ci:1", "--scope", "admin"), PASSWORD, "without colons"),
        (("ci", "--scope", "root"), PASSWORD, "give any of"),
        (("ci", "--scope", "admin"), "short", "at least 12"),
    ):
        done = run("account", *arguments, source=typed.encode())
        assert (done.returncode, done.stdout) == (1, "")
        assert reason in done.stderr
        assert PASSWORD not in done.stderr


def test_no_secret_is_printed_or_stored(tmp_path: Path, mongodb_url: str) -> None:
    printed: list[str] = []
    made = run("account", "ci", "--scope", "admin", "--tenant", "acme", source=f"{PASSWORD}\n".encode())
    printed.append(made.stdout + made.stderr)
    file = tmp_path / "accounts"
    file.write_text(made.stdout)
    mine = settings(
        tmp_path, mongodb_url, accounts=file, jwt_issuer="https://i", jwt_audience="a", jwt_secret=SECRET,
        log_level="debug",
    )  # fmt: skip
    token = run(
        "token", "first", "--new-catalog", "--scope", "admin", "--tenant", "acme", "--days", 1, **mine
    ).stdout.strip()
    now = int(time.time())
    said = {
        "iss": "https://i",
        "aud": "a",
        "sub": "ann",
        "tenant": "acme",
        "iat": now,
        "exp": now + 60,
        "scope": "admin",
    }
    good, bad = jwt.encode(said, SECRET), jwt.encode(said, "5ecret that is another one, and as long")
    basic = base64.b64encode(f"ci:{PASSWORD}".encode()).decode()
    guess = base64.b64encode(b"ci:5ecret guess").decode()
    create = """mutation { createAccessToken(input: {name: "n", scopes: ["release:write"]}) { token } }"""
    with serving(tmp_path, **mine) as server, httpx2.Client(base_url=server.url) as http:
        assert [entry["event"] for entry in server.entries("serving with authentication")]
        answer = data_of(post(http, create, headers={"authorization": f"Bearer {token}"}))
        second = answer["createAccessToken"]["token"]
        for value, subject in (
            (f"Bearer {good}", "ann"),
            (f"Basic {basic}", "account:ci"),
            (f"Bearer {token}", "token"),
        ):
            response = post(http, VIEWER, headers={"authorization": value})
            assert data_of(response)["viewer"]["subject"].startswith(subject)
            printed.append(response.text)
        for headers in (
            {"authorization": f"Bearer {bad}"}, {"authorization": f"Basic {guess}"}, {"authorization": f"Bearer {token}x"},
            {"x-project-token": second}, {"authorization": f"Digest {token}"}, {"authorization": token},
            {"authorization": f"Bearer {second}", "x-project-token": token}, {"authorization": "Bearer " + token * 500},
        ):  # fmt: skip
            responses = [
                http.post(f"/v1/catalogs/default?token={token}", headers=headers),
                post(http, "{ catalogs { nodes { id } } x }", headers=headers),
            ]
            printed += [response.text + str(response.headers) for response in responses]
        product = 'mutation { saveProduct(input: {key: "tool", name: "Tool"}) { product { id } } }'
        writer = {"x-project-token": second}
        id_ = data_of(post(http, product, headers=writer))["saveProduct"]["product"]["id"]
        release = f'mutation {{ createRelease(input: {{productId: "{id_}", name: "n", version: "1.0"}}) {{ release {{ id }} }} }}'
        printed.append(post(http, release, headers=writer).text)
        assert '"id"' in printed[-1]
        everything = "{ accessTokens { id name } releases { nodes { id } } }"
        printed.append(post(http, everything, headers={"authorization": f"Basic {basic}"}).text)
        assert server.stop() == 0
        printed.append(server.log.read_text())
    exported = run("export", "--tenant", "acme", **mine)
    assert exported.stdout.count("\n") == 1
    printed += [exported.stdout, exported.stderr, anyio.run(stored, mongodb_url, mine["database"])]
    secrets = [
        SECRET,
        PASSWORD,
        token,
        second,
        good,
        bad,
        basic,
        guess,
        "5ecret",
        token[5:],
        good.rpartition(".")[2],
    ]
    for secret in secrets:
        assert [text for text in printed if secret in text] == [], secret


async def stored(url: str, name: str) -> str:
    """All that the database holds, events included."""
    async with connected(url, name) as database:
        names = await database.client[database.name].list_collection_names()
        rows = {name: [row async for row in database[name].find({})] for name in names}
        assert rows["events"]
        return json.dumps(rows, default=repr)


def test_the_help_of_token_lists_the_scopes() -> None:
    told = subprocess.run(
        [SCRIPT, "token", "create", "--help"],
        env=environment(columns=200),
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(scope in told.stdout.replace("\n", " ") for scope in ("admin", caller.READ))


def test_the_url_of_the_database_comes_from_a_file(tmp_path: Path, mongodb_url: str) -> None:
    file = tmp_path / "url"
    file.write_text(f"{mongodb_url}\n")
    mine: dict[str, Any] = {"mongodb_url_file": file, "database": f"test_{uuid.uuid4().hex}"}
    assert run("load", "-", source=orjson.dumps(source("tool")), **mine).returncode == 0
    exported = run("export", **mine)
    assert (exported.returncode, exported.stderr) == (0, "")
    assert exported.database == run("export", mongodb_url=mongodb_url, database=mine["database"]).database
    file.unlink()
    missing = run("export", **mine)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr == (
        f"The settings can't be used: RELEASE_CATALOG_MONGODB_URL: the file '{file}' in "
        "RELEASE_CATALOG_MONGODB_URL_FILE can't be read (No such file or directory): correct the path, or let this "
        "user read the file.\n"
    )


@pytest.mark.parametrize("password", ["pass/word", "pass@word", "pass%zz", "pass?word", "pass#word"])
def test_a_url_with_an_unescaped_password_is_refused_without_it(password: str) -> None:
    done = run("export", mongodb_url=f"mongodb://user:{password}@127.0.0.1:1/?serverSelectionTimeoutMS=100")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("The database can't be used: check RELEASE_CATALOG_MONGODB_URL. (")
    assert len(done.stderr.splitlines()) == 1
    assert "word" not in done.stderr.replace("username and password", "").replace("Username and password", "")


def test_an_unknown_option_of_the_url_is_logged(tmp_path: Path) -> None:
    done = run(
        "export",
        mongodb_url="mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100&journall=true",
        log_format="json",
    )
    [entry, sentence] = done.stderr.splitlines()
    told = json.loads(entry)
    assert (told["level"], told["event"]) == ("warning", "option of the MongoDB URL ignored")
    assert "true" not in told["reason"]
    assert sentence.startswith("The database can't be used: check RELEASE_CATALOG_MONGODB_URL. (")
