"""release-catalog import and verify: S1 from a terminal."""

import functools
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from release_catalog.cli import files
from support import processes
from support.catalog import source


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder that is served, and where."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield tmp_path, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def document(folder: tuple[Path, str], name: str, content: bytes) -> bytes:
    (folder[0] / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    file = {"name": name, "size": len(content), "sha256": digest, "downloadUrl": f"{folder[1]}/{name}"}
    return orjson.dumps(source(name, artifacts=[file]))


def test_import_and_verify(mongodb_url: str, folder: tuple[Path, str]) -> None:
    settings: dict[str, Any] = {"mongodb_url": mongodb_url, "database": "terminal", "files_allow": "127.0.0.1"}
    lines = b"\n".join([document(folder, "a.bin", b"a" * 5_000_000), document(folder, "b.bin", b"b")])
    done = processes.run("import", "-", "--new-catalog", source=lines, **settings)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines() == [
        "Created the draft a.bin 1.0.",
        "  The product 'a.bin' did not exist: it was created with the version scheme ANY.",
        "Created the draft b.bin 1.0.",
        "  The product 'b.bin' did not exist: it was created with the version scheme ANY.",
    ]
    done = processes.run("verify", **settings)
    assert done.returncode == 0
    assert done.stderr.count("1 of 1 files match their declaration.") == 2
    (folder[0] / "b.bin").write_bytes(b"c")
    done = processes.run("verify", **settings)
    assert done.returncode == 1
    assert f"  b.bin: The SHA-256 digest of the file is {hashlib.sha256(b'c').hexdigest()}" in done.stderr
    done = processes.run("verify", "--product", "a.bin", **settings)
    assert done.returncode == 0
    assert done.stderr == "Releases with files: 1.\na.bin 1.0: 1 of 1 files match their declaration.\n"
    done = processes.run("verify", "--product", "nobody", **settings)
    assert (done.returncode, done.stderr) == (1, "The product 'nobody' does not exist: check its id or key.\n")
    done = processes.run("verify", "nobody", **settings)
    assert (done.returncode, done.stderr) == (1, "nobody: The release 'nobody' does not exist: check its id.\n")


def test_a_document_sends_no_control_sequences_to_the_terminal(mongodb_url: str) -> None:
    settings: dict[str, Any] = {"mongodb_url": mongodb_url, "database": "terminal4"}
    evil = "\x1b]0;owned\x07\x1b[31m\u202e[link=https://evil] :skull:"
    lines = orjson.dumps(source(evil)) + b"\n" + orjson.dumps({**source("a"), evil: 1})
    done = processes.run("import", "-", "--new-catalog", "--verification", "skip", source=lines, **settings)
    assert done.returncode == 1
    assert "\\x1b]0;owned\\x07\\x1b[31m\\u202e[link=https://evil] :skull: 1.0: refused" in done.stderr
    assert all(line.isprintable() for line in done.stderr.splitlines())
    assert len(done.stderr.splitlines()) > 2


def test_the_bar_takes_no_name_for_markup(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "200"}.items():
        monkeypatch.setenv(name, value)
    with files.Bar() as bar:
        bar.expect("\x1b]0;owned\x07[link=https://evil] :skull: 1.0", [])
    shown = capsys.readouterr().err
    assert "\\x1b]0;owned\\x07[link=https://evil] :skull: 1.0" in shown
    assert "\x1b]" not in shown


def test_refused_documents_are_reported_and_the_others_imported(
    mongodb_url: str, folder: tuple[Path, str]
) -> None:
    settings: dict[str, Any] = {"mongodb_url": mongodb_url, "database": "terminal2"}
    lines = b'5\n{"name": "x", "artifacts": 7}\n' + orjson.dumps(source("good"))
    done = processes.run("import", "-", "--new-catalog", "--verification", "skip", source=lines, **settings)
    assert done.returncode == 1
    assert "document 1: refused\n  input.release: This is not an import document: give an object.\n" in done.stderr
    assert (
        "  input.release.createdAt: The timestamp is missing: give one such as 2026-03-01T09:30:00Z."
        in done.stderr
    )
    assert "  input.release.artifacts: This is not a list: give a list, which may be empty." in done.stderr
    assert "\nCreated the draft good 1.0.\n" in done.stderr
    again = processes.run(
        "import", "-", "--new-catalog", "--on-conflict", "fail", source=orjson.dumps(source("good")), **settings
    )
    assert again.returncode == 1
    assert "The version 1.0 of this product exists" in again.stderr
    done = processes.run("import", "-", "--new-catalog", source=b"x", **settings)
    assert (done.returncode, "neither one JSON document nor one per line" in done.stderr) == (1, True)


def test_a_dry_run_says_that_nothing_was_stored(mongodb_url: str) -> None:
    settings: dict[str, Any] = {"mongodb_url": mongodb_url, "database": "terminal3"}
    for _ in range(2):
        done = processes.run(
            "import", "-", "--new-catalog", "--dry-run", source=orjson.dumps(source("tried")), **settings
        )
        assert done.returncode == 0
        assert done.stderr.startswith("Created the draft tried 1.0.\n")
        assert done.stderr.endswith("\nDry run: nothing was stored.\n")


def test_an_import_creates_products_only_where_it_may(mongodb_url: str) -> None:
    settings: dict[str, Any] = {"mongodb_url": mongodb_url, "database": "terminal5"}
    lines = orjson.dumps(source("tool", "1.0.0"))
    refused = processes.run("import", "-", "--new-catalog", "--no-create-products", source=lines, **settings)
    assert (refused.returncode, refused.stderr) == (
        1,
        "tool 1.0.0: refused\n  input.projectIdentifier: The product 'tool' does not exist: save it first.\n",
    )
    refused = processes.run("load", "-", "--no-create-products", source=lines, **settings)
    assert (refused.returncode, refused.stderr.splitlines()[-1]) == (1, "0 added, 0 existing, 1 refused")
    done = processes.run("import", "-", "--new-catalog", "--version-scheme", "SEMVER", source=lines, **settings)
    assert done.stderr.endswith("it was created with the version scheme SEMVER.\n")
    done = processes.run("load", "-", "--no-create-products", source=orjson.dumps(source("tool", "1")), **settings)
    assert "line 1: version: '1' is not a SEMVER version" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("verify", "r1", "--product", "tool"), "give either ids or --product"),
        (("verify", "--product", "", "r1"), "give either ids or --product"),
        (("load", "-", "--no-create-products", "--version-scheme", "ANY"), "leave out --version-scheme or"),
        (("import", "-", "--version-scheme", "SEMVER", "--no-create-products"), "leave out --version-scheme or"),
    ],
)
def test_contradictory_options_are_an_error_of_usage(
    mongodb_url: str, arguments: tuple[str, ...], message: str
) -> None:
    done = processes.run(*arguments, source=b"", mongodb_url=mongodb_url, database="never_made")
    assert (done.returncode, done.stdout) == (2, "")
    assert message in " ".join(done.stderr.replace("│", " ").split())


def test_settings_for_files_are_checked(tmp_path: Path) -> None:
    done = processes.run("verify", files_allow="10.0.0.1/8, what", data_dir=tmp_path)
    assert done.returncode == 1
    assert "RELEASE_CATALOG_FILES_ALLOW" in done.stderr
