"""The metrics by themselves: bounded labels, formats, independence of applications; and the files that name them."""

import asyncio
import gzip
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from starlette.applications import Starlette
from starlette.routing import Route

from release_catalog.metrics import exposition, instruments
from release_catalog.metrics.exposition import Exposition, WithoutCreated
from release_catalog.metrics.instruments import Metrics
from release_catalog.metrics.loop_delay import LoopDelay
from release_catalog.request_record import RequestRecord
from release_catalog.server.app import create_app
from release_catalog.settings import Settings
from release_catalog.storage.driver_statistics import DriverStatistics
from release_catalog.storage.workers import Workers
from support.graphql_client import client_of
from support.metrics import PREFIX, Scrape, scrape

ROOT = Path(__file__).parents[2]
DASHBOARD, ALERTS = ROOT / "deploy/grafana/release-catalog.json", ROOT / "deploy/alerts.yml"
NAME = re.compile(r"\b(?:release_catalog|process)_[a-z_]+\b")
HOSTILE = ("x" * 100, "a\nb", '"} 1', "é", "\\", "__proto__", " ")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


def read(metrics: Metrics) -> Scrape:
    return Scrape(generate_latest(WithoutCreated(metrics.registry)).decode())


def operation(name: str | None, kind: str | None = "query", **fields: Any) -> RequestRecord:
    """The record of an operation of a known caller that ended."""
    record = RequestRecord("1", fields.pop("transport", "http"))
    record.route, record.method, record.caller, record.status = "/graphql", "POST", "ann", 200
    record.operation_name, record.operation_kind = name, kind
    for field, value in fields.items():
        setattr(record, field, value)
    return record


def request(route: str | None, **fields: Any) -> RequestRecord:
    record = RequestRecord("1")
    record.route, record.method, record.status = route, "GET", 200
    for field, value in fields.items():
        setattr(record, field, value)
    return record


def test_an_operation_is_counted_with_its_duration_cost_and_bytes(metrics: Metrics) -> None:
    metrics.observe(operation("Latest", seconds=0.3, cost=7, bytes_sent=900))
    found = read(metrics)
    labels = {"operation": "Latest", "kind": "query"}
    assert found.value("graphql_operations_total", **labels, transport="http", outcome="ok") == 1
    assert found.value("graphql_operation_duration_seconds_bucket", **labels, le="0.25") == 0
    assert found.value("graphql_operation_duration_seconds_bucket", **labels, le="0.5") == 1
    assert found.value("cost_points_total", **labels) == 7
    assert found.value("response_bytes_total", transport="http") == 900


@pytest.mark.parametrize(
    ("codes", "status", "outcome"),
    [
        ([], 200, "ok"),
        (["ValidationProblem"], 200, "problem"),
        (["TIMEOUT"], 200, "error"),
        (["ConflictProblem", "TIMEOUT"], 200, "error"),
        ([], 503, "error"),
    ],
)
def test_the_outcome_of_an_operation(metrics: Metrics, codes: list[str], status: int, outcome: str) -> None:
    metrics.observe(operation("Save", "mutation", error_codes=codes, status=status))
    found = read(metrics)
    assert found.value("graphql_operations_total", operation="Save", outcome=outcome) == 1
    assert found.value("graphql_operations_total") == 1
    for code in codes:
        assert found.value("graphql_errors_total", operation="Save", code=code) == 1


def test_operations_without_a_name_or_a_caller_share_names(metrics: Metrics) -> None:
    metrics.observe(operation(None))
    metrics.observe(operation("Secret", caller=None))
    metrics.observe(operation("Broken", None, error_codes=["BAD_REQUEST"]))
    found = read(metrics)
    names = {dict(labels)["operation"] for labels in found.samples("graphql_operations_total")}
    assert names == {"unnamed", "other", "invalid"}


def test_a_subscription_has_no_duration(metrics: Metrics) -> None:
    metrics.observe(operation("Follow", "subscription", transport="sse", seconds=3_600.0))
    found = read(metrics)
    assert found.value("graphql_operations_total", transport="sse") == 1
    assert found.value("graphql_operation_duration_seconds_count") == 0


def test_a_refused_websocket_is_a_refusal_and_no_operation(metrics: Metrics) -> None:
    record = RequestRecord("1", "websocket")
    record.limit, record.path = "subscribers", "/graphql"
    metrics.observe(record)
    found = read(metrics)
    assert found.value("refusals_total", limit="subscribers") == 1
    assert found.value("graphql_operations_total") == found.value("http_requests_total") == 0


def test_hostile_names_make_a_bounded_number_of_series(metrics: Metrics) -> None:
    kinds = ("query", "mutation", "subscription")
    for number in range(10_000):
        codes = [f"CODE_{number}"]
        transport = ("http", "sse", "websocket")[number % 3]
        name = f"{HOSTILE[number % len(HOSTILE)]}{number}"
        metrics.observe(operation(name, kinds[number % 3], transport=transport, error_codes=codes, cost=1))
        metrics.observe(request(f"/{name}", method=name, status=200 + number % 800, cost=1))
        metrics.observe(operation(name, fallback=f"Reason{number}: x", limit=f"limit {number}"))
        metrics.observe(RequestRecord("1", "webhook"))
    found = read(metrics)
    counted = found.samples("graphql_operations_total")
    assert sum(counted.values()) == 20_000
    # Three outcomes each; the rest shares a name for each kind and transport.
    assert len(counted) <= 3 * (instruments.MAX_OPERATIONS + 9)
    assert found.value("graphql_operations_total", operation="other") > 19_000
    assert len(found.samples("graphql_errors_total")) <= instruments.MAX_ERRORS + 1
    assert len(found.samples("cost_points_total")) <= 2 * instruments.MAX_ROUTES + 20
    assert len(found.samples("http_request_duration_seconds_count")) <= instruments.MAX_ROUTES + 1
    assert len(found.samples("http_requests_total")) <= 10 * instruments.MAX_ROUTES + 10
    for name in ("graphql_fallbacks_total", "refusals_total"):
        assert len(found.samples(name)) <= instruments.MAX_VALUES + 1
    counted_names = {dict(labels)["operation"] for labels in counted}
    assert {dict(labels)["operation"] for labels in found.samples("graphql_errors_total")} <= counted_names
    # However hard they are hit: a scrape stays small.
    assert len(found.text) < 3_000_000


def test_attempts_to_deliver_an_event(metrics: Metrics) -> None:
    for codes, attempt in (([], 1), (["REFUSED"], 1), (["UNREACHABLE"], 2), (["REFUSED"], 10)):
        record = RequestRecord("1", "webhook")
        record.attempt, record.seconds = attempt, 0.2
        for code in codes:
            record.add_code(code)
        metrics.observe(record)
    found = read(metrics)
    outcomes = {
        dict(labels)["outcome"]: value for labels, value in found.samples("webhook_attempts_total").items()
    }
    assert outcomes == {"delivered": 1, "refused": 1, "unreachable": 1, "given_up": 1}
    assert found.value("webhook_attempt_duration_seconds_count") == 4
    assert found.value("graphql_operations_total") == found.value("http_requests_total") == 0


def test_an_event_from_the_future_has_no_lag(metrics: Metrics) -> None:
    metrics.event_delivered(-5)
    metrics.event_delivered(3)
    found = read(metrics)
    assert found.value("event_delivery_lag_seconds_sum") == 3
    assert found.value("event_delivery_lag_seconds_bucket", le="0.01") == 1


def scraped(metrics: Metrics, refresh: Callable[[], Any] | None = None) -> Starlette:
    async def nothing() -> None:
        pass

    return Starlette(routes=[Route("/metrics", Exposition(metrics.registry, refresh or nothing).answer)])


@pytest.mark.parametrize(
    ("accept", "is_open"),
    [
        (None, False),
        ("*/*", False),
        ("text/plain;version=0.0.4", False),
        ("application/openmetrics-text", True),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.2",
            True,
        ),
        ("application/openmetrics-text;q=0,text/plain", False),
        ("application/openmetrics-text;version=x\x80;escaping=y", True),
        ("," * 1_000, False),
    ],
)
async def test_a_scraper_gets_the_format_that_it_accepts(
    metrics: Metrics, accept: str | None, *, is_open: bool
) -> None:
    metrics.observe(operation("Latest"))
    headers: Any = {"accept": accept.encode("latin-1")} if accept else {}
    async with client_of(scraped(metrics)) as http:
        response = await http.get("/metrics", headers=headers)
    found = Scrape(response.text, is_open=is_open)
    assert response.headers["content-type"].startswith("application/openmetrics-text" if is_open else "text/plain")
    assert found.value("graphql_operations_total", operation="Latest", outcome="ok") == 1
    assert "_created" not in response.text


async def test_an_answer_is_compressed_if_that_is_accepted(metrics: Metrics) -> None:
    async with client_of(scraped(metrics)) as http:
        async with http.stream("GET", "/metrics", headers={"accept-encoding": "br, gzip;q=0.5"}) as response:
            body = b"".join([part async for part in response.aiter_raw()])
        assert response.headers["content-encoding"] == "gzip"
        assert "release_catalog_build_info" in gzip.decompress(body).decode()
        plain = await http.get("/metrics", headers={"accept-encoding": "gzip;q=0"})
        assert "content-encoding" not in plain.headers
        refused = await http.post("/metrics")
        assert refused.status_code == 405


async def test_scrapers_that_come_at_once_get_one_answer(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    refreshed = 0

    async def refresh() -> None:
        nonlocal refreshed
        refreshed += 1
        await asyncio.sleep(0.01)

    monkeypatch.setattr(exposition, "KEPT_SECONDS", 1_000.0)
    async with client_of(scraped(metrics, refresh)) as http:
        answers = await asyncio.gather(*(scrape(http) for _ in range(50)))
    assert refreshed == 1
    assert len({found.text for found in answers}) == 1


async def test_applications_count_for_themselves() -> None:
    settings = Settings(metrics="on")
    one, other = create_app(settings).state.measured, create_app(settings).state.measured
    one.metrics.observe(operation("Latest"))
    assert read(one.metrics).value("graphql_operations_total") == 1
    assert read(other.metrics).value("graphql_operations_total") == 0


@pytest.mark.parametrize(("settings", "count"), [({}, 0), ({"metrics": "on"}, 1), ({"metrics_port": 0}, 1)])
def test_nothing_is_counted_for_nobody(settings: Any, count: int) -> None:
    measured = create_app(Settings(**settings)).state.measured
    assert (len(measured.observers), len(measured.monitors)) == (count, count)


async def test_a_worker_that_ended_is_down() -> None:
    async def work() -> None:
        await asyncio.sleep(0)

    workers = Workers()
    task = workers.start("webhooks", work())
    assert workers.running() == {"webhooks": True}
    await task
    assert workers.running() == {"webhooks": False}


async def test_the_delay_of_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    delay = LoopDelay()
    loop = asyncio.get_running_loop()

    async def sleep(seconds: float) -> None:
        clock[0] += seconds + (2.0 if len(slept) == 1 else 0.0)
        slept.append(seconds)
        if len(slept) == 3:
            raise asyncio.CancelledError

    slept: list[float] = []
    monkeypatch.setattr(loop, "time", lambda: clock[0])
    monkeypatch.setattr("release_catalog.metrics.loop_delay.asyncio.sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await delay._measure()
    monkeypatch.undo()
    assert delay.seconds == 2.0


async def test_a_task_that_is_cancelled_waits_for_no_connection() -> None:
    driver, event = DriverStatistics(), object()

    async def wait() -> None:
        driver.connection_check_out_started(event)  # type: ignore[arg-type]
        await asyncio.sleep(60)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    assert driver.waiting == 1
    task.cancel()
    await asyncio.wait([task])
    assert driver.waiting == 0


@pytest.fixture(scope="module")
def exported() -> Scrape:
    """The metrics of a whole application."""
    app = create_app(Settings(metrics="on"))
    measured = app.state.measured
    from release_catalog.server.connection_limit import ConnectionLimit  # noqa: PLC0415

    measured.watch_connections(ConnectionLimit(lambda: 1))
    return read(measured.metrics)


def names(exported: Scrape) -> set[str]:
    """The names of metrics as a query may use them."""
    found = set()
    for name, family in exported.families.items():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        found |= {f"{name}{suffix}" for suffix in suffixes}
    return found


def test_each_metric_has_a_help_text_and_a_conventional_name(exported: Scrape) -> None:
    for name, family in exported.families.items():
        assert family.documentation, name
        assert family.type != "unknown", name
        if not name.startswith("process_"):
            assert name.startswith(PREFIX)
            assert family.documentation.endswith(".")


def expressions(value: Any, *keys: str) -> Iterator[str]:
    """Yield the queries of a dashboard under these keys."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in keys and isinstance(inner, str):
                yield inner
            else:
                yield from expressions(inner, *keys)
    elif isinstance(value, list):
        for inner in value:
            yield from expressions(inner, *keys)


def test_the_dashboard_asks_for_metrics_that_exist(exported: Scrape) -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    asked = {name for text in expressions(dashboard, "expr", "query") for name in NAME.findall(text)}
    assert asked <= names(exported)
    # And for all of them, but for the parts of histograms.
    shown = {
        name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum").removesuffix("_total")
        for name in asked
    }
    left = exported.families.keys() - shown - {"process_virtual_memory_bytes", "process_start_time_seconds"}
    assert not left
    rows = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]
    assert len(rows) == 8
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    for panel in dashboard["panels"]:
        assert panel["type"] == "row" or (panel["targets"] and panel["description"])


def test_each_alert_says_what_to_do_and_stands_in_the_documentation(exported: Scrape) -> None:
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    documented = (ROOT / "docs/alarms.md").read_text()
    headings = re.findall(r"^## (\w+)$", documented, re.MULTILINE)
    assert headings == [rule["alert"] for rule in rules]
    for rule in rules:
        notes = rule["annotations"]
        assert notes.keys() == {"summary", "description", "runbook_url"}
        assert notes["description"].endswith(".")
        assert notes["runbook_url"] == f"docs/alarms.md#{rule['alert'].lower()}"
        assert set(NAME.findall(rule["expr"])) <= names(exported)
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}


def test_the_documentation_lists_all_metrics(exported: Scrape) -> None:
    rows = re.findall(
        r"^\| `(release_catalog_\w+)` \| (\w+) \| (.*?) \| (.*?) \|$",
        (ROOT / "docs/metrics.md").read_text(),
        re.MULTILINE,
    )
    listed = {name: (kind, labels, text) for name, kind, labels, text in rows}
    expected = {}
    for name, family in exported.families.items():
        if name.startswith(PREFIX):
            full = f"{name}_total" if family.type == "counter" else name
            expected[full] = (family.type, family.documentation)
    assert {name: (kind, text) for name, (kind, _, text) in listed.items()} == expected


@pytest.mark.skipif(not shutil.which("promtool"), reason="Prometheus is not installed")
@pytest.mark.parametrize(
    "command",
    [["check", "rules", ALERTS], ["test", "rules", ALERTS.with_name("alerts_test.yml")], ["check", "metrics"]],
)
def test_promtool_is_content(exported: Scrape, command: list[Any]) -> None:
    done = subprocess.run(["promtool", *command], input=exported.text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if command == ["check", "metrics"]:
        assert not done.stderr  # it has no complaint about names


@pytest.mark.skipif(not shutil.which("promtool"), reason="Prometheus is not installed")
def test_prometheus_understands_the_dashboard(tmp_path: Path) -> None:
    texts = [*expressions(json.loads(DASHBOARD.read_text()), "expr")]
    for variable, value in (("$__rate_interval", "5m"), ("$job", ".*"), ("$instance", ".*")):
        texts = [text.replace(variable, value) for text in texts]
    rules = [
        {"record": "shown:panel", "expr": text, "labels": {"panel": str(at)}} for at, text in enumerate(texts)
    ]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
