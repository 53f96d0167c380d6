"""Backup, restore and comparison as operators run them, beside servers, and interrupted."""

import contextlib
import json
import stat
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pymongo import MongoClient

from release_catalog.storage.collection_names import META, RELEASES
from support import graphql_client
from support.processes import SCRIPT, Process, Server, environment, eventually, run, serving

LATEST = "{ releases(first: 5) { totalCount nodes { id name version etag } } }"


@pytest.fixture(scope="module")
def source_name(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a database with the sample, and with an own release."""
    name = f"backup_{uuid.uuid4().hex}"
    with serving(tmp_path_factory.mktemp("source"), "--sample", mongodb_url=mongodb_url, database=name) as server:
        made = 'mutation { saveProduct(input: {key: "own", name: "own"}) { product { id } } }'
        id_ = server.ask(made)["saveProduct"]["product"]["id"]
        server.ask(
            f'mutation {{ createRelease(input: {{productId: "{id_}", name: "own", version: "1.0"}}) {{ release {{ id }} }} }}'
        )
    yield name
    with MongoClient[Any](mongodb_url) as client:
        client.drop_database(name)


@pytest.fixture(scope="module")
def saved(mongodb_url: str, source_name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("saved") / "catalog.backup"
    done = run("backup", file, mongodb_url=mongodb_url, database=source_name)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Tenant local as of 20")
    return file


@pytest.fixture
def target(mongodb_url: str) -> Iterator[dict[str, Any]]:
    """The settings of a database that does not exist yet."""
    name = f"restored_{uuid.uuid4().hex}"
    yield {"mongodb_url": mongodb_url, "database": name}
    with MongoClient[Any](mongodb_url) as client:
        client.drop_database(name)


@contextlib.contextmanager
def opened(target: dict[str, Any]) -> Iterator[Any]:
    with MongoClient[Any](target["mongodb_url"]) as client:
        yield client[target["database"]]


def test_a_backup_is_restored_beside_its_server(
    mongodb_url: str, source_name: str, saved: Path, target: dict[str, Any], tmp_path: Path
) -> None:
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert list(saved.parent.iterdir()) == [saved]
    checked = run("restore", "--check", saved, mongodb_url="mongodb://nowhere.invalid")
    assert (checked.returncode, checked.database) == (0, None)
    done = run("restore", saved, **target)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Restored tenant local: ")
    assert lines[-1] == "Access tokens were not restored: create new ones with release-catalog token."
    compared = run("compare", saved, **target)
    assert (compared.returncode, compared.stdout[:7]) == (0, "Equal: "), compared.stdout
    assert run("compare", saved, mongodb_url=mongodb_url, database=source_name).returncode == 0
    with (
        serving(tmp_path / "one", mongodb_url=mongodb_url, database=source_name) as one,
        serving(tmp_path / "other", **target) as other,
    ):
        assert one.ask(LATEST) == other.ask(LATEST)
        release = other.ask('{ releases(filter: {nameContains: "own"}) { nodes { id } } }')["releases"]["nodes"][
            0
        ]["id"]
        problem = other.ask(
            f'mutation {{ publishRelease(input: {{id: "{release}"}}) {{ problem {{ detail }} }} }}'
        )
        assert problem["publishRelease"]["problem"] is None
    compared = run("compare", saved, **target)
    assert compared.returncode == 1
    assert (
        f"releases: 1 differ, 0 only in the backup, 0 only in the database\n  local/{release} differs in "
        in compared.stdout
    )
    assert compared.stdout.splitlines()[-1].startswith("Different; ")
    again = run("restore", saved, **target)
    assert again.returncode == 1
    assert again.stderr.startswith(f"The tenant local of the database {target['database']} is not empty (")


def test_commands_tell_programs_what_they_did(
    saved: Path, target: dict[str, Any], mongodb_url: str, source_name: str, tmp_path: Path
) -> None:
    done = run("backup", tmp_path / "x", "--json", mongodb_url=mongodb_url, database=source_name)
    made = json.loads(done.stdout)
    assert (made["tenant"], made["lastEvent"], made["secrets"]) == ("local", 1, False)
    assert made["documents"] == sum(made["collections"].values()) > 2_000
    assert made["sha256"].keys() == made["collections"].keys()
    checked = json.loads(run("restore", "--check", tmp_path / "x", "--json").stdout)
    assert checked == {name: value for name, value in made.items() if name != "sha256"}
    restored = json.loads(run("restore", tmp_path / "x", "--tenant", "new", "--json", **target).stdout)
    assert (restored["tenant"], restored["collections"]["releases"]) == ("new", made["collections"]["releases"])
    done = run("compare", tmp_path / "x", "--tenant", "new", "--json", **target)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert {line["collection"]: line["equal"] for line in lines} == {
        name: count for name, count in made["collections"].items() if name != "meta"
    }


def test_a_backup_and_a_comparison_create_no_catalog(saved: Path, target: dict[str, Any], tmp_path: Path) -> None:
    for arguments in (["backup", tmp_path / "x"], ["compare", saved], ["restore", "--discard"]):
        done = run(*arguments, **target)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"The database {target['database']} of MongoDB at ")
    with opened(target) as database:
        assert database.list_collection_names() == []
    assert list(tmp_path.iterdir()) == []


def test_a_backup_goes_through_pipes(
    mongodb_url: str, source_name: str, target: dict[str, Any], tmp_path: Path
) -> None:
    with (tmp_path / "piped").open("wb") as output:
        env = environment(mongodb_url=mongodb_url, database=source_name)
        done = subprocess.run(
            [SCRIPT, "backup", "-", "--all-tenants"],
            env=env,
            stdout=output,
            stderr=subprocess.PIPE,
            check=False,
            text=True,
        )
    assert done.returncode == 0
    assert "All tenants as of " in done.stderr
    file = (tmp_path / "piped").read_bytes()
    assert run("restore", "-", source=file, **target).returncode == 0
    assert run("compare", "-", source=file, **target).returncode == 0
    cut = run("compare", "-", source=file[:-9], **target)
    assert (cut.returncode, "The backup is damaged at record " in cut.stderr) == (1, True)


def test_a_damaged_file_stores_nothing(saved: Path, target: dict[str, Any], tmp_path: Path) -> None:
    file = bytearray(saved.read_bytes())
    file[-2_000] ^= 1
    (tmp_path / "damaged").write_bytes(file)
    for arguments in (["restore"], ["restore", "--check"]):
        done = run(*arguments, tmp_path / "damaged", **target)
        assert done.returncode == 1
        assert "The backup is damaged at record " in done.stderr
    with opened(target) as database:
        assert database.list_collection_names() == []
    done = run("restore", tmp_path / "missing", **target)
    assert (done.returncode, done.stderr) == (
        1,
        f"{tmp_path / 'missing'} can't be opened: No such file or directory.\n",
    )


def test_an_interrupted_backup_leaves_no_file(mongodb_url: str, source_name: str, tmp_path: Path) -> None:
    file = tmp_path / "catalog.backup"
    file.write_text("yesterday's")
    process = Process(["backup", file], environment(mongodb_url=mongodb_url, database=source_name))
    assert eventually(lambda: len(list(tmp_path.iterdir())) == 2 or process.poll() is not None)
    process.terminate()
    if process.wait(60) != 0:
        assert file.read_text() == "yesterday's"
    assert list(tmp_path.iterdir()) == [file]
    done = run("backup", tmp_path / "absent" / "x", mongodb_url=mongodb_url, database=source_name)
    assert (done.returncode, "can't be opened" in done.stderr) == (1, True)


def killed(file: Path, target: dict[str, Any], tmp_path: Path) -> None:
    """Kill a restore after it has begun."""
    process = Process(["restore", file], environment(**target), errors=str(tmp_path / "errors"))
    with opened(target) as database:
        assert eventually(lambda: database[META].find_one({"_id": "restore"}) or process.poll() is not None)
    process.kill()
    process.wait(60)
    with opened(target) as database:
        # As if it had been killed later.
        database[RELEASES].insert_one({"_id": "local/half", "tenantId": "local", "version": "1", "form": 4})


def again(file: Path, target: dict[str, Any]) -> None:
    """Repeat a restore as soon as the lease of the killed one is over."""
    with opened(target) as database:
        database["migrations"].update_one(
            {"_id": "lease"}, {"$set": {"owner": None}, "$currentDate": {"leaseUntil": True}}
        )
    done = run("restore", file, "--again", **target)
    assert done.returncode == 0, done.stderr
    assert run("compare", file, **target).returncode == 0


def test_servers_refuse_a_tenant_until_it_is_whole(saved: Path, target: dict[str, Any], tmp_path: Path) -> None:
    with serving(tmp_path / "server", **target) as server:
        assert server.ask(LATEST)["releases"]["totalCount"] == 0
        killed(saved, target, tmp_path)
        assert eventually(lambda: _status(server, "/v1") == 503)
        with httpx2.Client(timeout=60) as http:
            answer = graphql_client.post(http, LATEST, url=server.url)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert "restored from a backup, and is not whole yet" in answer.text
        # The process itself is sound, and other tenants may use it.
        assert _status(server, "/readyz") == 200
        done = run("restore", saved, **target)
        assert (done.returncode, "is unfinished" in done.stderr or "Another process" in done.stderr) == (1, True)
        again(saved, target)
        assert eventually(lambda: _status(server, "/v1") == 200)
        assert server.ask(LATEST)["releases"]["totalCount"] > 2_000
        assert run("restore", "--discard", **target).stdout == "Nothing to remove: no restore is unfinished.\n"
        assert run("restore", "--discard", "--json", **target).stdout == '{"removed":false,"tenant":null}\n'


def test_servers_and_commands_refuse_a_database_until_it_is_whole(
    mongodb_url: str, source_name: str, target: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "all"
    assert run("backup", file, "--all-tenants", mongodb_url=mongodb_url, database=source_name).returncode == 0
    killed(file, target, tmp_path)
    for arguments in (["serve", "--port", "0"], ["export"], ["backup", tmp_path / "other"], ["compare", file]):
        done = run(*arguments, **target, database_wait_seconds=0)
        assert done.returncode == 1
        assert done.stderr.startswith("A restore of this database is unfinished: wait for its end, or repeat it")
    with opened(target) as database:
        database["migrations"].delete_many({})
    assert run("restore", "--discard", **target).stdout == "Removed.\n"
    with opened(target) as database:
        assert database[RELEASES].count_documents({}) == 0
    assert run("restore", file, **target).returncode == 0


def test_removing_what_is_left_is_told_as_json(saved: Path, target: dict[str, Any], tmp_path: Path) -> None:
    killed(saved, target, tmp_path)
    with opened(target) as database:
        database["migrations"].delete_many({})
    assert run("restore", "--discard", "--json", **target).stdout == '{"removed":true,"tenant":"local"}\n'


def _status(server: Server, path: str) -> int:
    return httpx2.get(f"{server.url}{path}").status_code


@pytest.mark.parametrize(
    "arguments",
    [["restore"], ["restore", "x", "--discard"], ["backup", "x", "--tenant", "a", "--all-tenants"], ["backup"], ["compare"], ["backup", "x", "--tenant", ""], ["restore", "x", "--tenant", ""], ["compare", "x", "--tenant", ""]],
    ids=" ".join,
)  # fmt: skip
def test_contradicting_arguments_are_refused(arguments: list[str], tmp_path: Path) -> None:
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 2
    assert list(tmp_path.iterdir()) == []
