"""Commands name the database that they use, and begin no catalog that nobody asked for."""

import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from pymongo import MongoClient

from release_catalog.embedded_mongodb import supervisor
from support.catalog import source
from support.graphql_client import ask
from support.processes import Done, mongods, run, serving

READING = [
    ("verify",), ("export",), ("export", "out.ndjson"), ("ledger", "verify"), ("migrate",), ("migrate", "--check"),
    ("token", "list"), ("token", "revoke", "nightly"),
]  # fmt: skip
TOKEN = ("token", "first", "--scope", "admin")
IMPORT = ("import", "--verification", "skip", "-")
# They write, and create a catalog only if they are told to.
WRITING = [TOKEN, ("token", "create", "first", "--scope", "admin"), IMPORT]
LOAD = ("load", "-")
Command = Callable[..., Done]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Command]:
    """Runs a command of a user who has set nothing, in the folder `tmp_path / "work"`."""
    (tmp_path / "work").mkdir()
    # Nobody serves at the usual port, whatever else runs on this machine.
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    def command(*arguments: str, **settings: Any) -> Done:
        with pytest.MonkeyPatch.context() as patched:
            for name in ("HOME", "XDG_DATA_HOME"):
                patched.setenv(name, str(tmp_path / "home"))
            return run(*arguments, folder=tmp_path / "work", **{"port": port, **settings})

    yield command
    assert mongods(tmp_path) == []


def stocked(data_dir: Path) -> None:
    assert run("load", "-", source=orjson.dumps(source("tool")), data_dir=data_dir).returncode == 0


@pytest.mark.parametrize("command", [*READING, *WRITING])
def test_commands_create_no_catalog_that_nobody_asked_for(
    tmp_path: Path, mongodb_url: str, home: Command, command: tuple[str, ...]
) -> None:
    given = {"source": orjson.dumps(source("tool"))}
    usual, nowhere, tried = tmp_path / "home" / "release-catalog", tmp_path / "nowhere", tmp_path / "tried"
    # What a start that failed leaves behind is no catalog either.
    (tried / "db").mkdir(parents=True)
    for settings, folder in (({}, usual), ({"data_dir": nowhere}, nowhere), ({"data_dir": tried}, tried)):
        done = home(*command, **given, **settings)
        assert (done.returncode, done.stdout, done.database) == (1, "", None)
        place = f"The database release_catalog in the data folder {folder} has no catalog: set "
        assert done.stderr.startswith(f"{place}RELEASE_CATALOG_DATA_DIR")
        assert done.stderr.endswith("For a new catalog, give --new-catalog.\n") == (command in WRITING)
    assert not usual.exists()
    assert not nowhere.exists()
    assert [path.name for path in tried.rglob("*")] == ["db"]
    done = home(*command, **given, mongodb_url=mongodb_url, database="absent")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("The database absent of MongoDB at 127.0.0.1:")
    with MongoClient[Any](mongodb_url) as client:
        assert "absent" not in client.list_database_names()
    assert list((tmp_path / "work").iterdir()) == []


def test_a_data_folder_without_that_database_is_refused(tmp_path: Path, home: Command) -> None:
    stocked(tmp_path / "data")
    done = home("export", data_dir=tmp_path / "data", database="other")
    assert (done.returncode, done.stdout) == (1, "")
    place = f"The database other in the data folder {tmp_path / 'data'} has no catalog: set "
    assert done.stderr.startswith(place)
    with supervisor.start(tmp_path / "data") as mongodb, MongoClient[Any](mongodb.url) as client:
        assert "other" not in client.list_database_names()


def test_each_command_names_its_database_without_credentials(
    tmp_path: Path, mongodb_url: str, home: Command
) -> None:
    settings: dict[str, Any] = {"mongodb_url": mongodb_url, "database": f"test_{uuid.uuid4().hex}"}
    credentials, _, hosts = mongodb_url.removeprefix("mongodb://").partition("/")[0].rpartition("@")
    (tmp_path / "work" / "one.json").write_bytes(orjson.dumps(source("tool")))
    (tmp_path / "work" / "two.json").write_bytes(orjson.dumps(source("other")))
    importing = ("import", "--verification", "skip", "two.json")
    revoking = ("token", "revoke", "first")
    for command in (("load", "one.json"), TOKEN, importing, *READING[:-1], revoking):
        done = home(*command, **settings)
        assert done.returncode == 0
        assert done.database == f"{settings['database']} of MongoDB at {hosts}"
        assert done.is_new == (command[0] == "load")
        assert not credentials or credentials not in done.stdout + done.stderr + done.database
    with serving(tmp_path / "server", **settings) as server:
        [entry] = server.entries("serving this machine without authentication")
        assert entry["database"] == f"{settings['database']} of MongoDB at {hosts}"
        assert not credentials or credentials not in server.log.read_text()


def test_a_database_name_sends_no_control_sequences_to_the_terminal(tmp_path: Path, home: Command) -> None:
    stocked(tmp_path / "data\x1b[2J")
    done = home("export", data_dir=tmp_path / "data\x1b[2J")
    assert done.database == f"release_catalog in the data folder {tmp_path}/data\\x1b[2J"


@pytest.mark.parametrize("command", [*WRITING, LOAD])
def test_a_new_catalog_is_told(tmp_path: Path, mongodb_url: str, home: Command, command: tuple[str, ...]) -> None:
    usual = tmp_path / "home" / "release-catalog"
    for settings in ({}, {"mongodb_url": mongodb_url, "database": f"test_{uuid.uuid4().hex}"}):
        made = home(*command, "--new-catalog", source=orjson.dumps(source("tool")), **settings)
        assert (made.returncode, made.is_new) == (0, True)
        again = home(*command, source=orjson.dumps(source("other")), **settings)
        assert (again.returncode, again.is_new, again.database) == (0, False, made.database)
    assert usual.exists()


def test_a_load_creates_a_catalog_where_the_settings_place_it(
    tmp_path: Path, mongodb_url: str, home: Command
) -> None:
    refused = home(*LOAD, source=orjson.dumps(source("tool")))
    assert (refused.returncode, refused.stdout, refused.database) == (1, "", None)
    assert refused.stderr.endswith("For a new catalog, give --new-catalog.\n")
    assert not (tmp_path / "home").exists()
    database = f"test_{uuid.uuid4().hex}"
    for settings in ({"data_dir": tmp_path / "own"}, {"mongodb_url": mongodb_url, "database": database}):
        made = home(*LOAD, source=orjson.dumps(source("tool")), **settings)
        assert (made.returncode, made.is_new) == (0, True)


def test_a_token_before_the_first_serve_opens_what_is_served_then(tmp_path: Path, home: Command) -> None:
    usual = tmp_path / "home" / "release-catalog"
    done = home(*TOKEN, "--new-catalog")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.database == f"release_catalog in the data folder {usual}"
    with serving(tmp_path / "server", data_dir=usual, authentication="required") as server:
        [entry] = server.entries("serving with authentication")
        assert entry["database"] == done.database
        headers = {"authorization": f"Bearer {done.stdout.strip()}"}
        assert ask(server.url, "{ viewer { scopes } }", headers=headers) == {"viewer": {"scopes": ["admin"]}}
        # Something serves, and it is this very data.
        assert home(*TOKEN, port=server.url.rpartition(":")[2]).returncode == 0
        assert server.stop() == 0


@pytest.mark.parametrize("command", [*READING, *WRITING, LOAD])
def test_a_refusal_names_another_catalog(tmp_path: Path, home: Command, command: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as served:
        port = served.getsockname()[1]
        done = home(*command, port=port)
        assert (done.returncode, done.stdout) == (1, "")
        assert f", but a server with other data runs at 127.0.0.1:{port}: set " in done.stderr
        (tmp_path / "work" / ".data" / "db").mkdir(parents=True)
        (tmp_path / "work" / ".data" / "db" / "WiredTiger").touch()
        done = home(*command, port=port)
        assert (done.returncode, done.stdout) == (1, "")
        assert f", but there is one in {tmp_path / 'work' / '.data'}: set " in done.stderr
        # Settings that name a place are no mistake.
        done = home(*READING[0], port=port, data_dir=tmp_path / "nowhere")
        assert ", but " not in done.stderr
    assert not (tmp_path / "home").exists()
