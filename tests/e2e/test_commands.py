"""What all commands have in common, and the commands about credentials."""

import os
import re
import shutil
import stat
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pymongo
import pytest
import typer.main
from typer.testing import CliRunner

from release_catalog.auth import access_tokens
from release_catalog.cli.main import cli
from support import graphql_client
from support.catalog import source
from support.graphql_client import post
from support.pages import ROOT
from support.processes import SCRIPT, environment, run, serving

# Commands that print a log instead of an answer, and those without a database.
WITHOUT_ANSWER = {"serve"}
WITHOUT_DATABASE = {"serve", "schema", "account line", "account create", "account list", "account remove"}
# Commands with a page of their own.
OWN_PAGE = {"backup", "restore", "compare"}
# Arguments with which each command does its work on a catalog that has one release, one token and one account.
ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "load": ("one.json",),
    "import": ("two.json", "--verification", "skip"),
    "export": ("out.ndjson",),
    "token create": ("other", "--scope", "admin"),
    "token revoke": ("first",),
    "account line": ("cd", "--scope", "admin"),
    "account create": ("cd", "--scope", "admin"),
    "account remove": ("ci",),
    "migrate": ("--check",),
    "backup": ("other.backup",),
    "restore": ("shop.backup", "--tenant", "other"),
    "compare": ("shop.backup", "--tenant", "kept"),
}
PASSWORD = b"5ecret password of ci\n"


def commands(group: Any, *above: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *above, name)
        else:
            yield " ".join((*above, name)), command


COMMANDS = dict(commands(typer.main.get_command(cli)))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, mongodb_url: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A folder and the settings of a catalog for `ARGUMENTS`."""
    folder = tmp_path_factory.mktemp("shop")
    settings: dict[str, Any] = {"mongodb_url": mongodb_url, "database": f"test_{uuid.uuid4().hex}"}
    settings["accounts"] = folder / "accounts"
    for name in ("one", "two"):
        (folder / f"{name}.json").write_bytes(orjson.dumps(source(name)))
    assert run("load", folder / "one.json", **settings).returncode == 0
    assert run("token", "first", "--scope", "admin", **settings).returncode == 0
    assert run("account", "create", "ci", "--scope", "admin", source=PASSWORD, **settings).returncode == 0
    assert run("backup", folder / "shop.backup", **settings).returncode == 0
    assert run("restore", folder / "shop.backup", "--tenant", "kept", **settings).returncode == 0
    yield folder, settings
    with pymongo.MongoClient[dict[str, Any]](mongodb_url) as client:
        client.drop_database(settings["database"])


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_json_and_names_its_database(name: str, shop: tuple[Path, dict[str, Any]]) -> None:
    """A command that reads a backup or another file needs its arguments in `ARGUMENTS`."""
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    if name in WITHOUT_ANSWER:
        return
    assert "--json" in options, f"{name} needs --json"
    folder, settings = shop
    done = run(*name.split(), *ARGUMENTS.get(name, ()), "--json", source=PASSWORD, folder=folder, **settings)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert (done.database is None) == (name in WITHOUT_DATABASE)
    printed = [orjson.loads(line) for line in done.stdout.splitlines()]
    assert printed or name in {"migrate", "verify"}, "JSON is on standard output"
    assert all(isinstance(document, dict) for document in printed)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_that_ends_in_success(name: str) -> None:
    done = CliRunner().invoke(cli, [*name.split(), "--help"], terminal_width=300)
    assert done.exit_code == 0
    [first, *_] = COMMANDS[name].help.split(";")
    told = re.sub(r"[^a-z]", "", done.output.lower())
    assert re.sub(r"[^a-z]", "", first.split(".")[0].lower()) in told


def test_each_command_is_on_its_page() -> None:
    text = (ROOT / "docs" / "command-line.md").read_text()
    assert [name for name in COMMANDS if f"`{name}`" not in text and name not in OWN_PAGE] == []


def test_the_version_comes_without_the_server() -> None:
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"release-catalog \d+\.\d+\.\d+\S*, Python 3\.\d+\.\d+\S*\n", done.stdout)
    command = "import sys, release_catalog.cli.main; print('\\n'.join(sys.modules))"
    python = Path(SCRIPT).with_name("python")
    loaded = subprocess.run([python, "-c", command], capture_output=True, text=True, check=True).stdout.split()
    slow = {
        "uvicorn",
        "starlette.applications",
        "strawberry",
        "argon2",
        "cryptography",
        "release_catalog.server.app",
    }
    assert not slow & set(loaded)


@pytest.mark.parametrize(
    "arguments", [("nothing",), ("token", "x"), ("account", "list"), ("serve", "--port", "x"), ("status", "x")]
)
def test_an_error_of_usage_has_exit_code_2(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr


def completed(shell_line: str, home: Path) -> list[str]:
    """What bash completes at the end of a line, by the script that the command prints."""
    words = shell_line.split(" ")
    program = f"""
        eval "$(release-catalog --show-completion; true)"
        COMP_WORDS=({" ".join(f'"{word}"' for word in words)}); COMP_CWORD={len(words) - 1}
        $(complete -p release-catalog | sed 's/.*-F \\([^ ]*\\).*/\\1/') release-catalog
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    path = f"{Path(SCRIPT).parent}:{os.environ['PATH']}"
    env = environment() | {"PATH": path, "HOME": str(home)}
    done = subprocess.run(["bash", "-c", program], env=env, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    assert completed("release-catalog st", tmp_path) == ["status"]
    assert set(completed("release-catalog token ", tmp_path)) == {"create", "list", "revoke"}
    assert set(completed("release-catalog token revoke --", tmp_path)) >= {"--tenant", "--json"}
    assert "--scope" in completed("release-catalog token nightly --s", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: str, tmp_path: Path) -> None:
    env = environment() | {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    for option in ("--show-completion", "--install-completion"):
        done = subprocess.run([SCRIPT, option, shell], env=env, capture_output=True, text=True, check=True)
        assert (
            "release-catalog" in done.stdout
            if option.startswith("--show")
            else f"{shell} completion" in done.stdout
        )
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert any("_RELEASE_CATALOG_COMPLETE" in text for text in written)


def test_tokens_are_listed_and_revoked(mongodb_url: str, tmp_path: Path) -> None:
    mine: dict[str, Any] = {"mongodb_url": mongodb_url, "database": f"test_{uuid.uuid4().hex}"}
    made = run("token", "create", "nightly", "--new-catalog", "--scope", "admin", "--json", **mine)
    created = orjson.loads(made.stdout)
    twins = [run("token", "twin", "--scope", "release:read", "--days", 1, **mine).stdout.strip() for _ in range(2)]
    listed = orjson.loads(run("token", "list", "--json", **mine).stdout)["accessTokens"]
    assert [it["name"] for it in listed] == ["twin", "twin", "nightly"]
    assert {it["state"] for it in listed} == {"ACTIVE"}
    assert {name: created[name] for name in listed[2]} == listed[2]
    table = run("token", "list", **mine)
    secrets = [created["token"], *twins]
    assert not [token for token in secrets if token in table.stdout or token in orjson.dumps(listed).decode()]
    rows = [line.split() for line in table.stdout.splitlines()]
    assert (rows[0][:3], rows[3][1:3]) == (["ID", "NAME", "STATE"], ["nightly", "ACTIVE"])
    unknown = run("token", "revoke", "nobody", **mine)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "has no access token 'nobody'" in unknown.stderr
    several = run("token", "revoke", "twin", **mine)
    assert (several.returncode, several.stdout) == (1, "")
    assert all(it["id"] in several.stderr for it in listed[:2])
    assert run("token", "revoke", listed[0]["id"], **mine).returncode == 0
    assert run("token", "revoke", "twin", **mine).returncode == 0, "one is left"
    # Another tenant's token does not exist.
    assert run("token", "revoke", created["id"], "--tenant", "other", **mine).returncode == 1
    with (
        serving(tmp_path, **mine, authentication="required") as server,
        httpx2.Client(base_url=server.url) as http,
    ):
        headers = {"authorization": f"Bearer {created['token']}"}
        assert post(http, "{ viewer { subject } }", headers=headers).status_code == 200
        done = run("token", "revoke", "nightly", **mine)
        ended = time.monotonic()
        assert re.fullmatch(rf"Revoked nightly \({created['id']}\) at \S+Z\.\n", done.stdout)
        while post(http, "{ viewer { subject } }", headers=headers).status_code != 401:
            assert time.monotonic() < ended + 60
            time.sleep(0.05)
        assert access_tokens.KNOWN_SECONDS <= 5
        again = run("token", "revoke", created["id"], **mine)
        assert (again.returncode, again.stdout) == (0, done.stdout), "the time of the first one stays"
    with pymongo.MongoClient[dict[str, Any]](mongodb_url) as client:
        client.drop_database(mine["database"])


def test_accounts_are_stored_listed_and_removed(tmp_path: Path) -> None:
    file = tmp_path / "accounts"
    create = ("account", "create", "ci", "--scope", "release:read", "--tenant", "a b")
    made = run(*create, accounts=file, source=PASSWORD)
    assert (made.returncode, made.stdout, made.stderr) == (0, f"Stored the account ci: {file}.\n", "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text(f"# of the build machines\n\n{file.read_text()}")
    file.chmod(0o640)
    (tmp_path / "link").symlink_to(file)
    assert (
        run("account", "create", "cd", "--scope", "admin", "--file", tmp_path / "link", source=PASSWORD).returncode
        == 0
    )
    assert (tmp_path / "link").is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    before = file.read_text()
    assert before.startswith("# of the build machines\n\nci a%20b release:read $argon2id$")
    refused = run(*create, accounts=file, source=PASSWORD)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "give --replace" in refused.stderr
    assert file.read_text() == before
    assert run(*create, "--replace", accounts=file, source=b"another password\n").returncode == 0
    after = file.read_text()
    assert after != before
    assert after.count("\nci ") == 1
    listed = run("account", "list", accounts=file)
    assert listed.stdout == "NAME  TENANT  SCOPES\ncd    local   admin\nci    a b     release:read\n"
    assert "$argon2" not in run("account", "list", "--json", accounts=file).stdout
    assert run("account", "remove", "ci", accounts=file).stdout == f"Removed the account ci: {file}.\n"
    assert file.read_text() == before.replace(before.splitlines()[2] + "\n", "")
    missing = run("account", "remove", "ci", accounts=file)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "account list" in missing.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["accounts", "link"], "nothing is left behind"
    file.write_text("broken\n")
    broken = run(*create, accounts=file, source=PASSWORD)
    assert (broken.returncode, file.read_text()) == (1, "broken\n")
    none = run("account", "list", "--file", tmp_path / "none")
    assert (none.returncode, none.stdout) == (1, "")
    assert "No such file" in none.stderr


def test_a_changed_file_counts_at_once(tmp_path: Path, mongodb_url: str) -> None:
    file = tmp_path / "accounts"
    assert run("account", "create", "ci", "--scope", "admin", accounts=file, source=PASSWORD).returncode == 0
    mine: dict[str, Any] = {"mongodb_url": mongodb_url, "database": f"test_{uuid.uuid4().hex}", "accounts": file}
    with serving(tmp_path, **mine) as server, httpx2.Client(base_url=server.url) as http:

        def status(name: str) -> int:
            http.auth = (name, PASSWORD.decode().strip())
            return graphql_client.post(http, "{ viewer { subject } }").status_code

        assert status("ci") == 200
        assert run("account", "create", "cd", "--scope", "admin", accounts=file, source=PASSWORD).returncode == 0
        assert run("account", "remove", "ci", accounts=file).returncode == 0
        assert status("ci") == 401
        assert status("cd") == 200
        assert server.stop() == 0
