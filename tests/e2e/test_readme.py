"""The README: its examples run in the order of the page on one fresh sample, and each gives what is printed.

Every fenced block must be of a kind in `KINDS`, which says what is done with it; each is run, or checked as told there.
"""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from e2e.conftest import NODE_FOLDER, NOT_COMPILED
from release_catalog.settings import Settings
from support.processes import Server, environment, eventually, serving

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
ADDRESS = "127.0.0.1:8000"
# The port of receivers in examples, and what stands in an answer for text that differs each time.
RECEIVER, ANY = "8080", "..."


class Block(NamedTuple):
    """A fenced block: the line where it begins, its language and its text."""

    line: int
    language: str
    text: str


BLOCKS = [
    Block(README.count("\n", 0, found.start()) + 1, found[1], found[2])
    for found in re.finditer(r"^```([^\n]*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
]


class Reader:
    """Somebody who tries the examples one after the other."""

    def __init__(self, server: Server, folder: Path, request: pytest.FixtureRequest) -> None:
        self.server = server
        self.folder = folder
        self.request = request
        self.processes: list[subprocess.Popen[bytes]] = []
        # What the last program prints.
        self.printed: Path | None = None
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self.environment = {**environment(data_dir=folder.parent / "data"), "PATH": path}

    def here(self, text: str) -> str:
        """Return an example for the server of the test."""
        return text.replace(ADDRESS, self.server.url.removeprefix("http://"))

    def make(self, block: Block) -> None:
        """Check the targets of commands that install or test the project, as this run has done already."""
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        for line in block.text.splitlines():
            found = re.fullmatch(r"make ([a-z-]+)(?: +#.*)?", line)
            assert found, line
            assert found[1] in targets

    def console(self, block: Block) -> None:
        """Run each command, and compare what it prints."""
        commands = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE)
        assert "".join(f"$ {command}\n{answer}" for command, answer in commands) == block.text
        for command, answer in commands:
            fallen_back = len(self.server.entries(NOT_COMPILED))
            printed = (self._stream if "curl -N" in command else self._run)(self.here(command), answer)
            pattern = ".*?".join(map(re.escape, answer.rstrip("\n").split(ANY)))
            assert re.fullmatch(pattern, printed.rstrip("\n"), re.DOTALL), printed
            assert len(self.server.entries(NOT_COMPILED)) == fallen_back

    def _run(self, command: str, _: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        return re.sub(r"^Using the database .*\n", "", done.stdout)

    def _stream(self, command: str, answer: str) -> str:
        """Return what a command that does not end prints, as soon as it is as long as the answer."""
        output = self._start(["bash", "-c", f"exec {command}"])
        eventually(lambda: len(output.read_text().rstrip()) >= len(answer.rstrip()))
        return output.read_text()

    def _start(self, command: list[str], **variables: str) -> Path:
        output = self.folder / f"output {len(self.processes)}"
        with output.open("wb") as file:
            env = {**self.environment, **variables}
            process = subprocess.Popen(command, cwd=self.folder, env=env, stdout=file, stderr=subprocess.STDOUT)
        self.processes.append(process)
        self.printed = output
        return output

    def json(self, block: Block) -> None:
        """Save the import document under the name that the text gives it."""
        (self.folder / "release.json").write_text(block.text)

    def graphql(self, block: Block) -> None:
        """Send the document; it succeeds."""
        answer = self.server.ask(self.here(block.text))
        assert all(field["problem"] is None for field in answer.values()), answer

    def python(self, block: Block) -> None:
        self._receive([sys.executable], "receiver.py", block)

    def javascript(self, block: Block) -> None:
        node = self.request.getfixturevalue("node")
        if "require(" in block.text:
            self._receive([node], "receiver.cjs", block)
            return
        if not (packages := self.folder / "node_modules").exists():
            packages.symlink_to(NODE_FOLDER / "node_modules")
        (self.folder / "program.mjs").write_text(self.here(block.text))
        self._start([node, "program.mjs"])

    def _receive(self, program: list[str], name: str, block: Block) -> None:
        """Start a receiver with a webhook of its own; it accepts every event of the examples before it."""
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = str(sock.getsockname()[1])
        create = f'createWebhook(input: {{url: "http://127.0.0.1:{port}/", events: ["*"]}}) {{ secret webhook {{ id }} }}'
        made = self.server.ask(f"mutation {{ {create} }}")["createWebhook"]
        assert RECEIVER in block.text
        (self.folder / name).write_text(block.text.replace(RECEIVER, port))
        self._start([*program, name], SECRET=made["secret"])
        assert eventually(lambda: _answers(int(port)))
        id_ = made["webhook"]["id"]
        self.server.ask(
            f'mutation {{ replayWebhook(input: {{id: "{id_}", after: "0"}}) {{ problem {{ detail }} }} }}'
        )
        query = f'{{ webhook(id: "{id_}") {{ deliveries(first: 100) {{ nodes {{ status }} }} }} }}'

        def statuses() -> list[Any]:
            return [one["status"] for one in self.server.ask(query)["webhook"]["deliveries"]["nodes"]]

        assert eventually(statuses)
        assert set(statuses()) == {"DELIVERED"}

    def output(self, block: Block) -> None:
        """Compare what the program before prints, or check the packages of the layout."""
        if block.text.startswith("src/release_catalog/"):
            names = re.findall(r"(?:^  |· )([a-z_]+)(/|\.py)", block.text, re.MULTILINE)
            missing = [name for name, end in names if not (ROOT / "src/release_catalog" / f"{name}{end}").exists()]
            assert len(names) > 5
            assert not missing
            return
        printed = self.printed
        assert printed, "no program comes before this block"
        eventually(lambda: len(printed.read_text().rstrip()) >= len(block.text.rstrip()))
        assert printed.read_text() == block.text

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


# What is done with the blocks of each language.
KINDS: dict[str, Callable[[Reader, Block], None]] = {
    "shell": Reader.make,
    "console": Reader.console,
    "json": Reader.json,
    "graphql": Reader.graphql,
    "python": Reader.python,
    "js": Reader.javascript,
    "text": Reader.output,
}


def _answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("readme")
    (folder / "examples").mkdir()
    with serving(folder, "--sample", files_allow="127.0.0.1") as server:
        found = Reader(server, folder / "examples", request)
        try:
            yield found
        finally:
            found.close()


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.line}-{block.language or 'none'}")
def test_the_examples_in_the_order_of_the_page(reader: Reader, block: Block) -> None:
    KINDS[block.language](reader, block)


def test_every_block_is_of_a_known_kind() -> None:
    assert {block.language for block in BLOCKS} <= KINDS.keys()
    assert 2 * len(BLOCKS) == len(re.findall(r"^ *```", README, re.MULTILINE)) == README.count("```")
    assert len(BLOCKS) >= 15


def test_every_setting_is_in_the_readme() -> None:
    told = set(re.findall(r"`RELEASE_CATALOG_([A-Z_]+)`", README))
    assert {name.upper() for name in Settings.model_fields} <= told
