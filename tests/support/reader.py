"""Somebody who reads a page of the documentation and tries its examples one after the other."""

import ast
import builtins
import configparser
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import httpx2
import yaml

from support import graphql_client
from support.clients import NODE_FOLDER
from support.pages import ROOT, Block, Page
from support.processes import NOT_COMPILED, Server, environment, eventually

ADDRESS = "127.0.0.1:8000"
# The port of receivers in examples, and what stands in an answer for text that differs each time.
RECEIVER, ANY = "8080", "..."
# These programs change the machine, or come from other projects: their commands are only parsed.
NOT_RUN = "apt apt-get docker git helm kubectl make mongodump mongorestore mongosh npm pip sudo systemctl".split()
# The line by which commands name their database.
DATABASE = re.compile(r"^Using the database .*\n", re.MULTILINE)


class Reader:
    """The reader of one page, with a folder, a terminal, and a server of the sample."""

    def __init__(self, page: Page, folder: Path, serve: Callable[[], Server], node: Callable[[], str]) -> None:
        self.page = page
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        # What the last program prints.
        self.printed: Path | None = None
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self.environment = {
            **environment(data_dir=folder.parent / "data"),
            "PATH": path,
            "HOME": str(folder.parent),
        }
        self._serve = serve
        self._node = node
        self._server: Server | None = None
        self._terminal: Terminal | None = None

    @property
    def server(self) -> Server:
        self._server = self._server or self._serve()
        return self._server

    def read(self, block: Block) -> None:
        """Try a block."""
        KINDS[block.language](self, block)

    def here(self, text: str) -> str:
        """Return an example for the server of the test."""
        return text.replace(ADDRESS, self.server.url.removeprefix("http://"))

    def shell(self, block: Block) -> None:
        """Run commands that print nothing of interest; check those that install or start something."""
        check_syntax(block.text)
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        for name in re.findall(r"^make (?:[A-Z]+=\S+ )*([a-z-]+)", block.text, re.MULTILINE):
            assert name in targets
        # Paths of the system belong to a machine that was set up for it.
        if is_run(block.text) and not re.search(r"(?<![\w.])/(etc|opt|run|usr|var)/", block.text):
            printed, code = self._run(self.here(block.text))
            assert code == 0, printed

    def console(self, block: Block) -> None:
        """Run each command, and compare what it prints."""
        for command, answer in commands(block.text):
            check_syntax(command)
            if not is_run(command):
                continue
            fallen_back = len(self.server.entries(NOT_COMPILED))
            printed = self._stream(command, answer) if "curl -N" in command else self._run(self.here(command))[0]
            assert matches(answer, printed), printed
            assert len(self.server.entries(NOT_COMPILED)) == fallen_back

    def _run(self, command: str) -> tuple[str, int]:
        self._terminal = self._terminal or Terminal(self.folder, self.environment)
        return self._terminal.run(command)

    def _stream(self, command: str, answer: str) -> str:
        """Return what a command that does not end prints, as soon as it is as long as the answer."""
        output = self._start(["bash", "-c", f"exec {self.here(command)}"])
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

    def graphql(self, block: Block) -> None:
        """Send the document. It gives the answer that follows it, or else succeeds."""
        with httpx2.Client(timeout=60) as http:
            answer = graphql_client.post(http, block.text, url=self.server.url).json()
        following = next((other for other in self.page.blocks if other.line > block.line), None)
        if following and following.language == "json" and not block.after:
            expected = json.loads(following.text)
            assert same(
                expected, {name: value for name, value in answer.items() if name in expected or name == "errors"}
            ), answer
        else:
            assert "errors" not in answer, answer
            assert all((field or {}).get("problem") is None for field in answer["data"].values()), answer

    def json(self, block: Block) -> None:
        json.loads(block.text)
        self._save(block, "json")

    def yaml(self, block: Block) -> None:
        list(yaml.safe_load_all(block.text))
        self._save(block, "yml", "yaml")

    def toml(self, block: Block) -> None:
        tomllib.loads(block.text)
        self._save(block, "toml")

    def ini(self, block: Block) -> None:
        configparser.ConfigParser(strict=False, interpolation=None).read_string(block.text)
        self._save(block, "ini", "service", "env", "conf")

    def _save(self, block: Block, *endings: str) -> None:
        """Save a block under the name that the text beside it gives."""
        name = rf"`([\w.-]+\.(?:{'|'.join(endings)}))`"
        if found := re.search(name, block.before) or re.search(name, block.after):
            (self.folder / found[1]).write_text(self.here(block.text))

    def python(self, block: Block) -> None:
        self._save(block, "py")
        if "webhook-signature" in block.text:
            self._receive([sys.executable], "receiver.py", block)
        elif not free_names(block.text):
            (self.folder / "program.py").write_text(self.here(block.text))
            printed, code = self._run("python program.py")
            assert code == 0, printed

    def javascript(self, block: Block) -> None:
        node = self._node()
        if "webhook-signature" in block.text:
            self._receive([node], "receiver.cjs", block)
            return
        (self.folder / "program.mjs").write_text(self.here(block.text))
        if not re.match(r"import\b", block.text):
            # A line for MongoDB's shell.
            subprocess.run([node, "--check", "program.mjs"], cwd=self.folder, check=True)
            return
        if not (packages := self.folder / "node_modules").exists():
            packages.symlink_to(NODE_FOLDER / "node_modules")
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
        elif printed := self.printed:
            eventually(lambda: len(printed.read_text().rstrip()) >= len(block.text.rstrip()))
            assert printed.read_text() == block.text

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        if self._terminal:
            self._terminal.close()


# What is done with the blocks of each language.
KINDS: dict[str, Callable[[Reader, Block], None]] = {
    "shell": Reader.shell,
    "sh": Reader.shell,
    "console": Reader.console,
    "json": Reader.json,
    "yaml": Reader.yaml,
    "toml": Reader.toml,
    "ini": Reader.ini,
    "graphql": Reader.graphql,
    "python": Reader.python,
    "js": Reader.javascript,
    "text": Reader.output,
}


class Terminal:
    """A shell that keeps its variables, its folder and its jobs between commands."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._output = folder.parent / "terminal"
        self._count = 0
        with self._output.open("wb") as file:
            self._process = subprocess.Popen(
                ["bash"],
                cwd=folder,
                env=env,
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(self, command: str) -> tuple[str, int]:
        """Run a command; return what it prints, and its exit code."""
        self._count += 1
        end = re.compile(rf"\n<end {self._count}: (\d+)>\n")
        before = self._output.stat().st_size
        stdin: IO[bytes] | None = self._process.stdin
        assert stdin
        stdin.write(f"{{ {command}\n}} </dev/null; printf '\\n<end {self._count}: %d>\\n' $?\n".encode())
        stdin.flush()

        def printed() -> str:
            with self._output.open("rb") as file:
                file.seek(before)
                return file.read().decode()

        found = eventually(lambda: end.search(printed()) or self._process.poll() is not None, 300)
        assert isinstance(found, re.Match), printed()
        return printed()[: found.start()], int(found[1])

    def close(self) -> None:
        """End the shell and all its jobs."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


def commands(text: str) -> list[tuple[str, str]]:
    """Return the commands of a console block, each with what it prints."""
    found = re.findall(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)
    assert "".join(f"$ {command}\n{answer}" for command, answer in found) == text
    return found


def free_names(program: str) -> set[str]:
    """Return the names that a program uses and does not define; a part of a larger program has some."""
    names = [node for node in ast.walk(ast.parse(program)) if isinstance(node, ast.Name | ast.alias)]
    defined = {node.asname or node.name.partition(".")[0] for node in names if isinstance(node, ast.alias)}
    defined |= {node.id for node in names if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    return {node.id for node in names if isinstance(node, ast.Name)} - defined - set(dir(builtins))


def is_run(command: str) -> bool:
    """Return whether a test runs the command: it changes nothing but its folder, and needs no other software."""
    programs = re.findall(r"(?:^|[|;&(]\s*)(?:[A-Z_]+=\S* )*([\w./-]+)", command, re.MULTILINE)
    return not any(program in NOT_RUN for program in programs)


def check_syntax(command: str) -> None:
    checked = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def matches(answer: str, printed: str) -> bool:
    """Return whether a command printed the answer, in which `...` stands for any text."""
    if not DATABASE.search(answer):
        printed = DATABASE.sub("", printed)
    pattern = ".*?".join(map(re.escape, answer.rstrip("\n").split(ANY)))
    return re.fullmatch(pattern, printed.rstrip("\n"), re.DOTALL) is not None


def same(expected: Any, found: Any) -> bool:
    """Return whether an answer is the expected one, in which `...` stands for any text."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return expected.keys() == found.keys() and all(same(expected[name], found[name]) for name in expected)
    if isinstance(expected, list) and isinstance(found, list):
        return len(expected) == len(found) and all(map(same, expected, found))
    if isinstance(expected, str) and isinstance(found, str):
        return re.fullmatch(".*?".join(map(re.escape, expected.split(ANY))), found, re.DOTALL) is not None
    return bool(expected == found)


def _answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
