"""Loading files of releases and writing them out again, as users do it and into a real MongoDB."""

import fcntl
import gzip
import importlib.resources
import io
import os
import pty
import re
import signal
import subprocess
import sys
import termios
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import orjson
import pymongo
import pymongo.errors
import pytest

from conftest import LOCAL, connected
from release_catalog.cli import load as bulk
from release_catalog.cli import streams
from release_catalog.domain.release import ReleaseDocument
from release_catalog.storage import bulk_load
from release_catalog.storage import database as db
from release_catalog.storage.collection_names import CATALOGS, RELEASES, CollectionName
from support import import_documents as documented
from support.catalog import source
from support.processes import SCRIPT, environment, eventually, peak, run

Settings = dict[str, Any]
MAX_MEMORY_KB = 300 * 1024
# Each command names its database.
NAMED = r"Using the database test_\w+ of MongoDB at 127\.0\.0\.1:\d+\.\n"


@pytest.fixture
def settings(mongodb_url: str, empty_name: str) -> Settings:
    """The settings of commands that share a database."""
    return {"mongodb_url": mongodb_url, "database": empty_name}


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[db.Database]:
    """The same database."""
    async with connected(settings["mongodb_url"], settings["database"]) as database:
        yield database


def ndjson(*sources: Any) -> bytes:
    return b"".join(orjson.dumps(each) + b"\n" for each in sources)


def documents(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """All that the database holds."""
    with pymongo.MongoClient[dict[str, Any]](settings["mongodb_url"]) as client:
        database = client[settings["database"]]
        return {name: list(database[name].find().sort("_id")) for name in database.list_collection_names()}


def exported(settings: Settings) -> list[Any]:
    done = run("export", **settings)
    assert done.returncode == 0
    assert done.stderr == ""
    return [orjson.loads(line) for line in done.stdout.splitlines()]


def without_id(document: dict[str, Any]) -> dict[str, Any]:
    """The document as it was before its release got an id here."""
    return {name: value for name, value in document.items() if name != "id"}


async def load(
    database: db.Database, lines: bytes, *, stop: bool = True, publish: bool = False, catalog: str = "default"
) -> bulk.Loader:
    """Load in this process."""
    loader = bulk.Loader(LOCAL, bulk.Report(0), catalog, publish=publish, stop=stop)
    await loader.run(database, io.BytesIO(lines))
    return loader


async def names(database: db.Database) -> list[str]:
    found: list[str] = await database[RELEASES].distinct("name")
    return found


def debian() -> bytes:
    """The sample: 2,057 releases in the order of createdAt."""
    packed = importlib.resources.files("release_catalog.sample") / "debian.ndjson.gz"
    return gzip.decompress(packed.read_bytes())


def test_loading_again_changes_nothing_and_an_export_gives_all_of_it_back(
    settings: Settings, tmp_path: Path
) -> None:
    lines = debian().splitlines(keepends=True)
    file, copy = tmp_path / "debian.ndjson", tmp_path / "copy.ndjson"
    file.write_bytes(b"".join(reversed(lines)))

    first = run("load", file, "--publish", **settings)
    assert (first.returncode, first.stdout) == (0, "")
    assert first.stderr == "new products: 2057\n2057 added, 0 existing, 0 refused\n"
    before = documents(settings)
    assert {release["status"] for release in before["releases"]} == {"PUBLISHED"}

    again = run("load", file, "--publish", **settings)
    assert (again.returncode, again.stderr) == (0, "0 added, 2057 existing, 0 refused\n")
    assert documents(settings) == before

    copy.write_text("what was there before\n")
    assert run("export", copy, **settings).returncode == 0
    assert [without_id(orjson.loads(line)) for line in copy.read_bytes().splitlines()] == [
        orjson.loads(line) for line in lines
    ]
    again = run("load", copy, "--publish", **settings)
    assert (again.returncode, again.stderr) == (0, "0 added, 2057 existing, 0 refused\n")
    assert documents(settings) == before
    assert sorted(tmp_path.iterdir()) == [copy, file], "nothing half-written is left"


async def test_an_export_loads_into_a_new_database_once_what_it_refers_to_is_there(
    settings: Settings, database: db.Database
) -> None:
    """Projects and pipelines are no part of releases: who loads deliveries saves them first."""
    whole = {**documented.whole(), "author": None}
    del whole["projectIdentifier"]
    others = [source("lib", "2.0", project="lib"), source("bare", private=True)]
    refers_to = {
        "baseImages": [{"id": "image", "name": "image"}],
        "registries": [{"id": "registry", "name": "registry"}],
        "pipelines": [documented.PIPELINE],
        "projects": [documented.PARTIAL, documented.FULL],
    }
    for collection, entries in refers_to.items():
        await bulk_load.put(LOCAL, database, CollectionName[Any](collection), entries)
    await load(database, ndjson(whole, *others))
    lines = run("export", **settings).stdout
    elsewhere = {**settings, "database": f"{settings['database']}_too"}
    async with connected(settings["mongodb_url"], elsewhere["database"]) as empty:
        try:
            refused = run("load", "-", "--on-error", "skip", source=lines.encode(), **elsewhere)
            assert refused.stderr.splitlines()[-1] == "2 added, 0 existing, 1 refused"
            [told] = [line for line in refused.stderr.splitlines() if line.startswith("line ")]
            for part in (
                "baseImageId: No document has the id 'image': save it first.",
                "delivery.pipelineId: The pipeline 'pipe' does not exist: save it first.",
                "delivery.projects[0].projectId: The project 'partial' does not exist: save it first.",
            ):
                assert part in told
            for collection, entries in refers_to.items():
                await bulk_load.put(LOCAL, empty, CollectionName[Any](collection), entries)
            loaded = run("load", "-", source=lines.encode(), **elsewhere)
            assert loaded.stderr == "new products: 1\n1 added, 2 existing, 0 refused\n"
            assert run("export", **elsewhere).stdout == lines
            before = {release["name"]: _lasting(release) async for release in database[RELEASES].find()}
            after = {release["name"]: _lasting(release) async for release in empty[RELEASES].find()}
            assert after == before
        finally:
            await empty.client.drop_database(empty.name)


def _lasting(release: ReleaseDocument) -> dict[str, Any]:
    """A stored release without what it gets anew wherever it is loaded."""
    own = {"etag", "productId", "updatedAt", "importedAt", "importedStatus", "terms", "delivery", "nameSince"}
    kept = {name: value for name, value in release.items() if name not in own}
    kept["artifacts"] = [
        {name: value for name, value in file.items() if name not in {"id", "createdAt", "updatedAt"}}
        for file in release["artifacts"]
    ]
    given: Mapping[str, Any] = release["delivery"] or {}
    kept["delivery"] = {name: given[name] for name in given.keys() - {"status", "startDate"}}
    return kept


HOSTILE: list[tuple[dict[str, Any], str]] = [
    ({"delivery": 5}, "delivery: "),
    ({"delivery": {"cmsDetails": []}}, "delivery.cmsDetails: "),
    ({"delivery": {"projects": ["x"]}}, "delivery.projects[0]: "),
    ({"delivery": {"status": ["x"]}}, "delivery.status: "),
    ({"delivery": {"properties": [{"propertyName": {}, "propertyValue": 1}]}}, "delivery.properties[0].propertyName: "),
    ({"delivery": {"pipelineId": {"$gt": ""}}}, "delivery.pipelineId: "),
    ({"delivery": {"colour": "red"}}, "delivery.colour: "),
    ({"registryArtifact": "x"}, "registryArtifact: "),
    ({"platforms": {}}, "platforms: "),
    ({"platforms": [None]}, "platforms[0]: "),
    ({"baseImageId": {"$ne": None}}, "baseImageId: "),
    ({"revision": 0}, "revision: "),
    ({"customizations": [{"id": "c", "artifact": {"id": "x", "mimeType": "y"}}]}, "customizations[0].artifact.mimeType: "),
]  # fmt: skip


async def test_lines_of_any_shape_are_refused_by_what_is_wrong_with_them(
    database: db.Database, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ndjson(*(source(f"bad-{number}", **given) for number, (given, _) in enumerate(HOSTILE)))
    await load(database, lines + ndjson(source("good")), stop=False)
    told = {line.partition(": ")[0]: line for line in capsys.readouterr().err.splitlines()}
    for number, (_, reason) in enumerate(HOSTILE, start=1):
        assert reason in told[f"line {number}"]
    assert await names(database) == ["good"]


async def test_a_file_does_not_steer_the_terminal(
    database: db.Database, capsys: pytest.CaptureFixture[str]
) -> None:
    steering: dict[str, Any] = {"\x1b[2J\nline 9: \x9b": 1}
    await load(database, ndjson(source("bad", **steering)))
    told, summary = capsys.readouterr().err.splitlines()
    assert told.startswith("line 1: \\x1b[2J\\nline 9: \\x9b: The field ")
    assert summary == "0 added, 0 existing, 1 refused"


def test_a_release_that_grows_too_large_for_a_document_is_refused(settings: Settings) -> None:
    """Short as it is in JSON, each of these files has fields of its own in the database."""
    files = b'{"releaseMetadata":[' + b",".join(b'{"id":"%d"}' % at for at in range(600)) + b"]}"
    large = ndjson(source("large", platformReleaseMetadata=[])).replace(
        b":[]}", b":[" + b",".join([files] * 600) + b"]}"
    )
    assert len(large) < bulk.MAX_LINE_BYTES / 2
    lines = ndjson(source("before")) + large + ndjson(source("behind"))
    told = run("load", "-", "--on-error", "skip", source=lines, **settings).stderr
    assert told.startswith("line 2: The release would take ")
    assert told.endswith("\n2 added, 0 existing, 1 refused\n")


BAD_LINES = [
    (b"{", "This is not JSON: "),
    (b'{"name": "\xff"}', "This is not JSON: "),
    (b"[]", "This is not an import document: give an object."),
    (
        ndjson({"name": "bad", "color": "red"}),
        "color: The field 'color' does not exist here: correct its name, or remove it. version: The text is missing",
    ),
    (
        ndjson(source("bad", dependencies=[{"name": "bad", "version": "1.0"}])),
        "dependencies[0]: A release can't depend on itself: remove this dependency.",
    ),
    (b'{"name": "' + b"x" * bulk.MAX_LINE_BYTES * 2 + b'"}', "The line is too long: give at most 12582912 bytes."),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES, ids=[reason[:20] for _, reason in BAD_LINES])
async def test_a_bad_line_is_told_by_its_number_and_ends_the_load_or_is_skipped(
    database: db.Database, capsys: pytest.CaptureFixture[str], line: bytes, reason: str
) -> None:
    lines = [ndjson(source("before"), source("beside")), line.rstrip(b"\n") + b"\n", ndjson(source("behind"))]
    stopped = await load(database, b"".join(lines))
    assert stopped.stopped
    assert await names(database) == ["before", "beside"]
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("line 3: ")
    for part in reason.split(". "):
        assert part in told[0]
    assert told[1:] == ["new products: 2", "2 added, 0 existing, 1 refused"]

    skipped = await load(database, b"".join(lines), stop=False)
    assert not skipped.stopped
    assert await names(database) == ["before", "behind", "beside"]
    assert capsys.readouterr().err.splitlines()[1:] == ["new products: 1", "1 added, 2 existing, 1 refused"]


async def test_a_reference_that_contradicts_a_release_ends_the_load_just_as_well(
    database: db.Database, capsys: pytest.CaptureFixture[str]
) -> None:
    await load(database, ndjson(source("there", "2.0")))
    there = await database[RELEASES].find_one({"name": "there"})
    assert there is not None
    contradictory = [{"catalogId": there["id"], "name": "there", "version": "1.0"}]
    right = [{"catalogId": there["id"], "name": "there", "version": "2.0"}]
    lines = ndjson(
        source("before", dependencies=right),
        source("bad", dependencies=contradictory),
        *(source(f"behind-{number}") for number in range(3_000)),
        source("bad-too", dependencies=contradictory),
    )
    capsys.readouterr()
    assert (await load(database, lines)).stopped
    assert await names(database) == ["before", "there"]
    assert capsys.readouterr().err.splitlines() == [
        f"line 2: dependencies[0]: The release {there['id']} is there 2.0: correct the id, or the name and version.",
        "new products: 1",
        "1 added, 0 existing, 1 refused",
    ]
    assert not (await load(database, lines, stop=False)).stopped
    assert await database[RELEASES].count_documents({}) == 3_002
    *told, _, summary = capsys.readouterr().err.splitlines()
    assert {line.partition(":")[0] for line in told} == {"line 2", "line 3003"}
    assert summary == "3000 added, 1 existing, 2 refused"


def test_the_exit_code_tells_whether_all_was_read(settings: Settings) -> None:
    lines = ndjson(source("before")) + b"{\n" + ndjson(source("behind"))
    assert run("load", "-", source=lines, **settings).returncode == 1
    assert [each["name"] for each in documents(settings)["releases"]] == ["before"]
    assert run("load", "-", "--on-error", "skip", source=lines, **settings).returncode == 0
    # Ids of two processes follow one another only from second to second.
    assert sorted(each["name"] for each in documents(settings)["releases"]) == ["before", "behind"]


@pytest.mark.parametrize("lines", [b"", b"\n", b"\r\n  \n\t\n"])
async def test_an_empty_file_loads_nothing(database: db.Database, lines: bytes) -> None:
    assert str((await load(database, lines)).report) == "0 added, 0 existing, 0 refused"


async def test_any_line_ends_will_do(database: db.Database) -> None:
    lines = b"\n" + ndjson(source("unix")) + b"\r\n" + ndjson(source("dos")).replace(b"\n", b"\r\n")
    await load(database, lines + ndjson(source("last")).rstrip())
    assert await names(database) == ["dos", "last", "unix"]


async def test_releases_come_in_as_drafts_or_published_into_any_catalog(database: db.Database) -> None:
    await load(database, ndjson(source("draft")))
    await load(database, ndjson(source("published")), publish=True, catalog="other")
    found = {release["name"]: release async for release in database[RELEASES].find()}
    assert (found["draft"]["status"], found["draft"]["catalogId"]) == ("DRAFT", "default")
    assert (found["published"]["status"], found["published"]["catalogId"]) == ("PUBLISHED", "other")
    assert found["published"]["publishedAt"] is not None
    catalogs = {catalog["id"]: catalog["name"] async for catalog in database[CATALOGS].find()}
    assert catalogs == {"default": "Default catalog", "other": "other"}


async def test_long_lines_go_in_small_batches(database: db.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MAX_BATCH_BYTES", 1_000)
    loader = bulk.Loader(LOCAL, bulk.Report(0), "default", publish=False, stop=True)
    lines = ndjson(*(source(f"long-{number}", releaseNotes="x" * 400) for number in range(8)))
    sizes = [len(batch) for _, batch in loader._batches(io.BytesIO(lines))]
    assert sizes == [2, 2, 2, 2, 0]


def test_a_killed_load_can_be_repeated(settings: Settings, tmp_path: Path) -> None:
    lines = debian().splitlines(keepends=True)
    with subprocess.Popen([SCRIPT, "load", "-"], stdin=subprocess.PIPE, env=environment(**settings)) as running:
        assert running.stdin
        running.stdin.writelines(lines[:1_500])
        running.stdin.flush()
        with pymongo.MongoClient[dict[str, Any]](settings["mongodb_url"]) as client:
            releases = client[settings["database"]].releases
            assert eventually(lambda: releases.count_documents({}) > 0)
        running.kill()
    assert 0 < len(documents(settings)["releases"]) < len(lines)
    again = run("load", "-", source=b"".join(lines), **settings)
    assert re.fullmatch(r"new products: \d+\n\d+ added, [1-9]\d* existing, 0 refused\n", again.stderr)
    assert [without_id(one) for one in exported(settings)] == [orjson.loads(line) for line in lines]
    kept = documents(settings)
    projects = {orjson.loads(line)["project"] for line in lines}
    assert {product["key"] for product in kept["products"]} == projects
    assert len(kept["products"]) == len(projects)


def test_a_load_that_waits_for_its_next_line_can_be_ended(settings: Settings) -> None:
    with subprocess.Popen(
        [SCRIPT, "load", "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(**settings)
    ) as running:
        assert running.stdin
        running.stdin.write(ndjson(source("first")))
        running.stdin.flush()
        assert eventually(lambda: not _unread(running.stdin))
        running.terminate()
        assert b"Traceback" not in running.communicate()[1]
    assert running.returncode == 128 + signal.SIGTERM


def _unread(pipe: Any) -> int:
    """Return the number of bytes in a pipe."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_memory_is_bounded_and_progress_is_told_in_plain_lines(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "many.ndjson"
    with file.open("wb") as target:
        for number in range(20_000):
            artifact = {
                "name": "file",
                "size": number,
                "sha256": f"{number:064x}",
                "downloadUrl": "https://a.example",
            }
            target.write(
                ndjson(source(f"release-{number}", artifacts=[artifact], needs=[f"release-{number // 2}x"]))
            )
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([SCRIPT, "load", file], stderr=log, env=environment(**settings))
        memory = peak(process)
    assert process.returncode == 0
    assert memory < MAX_MEMORY_KB
    named, *told = (tmp_path / "log").read_text().splitlines()
    assert re.fullmatch(NAMED, f"{named}\n")
    assert told == [
        "10000 added, 0 existing, 0 refused",
        "20000 added, 0 existing, 0 refused",
        "new products: 20000",
        "20000 added, 0 existing, 0 refused",
    ]

    out, into = os.pipe()
    with subprocess.Popen(
        [SCRIPT, "export"], stdout=into, stderr=subprocess.PIPE, env=environment(**settings)
    ) as export:
        os.close(into)
        with os.fdopen(out, "rb") as reader:
            assert orjson.loads(reader.readline())["author"] == "builds@acme.example"
        stderr = export.communicate(timeout=30)[1].decode()
        assert re.fullmatch(NAMED, stderr), "who reads only the beginning has not met an error"
    assert export.returncode == 1


def test_a_terminal_shows_a_bar(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "some.ndjson"
    file.write_bytes(ndjson(*(source(f"release-{number}") for number in range(1_500))))
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [SCRIPT, "load", file], stderr=theirs, env=environment(**settings) | {"TERM": "xterm", "COLUMNS": "100"}
    ) as running:
        os.close(theirs)
        shown = b""
        while chunk := _read(ours):
            shown += chunk
    os.close(ours)
    assert running.returncode == 0
    assert "━".encode() in shown
    assert b"\x1b[" in shown
    assert b"1500 added, 0 existing, 0 refused\r\n" in shown


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # how Linux says that nobody has the other end any more
        return b""


def test_a_file_that_can_not_be_used_is_named(settings: Settings, tmp_path: Path) -> None:
    assert run("load", "-", source=ndjson(source("a")), **settings).returncode == 0
    nowhere = tmp_path / "no" / "where"
    for command in ("load", "export"):
        done = run(command, nowhere, **settings)
        assert done.returncode == 1
        assert re.fullmatch(rf"{nowhere}\S* can't be opened: No such file or directory.\n", done.stderr)


def test_an_export_that_breaks_off_leaves_what_was_there(tmp_path: Path) -> None:
    target, link = tmp_path / "releases.ndjson", tmp_path / "link"
    target.write_text("of last week\n")
    link.symlink_to(target)
    with pytest.raises(TypeError), streams.whole(str(link)) as half:  # noqa: PT012  it is to break off in the middle
        half.write(b"half")
        orjson.dumps(object())
    assert target.read_text() == "of last week\n"
    with streams.whole(str(link)) as whole:
        whole.write(b"of today\n")
    assert link.is_symlink()
    assert target.read_text() == "of today\n"
    assert sorted(tmp_path.iterdir()) == [link, target]


def test_an_export_to_a_device_leaves_the_device() -> None:
    with streams.whole("/dev/null") as target:
        target.write(b"nothing")
    assert Path("/dev/null").is_char_device()


async def test_batches_that_fail_together_fail_as_one(
    database: db.Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(*_: object, **__: object) -> None:
        await anyio.sleep(0.05)
        raise pymongo.errors.AutoReconnect("gone")

    monkeypatch.setattr(bulk_load, "load", fail)
    lines = ndjson(*(source(f"release-{number}") for number in range(2_500)))
    with pytest.raises(db.Unavailable, match="gone"):
        await load(database, lines)
    assert capsys.readouterr().err == "0 added, 0 existing, 0 refused\n"
