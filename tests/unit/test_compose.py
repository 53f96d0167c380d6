"""docker-compose.yml holds together: it takes an engine to start it, so its form is what is tested."""

import contextlib
import json
import re
import shutil
import stat
import subprocess
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from support import dockerfile

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
SECRETS, USERS = ROOT / "deploy/compose/secrets.sh", ROOT / "deploy/compose/users.js"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
APIS = ["api", "api-cluster"]
INITIATORS = ["mongo-init", "mongo-init-cluster"]
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}

each_service = pytest.mark.parametrize("name", SERVICES)
each_api = pytest.mark.parametrize("name", APIS)


def secret_files(name: str) -> list[str]:
    """Give the secrets of a service, which its files must be listed with."""
    mounted: list[str] = SERVICES[name].get("secrets", [])
    return mounted


def the_set_of(name: str) -> tuple[str, set[str]]:
    """Give the name and the members of the replica set that an API service connects to."""
    [secret] = secret_files(name)
    [text] = re.findall(rf'printf %s "(mongodb://[^"]+)" \| keep {secret}\n', SECRETS.read_text())
    options = re.findall(r'^options="([^"]+)"$', SECRETS.read_text(), re.MULTILINE)
    url = urlsplit(text.replace("$options", *options))
    [set_name] = parse_qs(url.query)["replicaSet"]
    return set_name, set(url.netloc.rpartition("@")[2].split(","))


@pytest.mark.parametrize(
    ("slip", "complaint"),
    [
        (("", ""), ""),
        (("restart:", "restrat:"), "restrat"),
        (("start_interval: 2s", "start_interval: soon"), "start_interval"),
        (("service_healthy", "service_healty"), "service_healty"),
        (("pids: 2000", "pids: many"), "pids"),
    ],
)
def test_it_is_of_the_specification(slip: tuple[str, str], complaint: str) -> None:
    compose_spec = pytest.importorskip("compose_spec")
    plain = {key: value for key, value in COMPOSE.items() if not key.startswith("x-")}
    # The reader knows no merged mappings, and takes an image with a tag or a digest only.
    text = re.sub(r"(image: [a-z]+:[\w.-]+)@sha256:[0-9a-f]{64}", r"\1", yaml.safe_dump(plain)).replace(*slip)
    with pytest.raises(ValueError, match=complaint) if complaint else contextlib.nullcontext():
        compose_spec.PyCompose.from_yaml(text).to_spec()


def test_top_level_is_of_the_specification() -> None:
    named = {key for key in COMPOSE if not key.startswith("x-")}
    assert named == {"name", "services", "volumes", "networks", "secrets", "configs"}
    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*", COMPOSE["name"])


@pytest.mark.parametrize("mode", [None, 0o755])
def test_the_folder_of_the_secrets_is_closed_to_others(tmp_path: Path, mode: int | None) -> None:
    """Also one that exists: the files in it are open, because users inside the containers read them."""
    folder = tmp_path / "secrets"
    if mode is not None:
        folder.mkdir(mode)
    subprocess.run(["sh", SECRETS, folder], check=True)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len([*folder.iterdir()]) == 5


@each_service
def test_services_restart_and_have_time_to_stop(name: str) -> None:
    waited_for = [service.get("depends_on", {}).get(name, {}) for service in SERVICES.values()]
    if {"condition": "service_completed_successfully"} in waited_for:
        assert SERVICES[name]["restart"] == "no"
    else:
        assert SERVICES[name]["restart"] == "unless-stopped"
        assert "stop_grace_period" in SERVICES[name]
        assert "healthcheck" in SERVICES[name] or name in APIS  # the image has one


@each_service
def test_dependency_runs_wherever_its_dependant_does(name: str) -> None:
    service = SERVICES[name]
    for needed, how in service.get("depends_on", {}).items():
        assert needed in SERVICES
        profiles = set(SERVICES[needed].get("profiles", []))
        assert not profiles or set() < set(service.get("profiles", [])) <= profiles
        assert how["condition"] in CONDITIONS
        if how["condition"] == "service_healthy":
            assert SERVICES[needed]["healthcheck"]["test"]


@each_service
def test_images_have_a_version_and_a_digest(name: str) -> None:
    if "build" in SERVICES[name]:
        assert (SERVICES[name]["build"], SERVICES[name]["image"]) == (".", PROJECT["project"]["name"])
    else:
        assert re.fullmatch(r"mongo:\d+\.\d+\.\d+@sha256:[0-9a-f]{64}", SERVICES[name]["image"])


@each_service
def test_services_have_limits(name: str) -> None:
    limits = SERVICES[name]["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory", "pids"}
    assert SERVICES[name]["logging"]["options"].keys() == {"max-size", "max-file"}
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]
    if name not in INITIATORS:
        assert SERVICES[name]["ulimits"]["nofile"] >= 64_000


@each_service
def test_secrets_come_from_files_that_the_command_makes(name: str) -> None:
    assert secret_files(name)
    made = set(re.findall(r"\| keep (\w+)$", SECRETS.read_text(), re.MULTILINE))
    assert set(COMPOSE["secrets"]) == made
    assert set(secret_files(name)) <= made
    assert COMPOSE["secrets"] == {secret: {"file": f"secrets/{secret}"} for secret in made}
    # No secret stands in a command or in the environment, where every inspection of a container shows it.
    text = json.dumps([SERVICES[name].get(key) for key in ("command", "environment", "entrypoint")])
    assert set(re.findall(r"/run/secrets/(\w+)", text)) <= set(secret_files(name))
    assert "mongodb://" not in text


def test_the_folder_of_secrets_is_in_no_commit_and_in_no_image() -> None:
    assert "secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    assert "!secrets" not in (ROOT / ".dockerignore").read_text()


def test_the_command_makes_secrets_once(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"

    def make() -> dict[str, str]:
        done = subprocess.run(["sh", SECRETS, folder], capture_output=True, text=True, check=True)
        assert done.stdout + done.stderr == ""
        return {file.name: file.read_text() for file in folder.iterdir()}

    first = make()
    assert set(first) == set(COMPOSE["secrets"])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o644}
    assert re.fullmatch(r"[0-9a-f]{512}", first["mongodb_key"])
    passwords = [first["mongodb_password"], first["mongodb_admin_password"]]
    assert all(re.fullmatch(r"[0-9a-f]{64}", password) for password in passwords)
    assert len(set(passwords)) == 2
    for name in ("mongodb_url", "mongodb_cluster_url"):
        assert urlsplit(first[name]).password == first["mongodb_password"]
    assert make() == first

    (folder / "mongodb_admin_password").unlink()
    renewed = make()
    assert renewed.pop("mongodb_admin_password") != first.pop("mongodb_admin_password")
    assert renewed == first


def test_each_volume_is_declared_and_has_one_owner() -> None:
    used = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])]
    assert sorted(used) == sorted(COMPOSE["volumes"])


def test_only_the_api_is_published_and_on_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"api": ["127.0.0.1:8000:8000"], "api-cluster": ["127.0.0.1:8001:8000"]}


@pytest.mark.parametrize(
    ("name", "initiator", "size"), [("api", "mongo-init", 1), ("api-cluster", "mongo-init-cluster", 3)]
)
def test_replica_set_is_the_same_for_its_nodes_its_start_and_its_client(
    name: str, initiator: str, size: int
) -> None:
    set_name, members = the_set_of(name)
    assert len(members) == size
    assert set(SERVICES[initiator]["environment"]["MEMBERS"].split(",")) == members
    assert re.findall(r'_id: "(\w+)"', USERS.read_text()) == [set_name]
    for member in members:
        node, port = member.split(":")
        command = SERVICES[node]["command"]
        assert port == "27017"
        assert command[command.index("--replSet") + 1] == set_name
        assert "--bind_ip_all" in command
        assert SERVICES[node].get("profiles") == SERVICES[name].get("profiles")


@pytest.mark.parametrize("name", ["mongo", "mongo1", "mongo2", "mongo3"])
def test_mongod_requires_users_and_gets_a_key_that_only_it_can_read(name: str) -> None:
    service = SERVICES[name]
    command = service["command"]
    key = command[command.index("--keyFile") + 1]
    shell, _, script, zeroth = service["entrypoint"]
    assert (shell, zeroth) == ("bash", "--")
    assert script == (
        f'install -o mongodb -g mongodb -m 400 /run/secrets/mongodb_key {key} && exec docker-entrypoint.sh "$$@"'
    )
    # The key is in memory only.
    assert [place.split(":")[0] for place in service["tmpfs"]] == [str(Path(key).parent)]
    assert "enableLocalhostAuthBypass=false" in command


def test_only_the_api_reaches_other_networks() -> None:
    assert COMPOSE["networks"] == {"database": {"internal": True}, "default": {}}
    for name, service in SERVICES.items():
        assert service["networks"] == (["database", "default"] if name in APIS else ["database"])


def test_cluster_is_three_nodes_that_only_its_profile_starts() -> None:
    nodes = {f"mongo{number}" for number in (1, 2, 3)}
    assert {name for name, service in SERVICES.items() if service.get("profiles") == ["cluster"]} == {
        *nodes,
        "mongo-init-cluster",
        "api-cluster",
    }
    assert the_set_of("api-cluster")[1] == {f"{node}:27017" for node in nodes}
    assert set(SERVICES["mongo-init-cluster"]["depends_on"]) == nodes
    assert set(SERVICES["api-cluster"]["depends_on"]) == {"mongo-init-cluster"}


@each_api
def test_api_has_no_rights_to_lose(name: str) -> None:
    assert SERVICES[name]["read_only"] is True
    assert SERVICES[name]["cap_drop"] == ["ALL"]


@each_api
def test_api_reads_its_url_from_its_secret_and_waits_for_the_database(name: str) -> None:
    [secret] = secret_files(name)
    assert SERVICES[name]["environment"] == {
        "RELEASE_CATALOG_MONGODB_URL_FILE": f"/run/secrets/{secret}",
        "RELEASE_CATALOG_DATABASE_WAIT_SECONDS": 60,
    }


@each_api
def test_api_is_published_at_the_port_that_the_image_probes(name: str) -> None:
    [_, port] = SERVICES[name]["ports"][0].rsplit(":", 1)
    [probe] = [step.text for step in dockerfile.steps() if step.instruction == "HEALTHCHECK"]
    assert f"http://127.0.0.1:{port}/livez" in probe


@pytest.mark.parametrize("profile", [[], ["--profile", "cluster"]], ids=["default", "cluster"])
def test_docker_compose_accepts_it(profile: list[str]) -> None:
    docker = shutil.which("docker")
    if (
        docker is None
        or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("docker has no compose command here")
    told = subprocess.run(
        [docker, "compose", "--file", FILE, *profile, "config", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, told.stderr) == (0, "")
