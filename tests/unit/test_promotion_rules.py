"""S3: which of a release's files are promoted, where they come to lie, and what stands against it."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from release_catalog.domain import platforms, promotion
from support.promotions import digest, file, image

PRODUCT: Any = {"key": "tool"}
KEYS = st.sampled_from(["tool", "maven", "raw", "npm"])
LISTS = st.lists(KEYS, max_size=3)
FILES = st.lists(
    st.builds(
        file,
        st.sampled_from("abc"),
        st.integers(0, 2),
        st.sampled_from(["SKIPPED", "VERIFIED", "MISMATCH"]),
        repositoryKey=st.none() | KEYS,
        path=st.none() | st.sampled_from(["x/a", "y"]),
        packageType=st.none() | st.just("maven"),
    ),
    max_size=6,
)
DIGESTS = [f"h/a@sha256:{digest(number)}" for number in (7, 8)]
IMAGES = st.lists(st.builds(image, st.sampled_from([*DIGESTS, "h/a:2"]), st.sampled_from("abc")), max_size=2)


def release(files: list[Any], images: list[Any]) -> Any:
    return {"name": "tool", "version": "1", "status": "PUBLISHED", "artifacts": files, "dockerImages": images}


@given(LISTS, LISTS, KEYS)
def test_s3_an_include_list_that_is_not_empty_wins(included: list[str], excluded: list[str], key: str) -> None:
    wins = promotion.chooses(included, excluded, key)
    assert wins == (key in included if included else key not in excluded)
    assert promotion.chooses(included, [], key) == promotion.chooses(included, excluded, key) or not included
    assert promotion.chooses([], [], key)


@given(FILES, IMAGES, LISTS, LISTS)
def test_s3_the_choice(files: list[Any], images: list[Any], included: list[str], excluded: list[str]) -> None:
    of = release(files, images)
    everything, _ = promotion.chosen(of, PRODUCT, [], [])
    found, wrong = promotion.chosen(of, PRODUCT, included, excluded)
    assert found == [e for e in everything if promotion.chooses(included, excluded, e["repositoryKey"])]
    paths = [entry["path"] for entry in found]
    assert all(entry["path"].startswith(entry["repositoryKey"] + "/") for entry in found)
    codes = {violation.code for violation in wrong}
    assert ("NOTHING_CHOSEN" in codes) == (not found and "NO_DIGEST" not in codes)
    undigested = [image for image in images if image["imageUrl"] == "h/a:2"]
    chosen = undigested if promotion.chooses(included, excluded, "tool") else []
    assert [violation.code for violation in wrong].count("NO_DIGEST") == len(chosen)
    assert ("SAME_PATH" in codes) == (len(set(paths)) < len(paths))
    bad = [
        f for f in files
        if f["verification"]["status"] == "MISMATCH"
        and promotion.chooses(included, excluded, f["repositoryKey"] or "tool")
    ]  # fmt: skip
    assert [violation.code for violation in wrong].count("MISMATCH") == len(bad)
    assert len({(entry["path"], entry["checksum"]) for entry in found}) == len(found)


@given(FILES, IMAGES)
def test_s3_only_what_differs_from_what_is_held_is_in_the_way(files: list[Any], images: list[Any]) -> None:
    found, _ = promotion.chosen(release(files, images), PRODUCT, [], [])
    once = list({entry["path"]: entry for entry in found}.values())
    assert promotion.conflicts(once, {}) == []
    same: Any = {entry["path"]: entry for entry in once}
    assert promotion.conflicts(once, same) == []
    other: Any = {entry["path"]: {"checksum": digest(9)} for entry in once}
    assert len(promotion.conflicts(once, other)) == len(once)


def test_an_image_without_a_digest_is_not_promoted() -> None:
    images = [
        image(f"h/a:1@SHA256:{'B' * 64}", "a"),
        image("h/b@sha256:short", "b"),
        image("h/c", "c"),
        image(f"h/d@sha256:{'B' * 65}", "d"),
    ]
    found, wrong = promotion.chosen(release([], images), PRODUCT, [], [])
    assert [entry["checksum"] for entry in found] == ["b" * 64]
    assert [violation.code for violation in wrong] == ["NO_DIGEST"] * 3
    assert "image b has no digest" in wrong[0].message


def test_files_of_one_name_have_their_platforms_in_their_paths() -> None:
    files = [
        file("a", 1, platform=platforms.parsed("linux/amd64")),
        file("a", 2, platform=platforms.parsed("linux/arm64")),
        file("a", 3),
        file("b", 4, platform=platforms.parsed("win64")),
        file("a", 5, platform=platforms.parsed("win64"), repositoryKey="raw"),
        file("a", 6, platform=platforms.parsed("win32"), path="x/a", repositoryKey="tool"),
    ]
    images = [
        {**image(DIGESTS[0], "i"), "platform": platforms.parsed("linux/amd64")},
        {**image(DIGESTS[1], "i"), "platform": platforms.parsed("linux/arm64")},
    ]
    found, wrong = promotion.chosen(release(files, images), PRODUCT, [], [])
    assert wrong == []
    assert [entry["path"] for entry in found] == [
        "tool/1/linux/amd64/a", "tool/1/linux/arm64/a", "tool/1/a", "tool/1/b", "raw/1/a", "tool/x/a",
        "tool/1/linux/amd64/i", "tool/1/linux/arm64/i",
    ]  # fmt: skip


def test_a_platform_can_not_lead_out_of_a_repository() -> None:
    files = [file("a", 1, platform=platforms.parsed("..")), file("a", 2, platform=platforms.parsed("x"))]
    _, wrong = promotion.chosen(release(files, []), PRODUCT, [], [])
    assert [violation.code for violation in wrong] == ["NOT_A_PATH"]


def test_of_many_taken_paths_the_conflict_names_one_and_counts_the_others() -> None:
    found, _ = promotion.chosen(release([file("a"), file("b"), file("c")], []), PRODUCT, [], [])
    held: Any = {entry["path"]: {"checksum": digest(9)} for entry in found}
    problem = promotion.refusal(promotion.conflicts(found, held))
    assert problem
    assert "tool/1/a" in problem.detail
    assert "2 more paths" in problem.detail
    assert promotion.refusal([]) is None
