"""API processes whose ports outlive them, and the tokens that clients send to them."""

import datetime
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import jwt

from faults.ports import free_port
from faults.replica_set import wait_for
from support.graphql_client import ask
from support.processes import SCRIPT, environment

DATABASE = "faults"
ADDRESS = "127.0.0.1"
_SECRET = "a secret of the fault harness that is long enough"
_ISSUER, _AUDIENCE = "https://issuer.example", "release-catalog"
_AUTHENTICATION = {"jwt_issuer": _ISSUER, "jwt_audience": _AUDIENCE, "jwt_secret": _SECRET}
_START_SECONDS = 60


class ApiProcess:
    """One `release-catalog serve` on a port of its own; `variables` go into its environment."""

    def __init__(self, folder: Path, mongodb_url: str, variables: Mapping[str, str] | None = None) -> None:
        folder.mkdir(parents=True)
        self.folder, self.port = folder, free_port()
        self.url = f"http://{ADDRESS}:{self.port}"
        settings = settings_for(mongodb_url) | {"port": self.port, "log_format": "json", "cost_per_hour": 0}
        self._environment = environment(**settings, files_allow=ADDRESS) | dict(variables or {})
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    def start(self) -> None:
        """Start the process, and wait until it serves."""
        self.starts += 1
        log = self.folder / f"{self.starts}.log"
        with log.open("wb") as file:
            self.process = subprocess.Popen([SCRIPT, "serve"], stderr=file, env=self._environment)
        ready = f":{self.port}/graphql"
        wait_for(lambda: ready in log.read_text() or not self.running, _START_SECONDS, "the API does not start")
        assert self.running, log.read_text()
        wait_for(self._live, _START_SECONDS, "the API does not answer")

    def _live(self) -> bool:
        return httpx2.get(f"{self.url}/livez", timeout=_START_SECONDS).status_code == httpx2.codes.OK

    @property
    def running(self) -> bool:
        """Whether the process exists."""
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        """The id of the process."""
        assert self.process
        return self.process.pid

    def kill(self) -> None:
        """End the process at once."""
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def ask(self, token: str, query: str, **variables: Any) -> Any:
        """Return the data of an operation that has to succeed."""
        return ask(self.url, query, headers=bearer(token), **variables)


def settings_for(mongodb_url: str) -> dict[str, Any]:
    """Return the settings of every process of the catalog."""
    return {"mongodb_url": mongodb_url, "database": DATABASE, **_AUTHENTICATION}


def bearer(token: str) -> dict[str, str]:
    """Return the header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


def signed_token(tenant: str) -> str:
    """Return a JWT, also good for a process whose clock is an hour ahead or behind."""
    now = datetime.datetime.now(datetime.UTC)
    claims: dict[str, Any] = {
        "iss": _ISSUER,
        "aud": _AUDIENCE,
        "sub": "writer",
        "tenant": tenant,
        "scope": "admin",
    }
    claims |= {"iat": now - datetime.timedelta(hours=2), "exp": now + datetime.timedelta(days=1)}
    return jwt.encode(claims, _SECRET, "HS256")


def stored_token(mongodb_url: str, tenant: str) -> str:
    """Make an access token, which the API looks up in the database."""
    return command(mongodb_url, "token", "faults", "--new-catalog", "--scope", "admin", "--tenant", tenant).strip()


def command(mongodb_url: str, *arguments: str) -> str:
    """Return what a command of the catalog prints; it has to succeed."""
    done = subprocess.run(
        [SCRIPT, *arguments],
        env=environment(**settings_for(mongodb_url)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def python(*arguments: str | Path, **pipes: Any) -> subprocess.Popen[str]:
    """Start a program of this folder in a process of its own."""
    tests = str(Path(__file__).parents[1])
    path = os.pathsep.join([tests, *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, text=True, **pipes)
