"""Files and images of a release in updates: a patch never removes one, and a replacement is what it says."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from release_catalog.domain import platforms, release, release_parts, release_update, timestamps
from release_catalog.domain.validation import Validator

NOW = timestamps.parse("2026-01-01T00:00:00Z")
PRODUCT: Any = {"id": "p", "catalogId": "c", "versionScheme": "ANY"}
PLATFORMS = st.sampled_from([None, "linux/amd64", "Linux/AMD64", "linux/arm64", "amd64", "windows"])
FILES = st.lists(
    st.builds(
        lambda name, platform, digest: {
            "name": name, "size": 1, "sha256": digest * 64, "downloadUrl": "http://h/f", "platform": platform,
        },
        st.sampled_from("abc"), PLATFORMS, st.sampled_from("0123456789"),
    ),
    max_size=6, unique_by=lambda file: (file["name"], (file["platform"] or "").casefold()),
)  # fmt: skip


def of(files: list[dict[str, Any]]) -> Any:
    artifacts = [
        release_parts.artifact(NOW, **{**file, "platform": platforms.parsed(file["platform"])}) for file in files
    ]
    return release.document("t", PRODUCT, "tool", "1", NOW, artifacts=artifacts)


def updated(before: Any, files: list[dict[str, Any]], *, replace: bool) -> tuple[Any, list[str]]:
    """Return a release after an update of its files, and the codes of the violations."""
    checks = Validator({"artifacts": files}, "input")
    values = release_update.read(checks, NOW)
    release_update.find_files(before, checks, values, replace=replace)
    release_update.unique(checks, values)
    after = release_update.apply_update(before, checks, values, NOW, replace=replace)
    return after, [violation.code for violation in checks.found]


def digests(of: Any) -> dict[tuple[str, str | None], str]:
    return {release_parts.file_key(file): file["sha256"] for file in of["artifacts"]}


@given(FILES, FILES)
def test_a_patch_never_removes_a_file(files: list[dict[str, Any]], more: list[dict[str, Any]]) -> None:
    before = of(files)
    after, codes = updated(before, more, replace=False)
    if codes:
        assert {*codes} <= {"AMBIGUOUS", "REPEATED"}
        return
    assert digests(after).keys() >= digests(before).keys()
    assert len(digests(after)) == len(after["artifacts"])
    ids = {release_parts.file_key(file): file["id"] for file in after["artifacts"]}
    assert all(ids[release_parts.file_key(file)] == file["id"] for file in before["artifacts"])
    given_ = {release_parts.file_key(file): file["sha256"] for file in of(more)["artifacts"]}
    for (name, platform), digest in given_.items():
        found = {key: value for key, value in digests(after).items() if key[0] == name}
        assert found.get((name, platform)) == digest or (platform is None and digest in found.values())


@given(FILES, FILES)
def test_a_replacement_has_just_its_files(files: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    after, codes = updated(of(files), others, replace=True)
    assert codes == []
    assert digests(after) == digests(of(others))
