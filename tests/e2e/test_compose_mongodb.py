"""The MongoDB of docker-compose.yml, without Docker: its commands and its script, and what its users may do."""

import contextlib
import functools
import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pymongo
import pytest
import yaml
from pymongo import errors

from e2e.conftest import node_with_packages
from release_catalog.embedded_mongodb import binary
from support.processes import eventually, run, serving

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
MONGOSH = Path(__file__).parent / "mongosh"
PRODUCT = 'mutation { saveProduct(input: {key: "%s", name: "Agent"}) { product { key } } }'
UNAUTHORIZED, UNAUTHENTICATED = 13, 18


class Deployment:
    """Nodes with the commands of compose services, and the secrets that they share."""

    def __init__(self, folder: Path, services: list[str], initiator: str, url_name: str) -> None:
        self.secrets = folder / "secrets"
        subprocess.run(["sh", ROOT / "deploy/compose/secrets.sh", self.secrets], check=True)
        # mongod refuses a key that others can read: the entry point of the container copies it.
        self.key = folder / "key"
        self.key.write_bytes((self.secrets / "mongodb_key").read_bytes())
        self.key.chmod(0o400)
        self.ports = {name: free_port() for name in services}
        self.hosts = [f"127.0.0.1:{port}" for port in self.ports.values()]
        self.initiator = SERVICES[initiator]
        self.url_name = url_name
        self.folder = folder

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for name in self.ports:
                log = stack.enter_context((self.folder / f"{name}.log").open("wb"))
                process = subprocess.Popen(self.command(name), stdout=log, stderr=log)
                stack.callback(process.wait, 60)
                stack.callback(process.terminate)
            for name, port in self.ports.items():
                assert eventually(functools.partial(answers, port)), (self.folder / f"{name}.log").read_text()
            yield

    def command(self, name: str) -> list[str]:
        _, *options = SERVICES[name]["command"]
        options[options.index("--keyFile") + 1] = str(self.key)
        options.remove("--bind_ip_all")
        data = self.folder / name
        data.mkdir()
        place = [
            "--dbpath",
            str(data),
            "--port",
            str(self.ports[name]),
            "--bind_ip",
            "127.0.0.1",
            "--nounixsocket",
        ]
        return [str(binary.program()), *options, *place]

    def initiate(self, node: str) -> None:
        """Run the command of the service that makes the users."""
        program, *options = self.initiator["command"]
        script = MONGOSH / "node_modules/@mongosh/cli-repl/bin/mongosh.js"
        options[options.index("/users.js")] = str(ROOT / "deploy/compose/users.js")
        assert program == "mongosh"
        env = {"MEMBERS": ",".join(self.hosts), "SECRETS": str(self.secrets), "HOME": str(self.folder)}
        done = subprocess.run(
            [node, script, *options], env=os.environ | env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.rstrip().endswith("The replica set has a primary and its users.")

    @property
    def url(self) -> str:
        """The URL for the API, with the hosts of this run."""
        url = (self.secrets / self.url_name).read_text()
        return url.replace(urlsplit(url).netloc.rpartition("@")[2], ",".join(self.hosts))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@pytest.fixture(scope="module")
def mongosh() -> str:
    return node_with_packages(MONGOSH, MONGOSH / "package.json")


@pytest.fixture(scope="module")
def single(mongosh: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path_factory.mktemp("compose"), ["mongo"], "mongo-init", "mongodb_url")
    with deployment.running():
        deployment.initiate(mongosh)
        yield deployment


def refused(work: Callable[[], object]) -> int | None:
    """The code with which MongoDB refuses it."""
    with pytest.raises(errors.OperationFailure) as caught:
        work()
    return caught.value.code


def test_the_api_runs_as_its_own_user(single: Deployment, tmp_path: Path) -> None:
    for days in (90, 30):
        # The second start changes the expiry of events, which is more than readWrite allows.
        with serving(tmp_path / str(days), mongodb_url=single.url, events_days=days) as server:
            assert server.ask(PRODUCT % f"agent-{days}")["saveProduct"]["product"] == {"key": f"agent-{days}"}
            assert server.stop() == 0
            entries = [json.loads(line) for line in server.log.read_text().splitlines()]
            assert [entry for entry in entries if entry["level"] in {"warning", "error"}] == []


def test_the_user_of_the_api_may_use_its_database_and_no_other(single: Deployment) -> None:
    with pymongo.MongoClient[dict[str, Any]](single.url) as client:
        own, other = client["release_catalog"], client["other"]
        with own.watch(max_await_time_ms=500) as stream:
            own["products"].update_one({"key": "agent-90"}, {"$set": {"seen": True}})
            assert eventually(stream.try_next)
        own.command("collMod", "events")
        for forbidden in (
            other["things"].find_one,
            lambda: other["things"].insert_one({}),
            lambda: client.drop_database("release_catalog"),
            lambda: own.command("createUser", "another", pwd="password", roles=["readWrite"]),
            lambda: client.admin.command("shutdown"),
            client["local"]["oplog.rs"].find_one,
        ):
            assert refused(forbidden) == UNAUTHORIZED


def test_nobody_is_let_in_without_a_password(single: Deployment) -> None:
    with pymongo.MongoClient[dict[str, Any]](single.hosts, replicaSet="rs0") as client:
        assert refused(client["release_catalog"]["products"].find_one) == UNAUTHORIZED
        assert refused(lambda: client.admin.command("createUser", "me", pwd="me", roles=["root"])) == UNAUTHORIZED
    # The probe of the container needs no user.
    assert SERVICES["mongo"]["healthcheck"]["test"][-1] == "db.adminCommand('ping')"
    with pymongo.MongoClient[dict[str, Any]](single.hosts, replicaSet="rs0") as client:
        assert client.admin.command("ping")["ok"] == 1


def test_a_new_secret_becomes_the_new_password(single: Deployment, mongosh: str) -> None:
    def login(password: str) -> dict[str, Any]:
        options: dict[str, Any] = {"username": "admin", "password": password, "authSource": "admin"}
        with pymongo.MongoClient[dict[str, Any]](single.hosts, replicaSet="rs0", **options) as client:
            return client.admin.command("usersInfo")

    secret = single.secrets / "mongodb_admin_password"
    old, new = secret.read_text(), "0" * 64
    assert [user["user"] for user in login(old)["users"]] == ["admin"]
    secret.write_text(new)
    single.initiate(mongosh)
    assert refused(lambda: login(old)) == UNAUTHENTICATED
    assert [user["user"] for user in login(new)["users"]] == ["admin"]
    with pymongo.MongoClient[dict[str, Any]](single.url) as client:
        assert client["release_catalog"]["products"].find_one({"key": "agent-90"})


def test_the_cluster_has_the_same_users_on_three_nodes(mongosh: str, tmp_path: Path) -> None:
    nodes = ["mongo1", "mongo2", "mongo3"]
    deployment = Deployment(tmp_path, nodes, "mongo-init-cluster", "mongodb_cluster_url")
    with deployment.running():
        deployment.initiate(mongosh)
        with pymongo.MongoClient[dict[str, Any]](deployment.url) as client:
            written = client["release_catalog"].get_collection(
                "things", write_concern=pymongo.WriteConcern(3, 60_000)
            )
            written.insert_one({})
            assert len(client.nodes) == 3


def test_the_user_of_the_api_may_run_the_commands(single: Deployment, tmp_path: Path) -> None:
    for command in (["migrate"], ["export", "-"], ["backup", tmp_path / "all.backup", "--all-tenants"]):
        done = run(*command, mongodb_url=single.url)
        assert done.returncode == 0, done.stderr
