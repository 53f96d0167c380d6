"""deploy/systemd/: systemd reads the units without a complaint, and finds them closed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from release_catalog.cli.serve import MAX_GRACE_SECONDS

FOLDER = Path(__file__).parents[2] / "deploy/systemd"
INSTALLED = "/opt/release-catalog/bin/release-catalog"
SERVICES = ["release-catalog.service", "release-catalog-backup.service"]
# Exposures of 10 and less, in tenths: systemd calls 1.5 OK, and an ordinary service has 9.6.
EXPOSURE = 15


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """The units for a program that is installed here."""
    for unit in FOLDER.iterdir():
        text = unit.read_text().replace(INSTALLED, str(Path(sys.executable).with_name("release-catalog")))
        (tmp_path / unit.name).write_text(text)
    return sorted(tmp_path.iterdir())


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if not program:
        pytest.skip("needs systemd-analyze")
    command = [program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def values(name: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", (FOLDER / name).read_text(), re.MULTILINE)


def test_systemd_finds_no_error(units: list[Path]) -> None:
    done = analyze("verify", "--man=no", *units)
    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_finds_an_error(units: list[Path]) -> None:
    unit = units[-1]
    unit.write_text(
        unit.read_text().replace("Persistent=yes", "Persistant=yes").replace("ExecStart=", "ExecSart=")
    )
    assert analyze("verify", "--man=no", unit).stderr


@pytest.mark.parametrize("name", SERVICES)
def test_systemd_calls_it_closed(name: str, units: list[Path]) -> None:
    [unit] = [unit for unit in units if unit.name == name]
    done = analyze("security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE}", unit)
    if "unrecognized option" in done.stderr:
        pytest.skip("systemd is older than 250")
    assert done.returncode == 0, done.stdout


def test_there_is_time_to_stop() -> None:
    [seconds] = values("release-catalog.service", "TimeoutStopSec")
    assert int(seconds) >= MAX_GRACE_SECONDS + 5
    assert values("release-catalog.service", "KillSignal") == ["SIGTERM"]
    assert values("release-catalog.service", "Restart") == ["always"]


@pytest.mark.parametrize("name", SERVICES)
def test_the_secret_comes_as_a_credential(name: str) -> None:
    [credential] = values(name, "LoadCredential")
    key, _, path = credential.partition(":")
    assert path == f"/etc/release-catalog/{key}"
    assert f"RELEASE_CATALOG_MONGODB_URL_FILE=%d/{key}" in values(name, "Environment")
    assert not any("mongodb://" in value for value in values(name, "Environment"))
    assert values(name, "DynamicUser") == ["yes"]


def test_the_timer_starts_the_backup() -> None:
    timers = [unit.stem for unit in FOLDER.glob("*.timer")]
    assert [f"{timer}.service" for timer in timers] == ["release-catalog-backup.service"]


def test_the_time_of_the_backup_is_one() -> None:
    [calendar] = values("release-catalog-backup.timer", "OnCalendar")
    done = analyze("calendar", calendar)
    assert done.returncode == 0, done.stderr
