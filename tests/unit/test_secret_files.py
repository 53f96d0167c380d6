"""Secret settings may come from files, and no error shows what is in them."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from release_catalog import secret_files, settings
from release_catalog.settings import Settings

SECRET = "5ecret of at least thirty-two bytes"
URL = "mongodb://user:5ecret@db.example/?replicaSet=rs0"
JWT: dict[str, Any] = {"jwt_issuer": "https://i", "jwt_audience": "a"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("RELEASE_CATALOG_")]:
        monkeypatch.delenv(name)


def refused() -> str:
    """The reason for which the settings are refused; it holds no secret."""
    with pytest.raises(pydantic.ValidationError) as error:
        Settings(**JWT)
    assert "5ecret" not in str(error.value) + repr(error.value)
    return "; ".join(part["msg"] for part in error.value.errors())


def shown(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def test_every_secret_setting_has_a_file_variant() -> None:
    """A setting is secret if its type or its representation hides its value, or its name sounds like it."""
    sounds = {
        name for name in Settings.model_fields
        if any(word in name for word in ("secret", "password", "mongodb_url"))
    }  # fmt: skip
    secret = {name for name, field in Settings.model_fields.items() if secret_files.is_secret(field)}
    assert sounds <= secret
    assert secret >= {"jwt_secret", "mongodb_url"}
    assert {f"RELEASE_CATALOG_{name.upper()}_FILE" for name in secret} == set(secret_files.names(Settings))


@pytest.mark.parametrize("variable", secret_files.names(Settings))
@pytest.mark.parametrize("letters", [str.upper, str.lower])
def test_the_content_of_the_file_is_the_setting(
    variable: str, letters: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = variable.removeprefix("RELEASE_CATALOG_").removesuffix("_FILE").lower()
    value = URL if name.endswith("url") else SECRET
    (tmp_path / "secret").write_text(f"{value}\n")
    monkeypatch.setenv(letters(variable), str(tmp_path / "secret"))
    read = Settings(**JWT if name == "jwt_secret" else {})
    assert shown(getattr(read, name)) == value
    assert "5ecret" not in repr(read)
    assert settings.unknown() == ([] if letters is str.upper else settings.unknown())


@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(["", "\n", "\r\n"]))
def test_only_the_last_line_break_is_left_out(text: str, end: str) -> None:
    text = text.rstrip("\r\n") or "x"
    with tempfile.NamedTemporaryFile() as file:
        file.write((text + end).encode())
        file.flush()
        assert secret_files.read(file.name) == text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty: write the secret to it"),
        (b"\n", "is empty: write the secret to it"),
        (b"5ecret\xff" * 10, "is not UTF-8: write the secret as text"),
        (b"5ecret" * 20_000, "is longer than 65536 bytes: name a file that contains only the secret"),
        (b"5ecret", "the secret is too short"),
    ],
)
def test_a_file_with_the_wrong_content_is_refused(
    content: bytes, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(content)
    monkeypatch.setenv("RELEASE_CATALOG_JWT_SECRET_FILE", str(tmp_path / "file"))
    assert reason in refused()


def test_what_is_no_readable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("link")
    places = {
        tmp_path: "is not a regular file",
        tmp_path / "pipe": "is not a regular file",
        Path("/dev/zero"): "is not a regular file",
        tmp_path / "none": "can't be read (No such file or directory)",
        tmp_path / "link": "can't be read (Too many levels of symbolic links)",
    }
    for place, reason in places.items():
        monkeypatch.setenv("RELEASE_CATALOG_JWT_SECRET_FILE", str(place))
        assert f"the file '{place}' in RELEASE_CATALOG_JWT_SECRET_FILE {reason}" in refused()
    if os.geteuid():
        (tmp_path / "locked").touch(mode=0)
        monkeypatch.setenv("RELEASE_CATALOG_JWT_SECRET_FILE", str(tmp_path / "locked"))
        assert "(Permission denied)" in refused()


def test_the_file_and_the_variable_exclude_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text(SECRET)
    monkeypatch.setenv("RELEASE_CATALOG_JWT_SECRET_FILE", str(tmp_path / "file"))
    monkeypatch.setenv("RELEASE_CATALOG_JWT_SECRET", SECRET)
    assert "RELEASE_CATALOG_JWT_SECRET_FILE is set, too: unset one of the two" in refused()
    # An empty variable is one that is not set, as everywhere.
    monkeypatch.setenv("RELEASE_CATALOG_JWT_SECRET", "")
    assert shown(Settings(**JWT).jwt_secret) == SECRET
    monkeypatch.setenv("RELEASE_CATALOG_JWT_SECRET_FILE", "")
    monkeypatch.setenv("RELEASE_CATALOG_JWT_SECRET", SECRET)
    assert shown(Settings(**JWT).jwt_secret) == SECRET


def test_no_other_setting_has_a_file_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELEASE_CATALOG_TENANT_FILE", "/none")
    assert Settings().tenant == "local"
    assert settings.unknown() == ["RELEASE_CATALOG_TENANT_FILE"]


@pytest.mark.parametrize("url", ["5ecret", "http://user:5ecret@db", "user:5ecret@db"])
def test_a_url_of_something_else_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELEASE_CATALOG_JWT_SECRET", SECRET)
    monkeypatch.setenv("RELEASE_CATALOG_MONGODB_URL", url)
    assert "begin it with mongodb:// or mongodb+srv://" in refused()
