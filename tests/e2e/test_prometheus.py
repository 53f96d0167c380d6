"""A real Prometheus beside a real server, with the alerts and the port of their own; and that port without it."""

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from support import processes
from support.metrics import Scrape
from support.processes import Server, eventually, serving

ROOT = Path(__file__).parents[2]
SERVING = re.compile(r'"url":"(http://[^"]+/metrics)"')
CONFIGURATION = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: release-catalog
    static_configs: [{{targets: ["{own}"]}}]
  - job_name: release-catalog-main
    authorization: {{credentials: "{token}"}}
    static_configs: [{{targets: ["{main}"]}}]
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("metrics")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with serving(folder, metrics="on", metrics_port=0, authentication="required") as server:
        yield server


@pytest.fixture(scope="module")
def token(server: Server, folder: Path) -> str:
    """A token of the operator."""
    assert server.url
    done = processes.run("token", "prometheus", "--scope", "operations:read", data_dir=folder / "data")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def own(server: Server) -> str:
    """The URL of the port for metrics."""
    [entry] = server.entries("serving metrics")
    return str(entry["url"])


def test_the_port_of_their_own_answers_scrapers_and_nothing_else(server: Server, own: str) -> None:
    found = Scrape(httpx2.get(own).text)
    assert found.value("database_up") == 1
    assert found.value("database_commands_total") > 0
    assert found.value("connections") >= 0
    host = own.removesuffix("/metrics")
    for path in ("/", "/graphql", "/v1", "/livez", "/metrics/x"):
        assert httpx2.get(host + path).status_code == 404
    assert httpx2.post(own).status_code == 405
    # A page that leads a name of its own to this machine gets nothing.
    assert httpx2.get(own, headers={"host": "attacker.example"}).status_code == 400
    assert httpx2.get(f"{server.url}/metrics").status_code == 401


def test_the_start_and_the_end_of_the_server_are_in_the_log(server: Server, own: str) -> None:
    assert own
    assert len(server.entries("serving metrics")) == 1
    assert len(server.entries("serving with authentication")) == 1


def test_scrapers_are_answered_while_the_server_waits_for_its_database(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    nowhere = f"mongodb://127.0.0.1:{free_port()}"
    settings = {"metrics_port": 0, "mongodb_url": nowhere, "database_wait_seconds": 300, "data_dir": tmp_path}
    process = processes.Process(("serve", "--port", 0), processes.environment(**settings), errors=str(log))
    try:
        found = eventually(lambda: SERVING.search(log.read_text()))
        assert found, log.read_text()
        scrape = Scrape(httpx2.get(found[1]).text)
        assert scrape.samples("database_up") == {(): 0}
        assert scrape.value("process_open_fds") > 0
    finally:
        process.terminate()
        process.wait(60)


def test_a_port_that_is_in_use_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = processes.run("serve", "--port", 0, metrics_port=port, data_dir=tmp_path)
    assert done.returncode == 1
    assert f"Metrics can't be served at 127.0.0.1, port {port}:" in done.stderr
    assert "RELEASE_CATALOG_METRICS_HOST" in done.stderr


@pytest.mark.skipif(not shutil.which("prometheus"), reason="Prometheus is not installed")
def test_prometheus_scrapes_both_ports_and_evaluates_the_alerts(
    server: Server, own: str, token: str, tmp_path: Path
) -> None:
    configuration = tmp_path / "prometheus.yml"
    configuration.write_text(
        CONFIGURATION.format(
            rules=ROOT / "deploy/alerts.yml",
            own=own.removeprefix("http://").removesuffix("/metrics"),
            main=server.url.removeprefix("http://"),
            token=token,
        )
    )
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log)
    try:
        up = {"release-catalog": "1", "release-catalog-main": "1"}
        assert eventually(lambda: values(address, "up") == up), (tmp_path / "prometheus.log").read_text()
        assert eventually(lambda: values(address, "release_catalog_database_up") == up)
        rules = eventually(lambda: evaluated(address))
        assert len(rules) > 20
        assert {rule["health"] for rule in rules} == {"ok"}
        firing = [rule["name"] for rule in rules if rule["state"] == "firing"]
        assert not firing
    finally:
        process.terminate()
        process.wait(60)


def ask(address: str, path: str, **parameters: str) -> Any:
    try:
        response = httpx2.get(f"http://{address}/api/v1/{path}", params=parameters)
    except httpx2.TransportError:  # it still starts
        return None
    return response.json()["data"] if response.status_code == 200 else None


def values(address: str, query: str) -> dict[str, str]:
    """The values of a metric by job."""
    found = ask(address, "query", query=query)
    return {row["metric"]["job"]: row["value"][1] for row in found["result"]} if found else {}


def evaluated(address: str) -> list[dict[str, Any]]:
    """All alerts, once each was evaluated."""
    found = ask(address, "rules")
    rules: list[dict[str, Any]] = [rule for group in found["groups"] for rule in group["rules"]] if found else []
    return rules if rules and all(rule["health"] != "unknown" for rule in rules) else []
