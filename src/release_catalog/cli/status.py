"""The command that tells the state of a deployment."""

from collections.abc import Iterator
from typing import Any

import typer

from release_catalog import runtime
from release_catalog.cli.options import Json, failure_text, print_json
from release_catalog.console import printable
from release_catalog.domain import timestamps
from release_catalog.embedded_mongodb import binary
from release_catalog.settings import Settings
from release_catalog.storage import database as db
from release_catalog.storage import deployment_state
from release_catalog.storage.deployment_state import (
    MAX_COUNT,
    MAX_NAMED,
    DeploymentState,
    VerificationsState,
    WebhooksState,
)

_UNKNOWN = "unknown: an index is missing, which the next start of a server creates"


def status(json: Json = False) -> None:
    """Tell the state of the database and of all tenants' queues; change nothing.

    The exit code is 1 if the database can't be reached or has no catalog.
    """
    settings = Settings()
    try:
        # An unfinished restore is a part of the state.
        state = runtime.run_with_database(settings, deployment_state.read, prepares=False, restoring=True)
    except (db.Failure, binary.Unavailable) as error:
        if json:
            print_json({"database": runtime.place(settings), "reachable": False, "reason": failure_text(error)})
        raise
    if json:
        print_json({"database": runtime.place(settings), "reachable": True, **state})
        return
    for name, text in _lines(runtime.place(settings), state):
        typer.echo(printable(f"{name:<15} {text}"))


def _lines(place: str, state: DeploymentState) -> Iterator[tuple[str, str]]:
    server, migrations, restore = state["server"], state["migrations"], state["restore"]
    yield "database", place
    if server["replicaSet"] is None:
        yield "MongoDB", f"{server['version']}, a sharded cluster"
    else:
        yield "MongoDB", f"{server['version']}, replica set {server['replicaSet']}, primary {server['primary']}"
    yield "releases", f"{state['releases']}, in form {state['forms']['releases']}"
    left = ", ".join(f"{name} ({_count(count)} documents)" for name, count in migrations["pending"].items())
    now = "a process migrates" if migrations["running"] else "no process migrates"
    yield "migrations", f"pending: {left}; {now}" if left else "none pending"
    if restore:
        whose = "the whole database" if restore["tenant"] is None else f"the tenant {restore['tenant']}"
        yield "restore", f"unfinished, of {whose}, since {timestamps.format_rfc3339(restore['startedAt'])}"
    yield "webhooks", _webhooks(state["webhooks"])
    yield "verifications", _verifications(state["verifications"])
    yield "scheme changes", _scheme_changes(state["schemeChanges"])
    events = state["lastEvents"]
    if events is None or not events:
        yield "last event", _UNKNOWN if events is None else "none"
        return
    for event in events:
        yield "last event", f"{event['number']} of {event['tenant']} at {timestamps.format_rfc3339(event['at'])}"
    if len(events) == MAX_NAMED:
        yield "last event", "more tenants are not shown"


def _webhooks(state: WebhooksState | None) -> str:
    if state is None:
        return _UNKNOWN
    return (
        f"{_count(state['active'])} active, {_count(state['inactive'])} inactive, {state['behind']} behind by "
        f"{state['waitingEvents']} events{_oldest(state)}, {state['failing']} failing, "
        f"{_count(state['retries'])} deliveries to repeat"
    )


def _verifications(state: VerificationsState | None) -> str:
    if state is None:
        return _UNKNOWN
    return f"{_count(state['running'])} running, {_count(state['waiting'])} waiting{_oldest(state)}"


def _oldest(state: Any) -> str:
    seconds = state["waitingSeconds"]
    return "" if seconds is None else f" (the oldest for {seconds:.0f} s)"


def _scheme_changes(changes: list[deployment_state.SchemeChangeState] | None) -> str:
    if changes is None:
        return _UNKNOWN
    named = [f"{it['productId']} of {it['tenant']} to {it['to']} ({it['step']})" for it in changes]
    return ", ".join(named) or "none"


def _count(count: int) -> str:
    return f"at least {MAX_COUNT}" if count >= MAX_COUNT else str(count)
