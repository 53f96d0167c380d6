"""Passwords in MongoDB URLs are never printed."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from release_catalog import runtime
from release_catalog.settings import Settings

SECRET = "hunter"


@contextlib.asynccontextmanager
async def opened(*_: Any, **__: Any) -> AsyncIterator[None]:
    yield


async def nothing(_: Any) -> None:
    pass


@pytest.mark.parametrize(
    "url",
    [
        f"mongodb://user:{SECRET}/two@db.example:9/?w=majority",
        f"mongodb://user:{SECRET}?two@db.example:9/",
        f"mongodb://user:{SECRET}#two@db.example:9/",
        f"mongodb://user:one@{SECRET}/two@db.example:9/",
        f"mongodb+srv://user:{SECRET}/two@db.example/",
        f"mongodb://user:{SECRET}%2Ftwo@db.example:9/",
        f"mongodb://user:one@db.example:9/?proxyPassword=x@{SECRET}",
        f"mongodb://user:{SECRET}",
        f"mongodb://user:{SECRET}/catalog?w=majority",
        f"mongodb://user:one@db.example:9,user:{SECRET}/",
    ],
)
@pytest.mark.parametrize("new_catalog", [True, False, None])
def test_no_password_is_printed(
    url: str, new_catalog: bool | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runtime, "open_database", opened)
    # The log would go on to what stands for standard error here, which is closed after this test.
    monkeypatch.setattr("release_catalog.logging_config.configure", lambda *_: None)
    runtime.run_with_database(Settings(mongodb_url=url), nothing, new_catalog=new_catalog)
    printed = capsys.readouterr()
    assert printed.err.startswith("Using the database ")
    assert SECRET not in printed.out + printed.err


@pytest.mark.parametrize(
    "hosts", ["localhost", "10.0.0.1:9,[::1]:10", "a-b.example_c:27017", "%2Ftmp%2Fmongodb.sock"]
)
def test_the_hosts_are_printed(hosts: str) -> None:
    found = runtime.place(Settings(mongodb_url=f"mongodb://user:{SECRET}@{hosts}/", database="one"))
    assert found == f"one of MongoDB at {hosts}"
