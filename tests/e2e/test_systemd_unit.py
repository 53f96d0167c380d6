"""The command of the systemd unit, with its environment, its credential, its limits and without writable code."""

import ctypes
import os
import re
import resource
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from support import graphql_client
from support.processes import SCRIPT, environment, eventually, run

UNIT = Path(__file__).parents[2] / "deploy/systemd/release-catalog.service"
PR_SET_MDWE = 65


def settings() -> dict[str, list[str]]:
    """Return the values of each setting of the unit, in their order."""
    found: dict[str, list[str]] = defaultdict(list)
    for key, value in re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE):
        found[key].append(value)
    return found


def test_the_command_of_the_unit_serves(tmp_path: Path, mongodb_url: str) -> None:
    unit = settings()
    if sys.platform != "linux":
        pytest.skip("systemd runs on Linux")
    credentials = tmp_path / "credentials"
    credentials.mkdir(mode=0o700)
    [credential] = unit["LoadCredential"]
    secret = credentials / credential.partition(":")[0]
    secret.write_text(f"{mongodb_url}\n")
    secret.chmod(0o400)
    created = run(
        "token", "first", "--scope", "admin", "--new-catalog", mongodb_url=mongodb_url, database="systemd"
    )
    assert created.returncode == 0, created.stderr
    token = created.stdout.split()[-1]

    variables = environment(database="systemd", port=0, data_dir=tmp_path / "none", log_format="json")
    for assignment in unit["Environment"]:
        name, _, value = assignment.partition("=")
        variables[name] = value.replace("%d", str(credentials))
    [command] = unit["ExecStart"]
    _, *arguments = command.split()
    [descriptors] = map(int, unit["LimitNOFILE"])

    def restrict() -> None:
        # Kernels before 6.3 do not know it.
        assert unit["MemoryDenyWriteExecute"] == ["yes"]
        ctypes.CDLL(None).prctl(PR_SET_MDWE, 1, 0, 0, 0)
        os.umask(int(unit["UMask"][0], 8))
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        most = min(descriptors, hard) if hard != resource.RLIM_INFINITY else descriptors
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    log = tmp_path / "log"
    with (
        log.open("wb") as errors,
        subprocess.Popen([SCRIPT, *arguments], env=variables, stderr=errors, preexec_fn=restrict) as process,  # noqa: PLW1509  no thread runs yet
    ):
        try:
            found = eventually(lambda: re.search(r'"url":"(http://[^"]+)/graphql"', log.read_text()))
            assert found, log.read_text()
            headers = {"Authorization": f"Bearer {token}"}
            answer = graphql_client.ask(found[1], "{ viewer { subject } }", headers=headers)
            assert answer["viewer"]["subject"].startswith("token:")
        finally:
            process.send_signal(getattr(signal, unit["KillSignal"][0]))
    assert process.returncode == 0
