"""The commands in the manifests and the units, run as they are: backups are made, old ones go, migrations end."""

import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from support.processes import SCRIPT, environment, run

DEPLOY = Path(__file__).parents[2] / "deploy"
MONTH = 31 * 86_400
Command = Callable[[Path], list[str]]


def arguments_of(name: str, kind: str) -> list[str]:
    """Return the arguments of the container in a manifest."""
    [document] = [
        document
        for document in yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text())
        if document["kind"] == kind
    ]
    spec = document["spec"].get("jobTemplate", document)["spec"]
    [container] = spec["template"]["spec"]["containers"]
    arguments: list[str] = container["args"]
    return arguments


def kubernetes_backup(folder: Path) -> list[str]:
    return [argument.replace("/backups", str(folder)) for argument in arguments_of("backup.yaml", "CronJob")]


def systemd_backup(_: Path) -> list[str]:
    """Return the command of the unit as systemd starts it."""
    text = (DEPLOY / "systemd/release-catalog-backup.service").read_text()
    [command] = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    return shlex.split(command.replace("%%", "%").replace("$$", "$").replace("/opt/release-catalog/bin/", ""))


def execute(command: list[str], folder: Path, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run a command in the environment of the container or of the unit."""
    env = environment(**settings) | {"STATE_DIRECTORY": str(folder)}
    env["PATH"] = os.pathsep.join([str(Path(SCRIPT).parent), env["PATH"]])
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def url_file(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("secret") / "mongodb_url"
    file.write_text(mongodb_url)
    assert (
        run(
            "token", "first", "--scope", "admin", "--new-catalog", mongodb_url=mongodb_url, database="deployed"
        ).returncode
        == 0
    )
    return file


@pytest.mark.parametrize("backup", [kubernetes_backup, systemd_backup])
def test_a_backup_is_whole_before_an_old_one_goes(backup: Command, url_file: Path, tmp_path: Path) -> None:
    old, recent = tmp_path / "2020-01-01T02-17-00Z.backup", tmp_path / "2020-02-01T02-17-00Z.backup"
    for file, age in ((old, MONTH), (recent, MONTH / 2)):
        file.write_text("")
        os.utime(file, (time.time() - age, time.time() - age))
    failed = execute(backup(tmp_path), tmp_path, mongodb_url_file=url_file, database="missing")
    assert failed.returncode != 0
    assert sorted(tmp_path.iterdir()) == [old, recent]

    done = execute(backup(tmp_path), tmp_path, mongodb_url_file=url_file, database="deployed")
    assert done.returncode == 0, done.stderr
    kept, made = sorted(tmp_path.iterdir())
    assert kept == recent
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ\.backup", made.name)
    assert run("restore", "--check", made).returncode == 0


def test_the_migration_ends(url_file: Path, tmp_path: Path) -> None:
    command = arguments_of("migration-job.yaml", "Job")
    done = execute(command, tmp_path, mongodb_url_file=url_file, database="deployed")
    assert done.returncode == 0, done.stderr
