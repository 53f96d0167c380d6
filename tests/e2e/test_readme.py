"""The commands and examples of the README."""

import re
import subprocess
from pathlib import Path

import pytest

from e2e.conftest import NOT_COMPILED
from release_catalog.settings import Settings
from support.processes import Server

README = (Path(__file__).parents[2] / "README.md").read_text()
SHOWN = re.findall(r"```console\n\$ (.*?)\n(\{.*?)\n```", README, re.DOTALL)


@pytest.mark.parametrize(("command", "answer"), SHOWN, ids=range(len(SHOWN)))
def test_each_command_gives_the_answer_that_is_printed(sample_server: Server, command: str, answer: str) -> None:
    fallen_back = len(sample_server.entries(NOT_COMPILED))
    here = command.replace("http://127.0.0.1:8000", sample_server.url)
    done = subprocess.run(["bash", "-c", here], capture_output=True, text=True, check=True)
    assert done.stdout == answer
    assert len(sample_server.entries(NOT_COMPILED)) == fallen_back


def test_every_console_block_is_checked() -> None:
    assert len(SHOWN) == README.count("```console") >= 4


def test_every_setting_is_in_the_readme() -> None:
    told = set(re.findall(r"`RELEASE_CATALOG_([A-Z_]+)`", README))
    assert {name.upper() for name in Settings.model_fields} <= told
