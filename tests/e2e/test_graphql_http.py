"""The endpoint against the reference implementations of its protocols: graphql-http, graphql-ws and graphql-sse."""

import json
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from support.clients import NODE_FOLDER
from support.processes import run, serving


def audits(node: str, *arguments: str) -> list[dict[str, Any]]:
    command = [node, "audit.mjs", *arguments]
    run = subprocess.run(command, cwd=NODE_FOLDER, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_every_audit_of_graphql_over_http_is_ok(node: str, server_url: str) -> None:
    found = audits(node, f"{server_url}/graphql")
    assert [audit for audit in found if audit["status"] != "ok"] == []
    assert len(found) == 61


def test_with_credentials_every_audit_is_ok_too(node: str, tmp_path: Path, mongodb_url: str) -> None:
    settings: dict[str, Any] = {
        "mongodb_url": mongodb_url,
        "database": f"test_{uuid.uuid4().hex}",
        "data_dir": tmp_path / "data",
    }
    token = run("token", "audits", "--new-catalog", "--scope", "release:read", **settings).stdout.strip()
    with serving(tmp_path, authentication="required", introspection="public", **settings) as server:
        found = audits(node, f"{server.url}/graphql", f"Bearer {token}")
        assert [audit for audit in found if audit["status"] != "ok"] == []
        assert len(found) == 61
        assert [audit for audit in audits(node, f"{server.url}/graphql") if audit["status"] != "ok"]


@pytest.mark.parametrize("protocol", ["ws", "sse"])
def test_the_reference_clients_follow_events(node: str, protocol: str, tmp_path: Path) -> None:
    with serving(tmp_path, "--sample") as server:
        found = server.ask("{ releases(first: 20) { nodes { id name } } }")["releases"]["nodes"]
        for release in found:
            given = f'{{id: "{release["id"]}", name: "{release["name"]}", notes: "changed"}}'
            server.ask(f"mutation {{ patchRelease(input: {given}) {{ problem {{ detail }} }} }}")
        done = subprocess.run(
            [node, "follow.mjs", f"{server.url}/graphql", protocol, "20"],
            cwd=NODE_FOLDER,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        viewer, *events, wrong = [json.loads(line) for line in done.stdout.splitlines()]
        assert viewer["data"] == {"viewer": {"subject": "local"}}
        assert [event["data"]["events"] for event in events] == [
            {"id": f"{number:016d}", "type": "release.updated", "release": {"name": release["name"]}}
            for number, release in enumerate(found, 1)
        ]
        assert "this is not the id of an event" in json.dumps(wrong)
        assert server.stop() == 0
