"""Files that commands write: whole or not at all, and private ones are never anybody else's."""

import os
import stat
from pathlib import Path

import pytest

from release_catalog.cli import streams


def partial(path: Path) -> Path:
    return path.with_name(f"{path.name}.{os.getpid()}.partial")


def test_a_private_file_is_private_from_its_first_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens it before its mode changes reads all of it later."""
    made: list[int] = []
    open_ = os.open

    def watched(path: Path, flags: int, mode: int = 0o777) -> int:
        descriptor = open_(path, flags, mode)
        made.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return descriptor

    monkeypatch.setattr(os, "open", watched)
    monkeypatch.setattr(Path, "chmod", None)
    with streams.whole(str(tmp_path / "file"), private=True) as target:
        target.write(b"secret")
    assert made[0] == 0o600
    assert (tmp_path / "file").read_bytes() == b"secret"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


@pytest.mark.parametrize("private", [True, False])
def test_a_link_at_the_name_of_the_partial_file_leads_nowhere(tmp_path: Path, private: bool) -> None:
    victim, path = tmp_path / "victim", tmp_path / "file"
    victim.write_bytes(b"kept")
    partial(path).symlink_to(victim)
    with streams.whole(str(path), private=private) as target:
        target.write(b"new")
    assert victim.read_bytes() == b"kept"
    assert path.read_bytes() == b"new"
    assert not path.is_symlink()


def test_what_an_interrupted_process_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    partial(path).write_bytes(b"some of it, readable by all")
    with streams.whole(str(path), private=True) as target:
        target.write(b"new")
    assert path.read_bytes() == b"new"
    assert [*tmp_path.iterdir()] == [path]


def test_a_file_that_is_not_whole_has_no_name(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def fail() -> None:
        with streams.whole(str(path)) as target:
            target.write(b"some")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_bytes() == b"before"
    assert [*tmp_path.iterdir()] == [path]


def test_a_folder_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(SystemExit, match="can't be opened: No such file"),
        streams.whole(str(tmp_path / "a" / "b")),
    ):
        pass
