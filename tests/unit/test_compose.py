"""docker-compose.yml holds together: it takes an engine to start it, so its form is what is tested."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
APIS = ["api", "api-cluster"]

# What the Compose specification knows and this file uses: a key outside is a slip of the pen, or new here.
SERVICE_KEYS = {
    *("build", "cap_drop", "command", "depends_on", "environment", "healthcheck", "image", "ports"),
    *("profiles", "read_only", "restart", "security_opt", "stop_grace_period", "tmpfs", "volumes"),
}
HEALTHCHECK_TIMES = {"interval", "timeout", "start_period", "start_interval"}
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}

each_service = pytest.mark.parametrize("name", SERVICES)
each_api = pytest.mark.parametrize("name", APIS)


def dockerfile(name: str) -> list[str]:
    """Give the instructions of a service's image, a line each."""
    text: str = SERVICES[name]["build"]["dockerfile_inline"].replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def the_set_of(name: str) -> tuple[str, set[str]]:
    """Give the name and the members of the replica set that an API service connects to."""
    url = urlsplit(SERVICES[name]["environment"]["RELEASE_CATALOG_MONGODB_URL"])
    [set_name] = parse_qs(url.query)["replicaSet"]
    return set_name, set(url.netloc.split(","))


def test_top_level_is_of_the_specification() -> None:
    named = {key for key in COMPOSE if not key.startswith("x-")}
    assert named == {"name", "services", "volumes"}
    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*", COMPOSE["name"])


@each_service
def test_service_is_of_the_specification(name: str) -> None:
    service = SERVICES[name]
    assert set(service) <= SERVICE_KEYS
    assert ("image" in service) != ("build" in service)
    assert service["restart"] in {"no", "always", "on-failure", "unless-stopped"}
    times = {key: service.get("healthcheck", {}).get(key, "1s") for key in HEALTHCHECK_TIMES}
    times["stop_grace_period"] = service.get("stop_grace_period", "1s")
    assert all(re.fullmatch(r"\d+(s|m)", time) for time in times.values()), times


@each_service
def test_healthcheck_is_of_the_specification(name: str) -> None:
    if "healthcheck" in SERVICES[name]:
        healthcheck = SERVICES[name]["healthcheck"]
        assert set(healthcheck) <= HEALTHCHECK_TIMES | {"test"}
        assert healthcheck["test"][0] == "CMD"
        assert all(isinstance(word, str) for word in healthcheck["test"])


@each_service
def test_services_restart_and_have_time_to_stop(name: str) -> None:
    waited_for = [service.get("depends_on", {}).get(name, {}) for service in SERVICES.values()]
    if {"condition": "service_completed_successfully"} in waited_for:
        assert SERVICES[name]["restart"] == "no"
    else:
        assert SERVICES[name]["restart"] == "unless-stopped"
        assert "stop_grace_period" in SERVICES[name]
        assert "healthcheck" in SERVICES[name]


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
def test_images_have_a_version(name: str) -> None:
    if "image" in SERVICES[name]:
        images = [SERVICES[name]["image"]]
    else:
        images = [line.split()[1] for line in dockerfile(name) if line.startswith("FROM ")]
    for image in images:
        assert re.fullmatch(r"[a-z]+:\d[\w.-]*", image)


def test_each_volume_is_declared_and_has_one_owner() -> None:
    used = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])]
    assert sorted(used) == sorted(COMPOSE["volumes"])


def test_only_the_api_is_published_and_on_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"api": ["127.0.0.1:8000:8000"], "api-cluster": ["127.0.0.1:8001:8000"]}


@pytest.mark.parametrize(("name", "initiator", "size"), [("api", "mongo", 1), ("api-cluster", "mongo-init", 3)])
def test_replica_set_is_the_same_for_its_nodes_its_start_and_its_client(
    name: str, initiator: str, size: int
) -> None:
    set_name, members = the_set_of(name)
    assert len(members) == size

    service = SERVICES[initiator]
    script = service["command" if size > 1 else "healthcheck"]
    script = script["test"][-1] if isinstance(script, dict) else script[-1]
    assert re.findall(r"_id: '(\w+)'", script) == [set_name]
    assert sorted(re.findall(r"'([\w.-]+:\d+)'", script)) == sorted(members)

    for member in members:
        node, port = member.split(":")
        command = SERVICES[node]["command"]
        assert port == "27017"
        assert command[command.index("--replSet") + 1] == set_name
        assert "--bind_ip_all" in command
        assert SERVICES[node].get("profiles") == SERVICES[name].get("profiles")


def test_cluster_is_three_nodes_that_only_its_profile_starts() -> None:
    nodes = {f"mongo{number}" for number in (1, 2, 3)}
    assert {name for name, service in SERVICES.items() if service.get("profiles") == ["cluster"]} == {
        *nodes,
        "mongo-init",
        "api-cluster",
    }
    assert the_set_of("api-cluster")[1] == {f"{node}:27017" for node in nodes}
    assert set(SERVICES["mongo-init"]["depends_on"]) == nodes
    assert set(SERVICES["api-cluster"]["depends_on"]) == {"mongo-init"}


@each_api
def test_image_runs_a_console_script_of_this_project(name: str) -> None:
    [command] = [line.removeprefix("CMD ") for line in dockerfile(name) if line.startswith("CMD ")]
    words = json.loads(command)
    assert words[0] in PROJECT["project"]["scripts"]
    assert words[1:] == ["serve", "--host", "0.0.0.0"]
    assert "ENV RELEASE_CATALOG_AUTHENTICATION=required" in dockerfile(name)
    assert any(PROJECT["project"]["name"] in line for line in dockerfile(name) if "pip install" in line)


@each_api
def test_api_has_no_rights_to_lose(name: str) -> None:
    last_stage = " ; ".join(dockerfile(name)).split("FROM ")[-1]
    [user] = re.findall(r"USER (\S+)", last_stage)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert SERVICES[name]["read_only"] is True
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]


@each_api
def test_probe_asks_the_port_that_is_published(name: str) -> None:
    [_, port] = SERVICES[name]["ports"][0].rsplit(":", 1)
    program = SERVICES[name]["healthcheck"]["test"][-1]
    compile(program, "healthcheck", "exec")
    assert f"'http://127.0.0.1:{port}/livez'" in program


def test_build_context_has_what_the_wheel_is_made_of() -> None:
    project = PROJECT["project"]
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    packages = [
        Path(package).parts[0] for package in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    ]
    let_in = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert "*" in rules
    assert let_in == {"pyproject.toml", project["readme"], *project["license-files"], *packages}
    assert all((ROOT / name).exists() for name in let_in)


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
