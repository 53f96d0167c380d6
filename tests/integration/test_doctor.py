"""`release-catalog doctor` finds what is wrong with a set-up, says what to do, and leaves nothing behind."""

import http.server
import json
import socket
import ssl
import subprocess
import threading
import urllib.parse
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt.algorithms
import orjson
import pymongo
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pymongo.errors import OperationFailure

from release_catalog.cli.checks import database_checks, machine_checks
from release_catalog.cli.checks.findings import Finding
from release_catalog.settings import Settings
from release_catalog.storage import probes
from support.catalog import source
from support.processes import Done, run, serving

SECRET = "5ecret of at least thirty-two bytes"
JWT = {"jwt_issuer": "https://i", "jwt_audience": "a"}


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def stocked_settings(mongodb_url: str, free_port: int) -> Iterator[dict[str, Any]]:
    """The settings of a catalog with one release."""
    found: dict[str, Any] = {"mongodb_url": mongodb_url, "database": f"test_{uuid.uuid4().hex}", "port": free_port}
    assert run("load", "-", source=orjson.dumps(source("tool")), **found).returncode == 0
    yield found
    with pymongo.MongoClient[dict[str, Any]](mongodb_url) as client:
        client.drop_database(found["database"])


def examine(**settings: Any) -> tuple[Done, dict[str, list[dict[str, str]]]]:
    """Run the command; what it found, by check."""
    done = run("doctor", "--json", **settings)
    assert "5ecret" not in done.stdout + done.stderr
    told = orjson.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0 if told["healthy"] else 1, "")
    assert all(it["remedy"] or it["severity"] in {"ok", "info"} for it in told["findings"]), (
        "each fault has a remedy"
    )
    assert told["healthy"] == all(it["severity"] != "error" for it in told["findings"])
    found: dict[str, list[dict[str, str]]] = {}
    for finding in told["findings"]:
        found.setdefault(finding["check"], []).append(finding)
    return done, found


def only(found: dict[str, list[dict[str, str]]], check: str) -> tuple[str, str, str]:
    [finding] = found[check]
    return finding["severity"], finding["message"], finding["remedy"]


def test_a_sound_set_up_has_no_fault(stocked_settings: dict[str, Any]) -> None:
    done, found = examine(**stocked_settings)
    faults = [it for some in found.values() for it in some if it["severity"] in {"warning", "error"}]
    # MongoDB's own default, which the tests' embedded one does not have, would be a warning.
    assert faults == []
    assert done.returncode == 0
    assert {"settings", "database", "MongoDB", "catalog", "rights", "indexes", "clock", "port"} <= found.keys()


def test_people_get_a_line_each(stocked_settings: dict[str, Any]) -> None:
    done = run("doctor", **stocked_settings, loglevel="debug")
    assert done.returncode == 0
    assert "warning  settings           The setting RELEASE_CATALOG_LOGLEVEL does not exist.\n" in done.stdout
    assert "                            Did you mean RELEASE_CATALOG_LOG_LEVEL?\n" in done.stdout


def test_all_wrong_settings_are_found_and_the_other_checks_run(stocked_settings: dict[str, Any]) -> None:
    wrong = {"max_cost": 0, "log_format": "5ecret", "jwt_secret": "5ecret", "databse": "x", "zzzz": "5ecret"}
    done, found = examine(**stocked_settings, **wrong)
    assert done.returncode == 1
    texts = " ".join(it["message"] for it in found["settings"])
    for name in ("MAX_COST", "LOG_FORMAT", "JWT_SECRET", "DATABSE", "ZZZZ"):
        assert f"RELEASE_CATALOG_{name}" in texts
    assert "Did you mean RELEASE_CATALOG_DATABASE?" in {it["remedy"] for it in found["settings"]}
    assert only(found, "database")[0] == "ok"


@pytest.mark.parametrize(
    "wrong",
    [
        {"jwt_issuer": "https://i"},
        {**JWT, "jwt_secret": SECRET, "jwt_algorithms": "RS256"},
        {**JWT, "jwt_secret": SECRET, "jwt_jwks_url": "https://issuer.example/keys"},
    ],
)
def test_settings_that_contradict_each_other_are_found(
    wrong: dict[str, Any], stocked_settings: dict[str, Any]
) -> None:
    done, found = examine(**stocked_settings, **wrong)
    assert (done.returncode, only(found, "settings")[0], only(found, "database")[0]) == (1, "error", "ok")


def test_nothing_is_created(tmp_path: Path, mongodb_url: str, free_port: int) -> None:
    done, found = examine(data_dir=tmp_path / "none", port=free_port)
    assert done.returncode == 0
    assert [it["severity"] for it in found["database"]] == ["info", "ok"]
    assert list(tmp_path.iterdir()) == []
    done, found = examine(mongodb_url=mongodb_url, database="absent", port=free_port)
    assert done.returncode == 0
    assert only(found, "catalog")[:2] == ("info", "The database absent has no catalog yet.")
    with pymongo.MongoClient[Any](mongodb_url) as client:
        assert "absent" not in client.list_database_names()


@pytest.mark.parametrize(
    "url", ["mongodb://u:5ecret@127.0.0.1:1", "mongodb://u:5ecret/x@h/", "mongodb://u:5ecret@"]
)
def test_an_unusable_database_is_an_error(url: str, free_port: int) -> None:
    done, found = examine(mongodb_url=url, port=free_port)
    assert done.returncode == 1
    assert only(found, "database")[0] == "error"
    assert only(found, "descriptors")[0] in {"ok", "warning"}, "the other checks run"


def test_a_user_without_rights_is_found(stocked_settings: dict[str, Any], mongodb_url: str) -> None:
    name = stocked_settings["database"]
    roles = {"read": "error", "readWrite": "info", "dbOwner": "ok"}
    with pymongo.MongoClient[Any](mongodb_url) as client:
        for role in roles:
            client[name].command("createUser", role, pwd="5ecret", roles=[{"role": role, "db": name}])
        parts = urllib.parse.urlsplit(mongodb_url)
        try:
            for role, severity in roles.items():
                hosts = parts.netloc.rpartition("@")[2]
                url = f"mongodb://{role}:5ecret@{hosts}/?directConnection=true&authSource={name}"
                done, found = examine(**stocked_settings | {"mongodb_url": url})
                assert done.returncode == (severity == "error"), found
                assert only(found, "rights")[0] == severity
                if role == "read":
                    assert "insert, update, remove, createCollection, createIndex" in only(found, "rights")[1]
                # Only the role clusterMonitor may read these.
                assert only(found, "replication")[0] == only(found, "transactions")[0] == "info"
            wrong = f"mongodb://read:wrong5ecret@{hosts}/?directConnection=true&authSource={name}"
            done, found = examine(**stocked_settings | {"mongodb_url": wrong})
            severity, message, remedy = only(found, "database")
            assert (severity, message) == ("error", "The database refuses the user: Authentication failed.")
            assert "authSource" in remedy
        finally:
            client[name].command("dropAllUsersFromDatabase")


def test_a_url_without_a_user_is_found(stocked_settings: dict[str, Any], mongodb_url: str) -> None:
    hosts = urllib.parse.urlsplit(mongodb_url).netloc.rpartition("@")[2]
    url = f"mongodb://{hosts}/?directConnection=true"
    done, found = examine(**stocked_settings | {"mongodb_url": url})
    severity, message, remedy = only(found, "database")
    assert (done.returncode, severity) == (1, "error")
    assert message == "The database asks for a user, and the URL has none."
    assert "mongodb://USER:PASSWORD@" in remedy
    # Nothing else can be found out, and not that it asks for no user.
    assert not {"rights", "catalog", "indexes"} & found.keys()


def test_a_database_that_can_not_be_reached_is_told_with_the_reason(
    free_port: int, stocked_settings: dict[str, Any], mongodb_url: str
) -> None:
    closed = examine(mongodb_url=f"mongodb://127.0.0.1:{free_port}/", port=free_port)[1]
    assert "Connect call failed" in only(closed, "database")[1]
    url = f"{mongodb_url.replace('directConnection=true', 'directConnection=false')}&replicaSet=another"
    other = examine(**stocked_settings | {"mongodb_url": url})[1]
    assert "another" in only(other, "database")[1]


@pytest.mark.parametrize(
    "wrong", [{"mongodb_url": "http://u:5ecret@h/"}, {"database": "a/b"}, {"database": "a" * 64}]
)
def test_no_other_database_is_looked_at(
    wrong: dict[str, Any], stocked_settings: dict[str, Any], tmp_path: Path
) -> None:
    done, found = examine(**stocked_settings | wrong | {"data_dir": tmp_path})
    assert (done.returncode, only(found, "settings")[0]) == (1, "error")
    assert only(found, "database")[:2] == ("info", "No check of the database was made: its settings are wrong.")
    assert done.database is None
    assert not {"catalog", "disk"} & found.keys()
    assert found["port"]


def test_no_other_port_is_looked_at(stocked_settings: dict[str, Any]) -> None:
    found = examine(**stocked_settings | {"port": "x"})[1]
    assert "port" not in found
    assert only(found, "database")[0] == "ok"


async def test_a_single_server_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(*_: Any) -> None:
        raise OperationFailure("not running with --replSet", 76)

    monkeypatch.setattr(probes, "_allowed", refused)
    database: Any = None
    assert [it async for it in database_checks.replication(Settings(), database)] == []


def test_missing_and_different_indexes_are_found(stocked_settings: dict[str, Any], mongodb_url: str) -> None:
    with pymongo.MongoClient[Any](mongodb_url) as client:
        database = client[stocked_settings["database"]]
        database["releases"].drop_index("terms")
        database["tokens"].drop_index("id")
        database["tokens"].create_index("id", name="id")
        database["events"].drop_index("kept")
        database["webhookDeliveries"].drop_index("kept")
        database["webhookDeliveries"].create_index("updatedAt", name="kept", expireAfterSeconds=60)
    _, found = examine(**stocked_settings)
    warning, retention = found["indexes"]
    assert warning["severity"] == "warning"
    for fault in (
        "releases.terms (missing)",
        "tokens.id (different)",
        "events.kept (missing)",
        "webhookDeliveries.kept (different)",
    ):
        assert fault in warning["message"]
    assert retention["severity"] == "info"


def test_another_retention_of_events_is_told(stocked_settings: dict[str, Any]) -> None:
    _, found = examine(**stocked_settings)
    assert only(found, "indexes") == ("ok", "All indexes exist.", "")
    _, found = examine(**stocked_settings, events_days=30)
    assert [(it["severity"], it["message"]) for it in found["indexes"]] == [
        ("ok", "All indexes exist."),
        ("info", "Events are kept for 90 days, and RELEASE_CATALOG_EVENTS_DAYS is 30."),
    ]


def test_access_tokens_are_looked_at(stocked_settings: dict[str, Any]) -> None:
    mine = {**stocked_settings, "authentication": "required"}
    done, found = examine(**mine)
    assert (done.returncode, only(found, "access tokens")[:2]) == (1, ("error", "Nobody has credentials."))
    assert run("token", "endless", "--scope", "admin", **mine).returncode == 0
    assert run("token", "ending", "--scope", "admin", "--days", 3, **mine).returncode == 0
    done, found = examine(**mine)
    assert done.returncode == 0
    told = [(it["severity"], it["message"]) for it in found["access tokens"]]
    assert told == [
        ("warning", "Access tokens expire within 14 days: ending of local."),
        ("info", "1 access tokens never expire."),
    ]


def test_files_with_secrets_are_looked_at(tmp_path: Path, stocked_settings: dict[str, Any]) -> None:
    accounts, secret, documents = tmp_path / "accounts", tmp_path / "secret", tmp_path / "documents"
    secret.write_text(SECRET)
    mine = {**stocked_settings, "accounts": accounts, "jwt_secret_file": secret, **JWT, "documents": documents}
    made = run("account", "create", "ci", "--scope", "admin", source=b"5ecret password\n", accounts=accounts)
    assert made.returncode == 0
    documents.write_text('{"a": "{ viewer { subject } }"}')
    secret.chmod(0o600)
    _, found = examine(**mine)
    assert [it["severity"] for it in found["secret files"]] == ["ok", "ok"]
    assert only(found, "accounts")[:2] == ("ok", "1 service accounts can log in.")
    assert only(found, "trusted documents")[:2] == ("ok", "1 trusted documents.")
    secret.chmod(0o604)
    accounts.chmod(0o602)
    accounts.write_text(accounts.read_text().replace("$argon2id$", "$argon2id$5ecret"))
    documents.write_text("[]")
    done, found = examine(**mine)
    assert done.returncode == 1
    assert {(it["severity"], it["remedy"]) for it in found["secret files"]} == {
        ("warning", f"chmod 600 {secret}"),
        ("error", f"chmod 600 {accounts}"),
    }
    assert only(found, "accounts")[0] == only(found, "trusted documents")[0] == "error"
    secret.unlink()
    accounts.unlink()
    done, found = examine(**mine)
    assert (done.returncode, only(found, "accounts")[0]) == (1, "error")
    assert any("RELEASE_CATALOG_JWT_SECRET_FILE" in it["message"] for it in found["settings"])


def test_other_machines_are_kept_out(stocked_settings: dict[str, Any]) -> None:
    done, found = examine(**stocked_settings, host="0.0.0.0")
    assert (done.returncode, only(found, "authentication")[0]) == (1, "error")


def test_the_port_is_looked_at(stocked_settings: dict[str, Any], tmp_path: Path) -> None:
    with serving(tmp_path, **stocked_settings) as server:
        port = server.url.rpartition(":")[2]
        _, found = examine(**stocked_settings | {"port": port})
        assert only(found, "port")[:2] == ("ok", f"A server runs at 127.0.0.1, port {port}, and is ready.")
        assert server.stop() == 0
    with socket.create_server(("127.0.0.1", 0)) as other:
        done, found = examine(**stocked_settings | {"port": other.getsockname()[1]})
    assert (done.returncode, only(found, "port")[0]) == (1, "error")
    assert "Address already in use" in only(found, "port")[1]


class Issuer(http.server.BaseHTTPRequestHandler):
    body = b""

    def do_GET(self) -> None:
        self.send_response(200 if self.body else 503)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def issuer() -> Iterator[http.server.ThreadingHTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Issuer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_published_keys_are_fetched(
    issuer: http.server.ThreadingHTTPServer, stocked_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = {**stocked_settings, **JWT, "jwt_jwks_url": f"http://127.0.0.1:{issuer.server_port}/keys"}
    key = rsa.generate_private_key(65537, 2048).public_key()
    public = {**jwt.algorithms.RSAAlgorithm.to_jwk(key, as_dict=True), "kid": "one", "use": "sig"}
    for body, severity, text in (
        (json.dumps({"keys": [public]}), "ok", "1 signing keys can be used: RS256."),
        (json.dumps({"keys": [{**public, "use": "enc"}]}), "error", "can be used for RS256, ES256, EdDSA."),
        (json.dumps([]), "error", "not a set of keys"),
        ("<html>", "error", "not a set of keys"),
        ("", "error", "status 503"),
    ):
        monkeypatch.setattr(Issuer, "body", body.encode())
        done, found = examine(**mine)
        assert (only(found, "JWT keys")[0], text in only(found, "JWT keys")[1]) == (severity, True), found[
            "JWT keys"
        ]
        assert done.returncode == (severity == "error")
    _, found = examine(**mine | {"jwt_jwks_url": "http://127.0.0.1:1/keys"})
    assert "Connection refused" in only(found, "JWT keys")[1]


def test_a_certificate_that_is_not_trusted_is_named(
    issuer: http.server.ThreadingHTTPServer, stocked_settings: dict[str, Any], tmp_path: Path
) -> None:
    names = ["-subj", "/CN=localhost", "-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "certificate")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *names], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    issuer.socket = context.wrap_socket(issuer.socket, server_side=True)
    url = f"https://localhost:{issuer.server_port}/keys"
    _, found = examine(**stocked_settings, **JWT, jwt_jwks_url=url)
    assert only(found, "JWT keys")[:2] == (
        "error",
        "The certificate of localhost is not trusted: self-signed certificate.",
    )


def test_the_query_of_an_address_of_keys_is_not_shown(stocked_settings: dict[str, Any]) -> None:
    done, found = examine(**stocked_settings, **JWT, jwt_jwks_url="http://127.0.0.1:1/keys?key=5ecret")
    assert (done.returncode, only(found, "JWT keys")[0]) == (1, "error")


def test_a_secret_that_can_be_guessed_is_found(stocked_settings: dict[str, Any]) -> None:
    _, found = examine(**stocked_settings, **JWT, jwt_secret="ab" * 20)
    assert only(found, "JWT secret")[0] == "warning"
    _, found = examine(**stocked_settings, **JWT, jwt_secret=SECRET)
    assert only(found, "JWT secret")[0] == "ok"


@pytest.mark.parametrize(("ahead", "severity"), [(0.0, "ok"), (1.9, "ok"), (-3.0, "warning"), (100.0, "error")])
async def test_a_wrong_clock_is_found(ahead: float, severity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def offset(_: Any) -> tuple[float, float]:
        return ahead, 0.01

    monkeypatch.setattr(probes, "clock_offset", offset)
    database: Any = None
    [finding] = [it async for it in database_checks.clock(Settings(), database)]
    assert finding.severity == severity


async def test_a_replica_set_that_lags_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def state(_: Any) -> probes.Replication:
        return probes.Replication({"b:1": 60.0, "c:1": 0.0}, ["d:1"])

    async def hours(_: Any) -> float:
        return 2.0

    monkeypatch.setattr(probes, "replication", state)
    monkeypatch.setattr(probes, "oplog_hours", hours)
    database: Any = None
    told = [it.message async for it in database_checks.replication(Settings(), database)]
    assert told == [
        "Members are not healthy: d:1.",
        "Members are behind: b:1 by 60 s.",
        "The oplog covers 2.0 hours: a member that is away for longer must copy everything.",
    ]


@pytest.mark.parametrize(("free", "severity"), [(1, "error"), (10**9, "warning"), (10**11, "ok")])
def test_little_space_is_found(free: int, severity: str) -> None:
    assert machine_checks.space(free, "x").severity == severity


def test_few_descriptors_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (256, 1_024))
    [finding] = machine_checks.descriptors(Settings())
    assert finding == Finding(
        "warning",
        "A process may open 1024 files, but the settings allow 1000 connections and 10000 subscribers, which take 11400.",
        "Raise the limit (ulimit -H -n 11400, or LimitNOFILE=11400 for systemd), or lower "
        "RELEASE_CATALOG_MAX_CONNECTIONS and RELEASE_CATALOG_SUBSCRIBERS.",
    )
