"""The file of a backup: what was written is read, and whatever was done to it since is found, with its place."""

import contextlib
import hashlib
import io
import zlib
from typing import Any

import bson
import pytest
from bson.timestamp import Timestamp
from hypothesis import example, given
from hypothesis import strategies as st

from release_catalog.storage import backup_contents, backup_verification
from release_catalog.storage.backup_format import FORMAT, MAX_BLOCK_BYTES, VERSION, Damaged, Header, Reader, Writer
from release_catalog.storage.collection_names import COLLECTIONS, COUNTERS, PROMOTIONS, RELEASES, TOKENS, WEBHOOKS

HEADER: Header = {
    "format": FORMAT,
    "version": VERSION,
    "catalogVersion": "1.2.3",
    "forms": {"releases": 1},
    "instant": "2026-01-01T00:00:00Z",
    "clusterTime": Timestamp(1, 1),
    "database": "x",
    "tenant": "t",
    "lastEvent": 7,
    "secrets": False,
}
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(max_size=9), st.binary(max_size=9)
)
DOCUMENTS = st.lists(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5), VALUES, max_size=4
    ).map(bson.encode),
    min_size=1,
    max_size=5,
)
BLOCKS = st.lists(st.tuples(st.sampled_from(["catalogs", "releases", "events"]), DOCUMENTS), max_size=5)
Blocks = list[tuple[str, list[bytes]]]


def written(blocks: Blocks, **header: Any) -> bytes:
    target = io.BytesIO()
    writer = Writer(target, {**HEADER, **header})  # type: ignore[typeddict-item]
    for name in ("catalogs", "releases", "events"):
        writer.begin(name)
        for collection, documents in blocks:
            if collection == name:
                writer.add(name, documents)
    counts = writer.end()
    assert sum(count["documents"] for count in counts.values()) == sum(len(some) for _, some in blocks)
    return target.getvalue()


def read(file: bytes) -> tuple[Header, Blocks, Reader]:
    reader = Reader(io.BytesIO(file))
    return reader.header, [(block.collection, block.documents) for block in reader.blocks()], reader


def records(file: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(file):
        size = int.from_bytes(file[at : at + 4], "little")
        found.append(file[at : at + size])
        at += size
    return found


def sealed(some: list[bytes]) -> bytes:
    """A file of these records, with digests that fit."""
    digest, file = b"", b""
    for record in some:
        body = record[:-33]
        digest = hashlib.sha256(digest + body).digest()
        file += body + digest + b"\0"
    return file


def changed(record: bytes, /, **fields: Any) -> bytes:
    found = bson.decode(record)
    digest = found.pop("digest")
    return bson.encode({**found, **fields, "digest": digest})


@given(BLOCKS)
def test_what_was_written_is_read(blocks: Blocks) -> None:
    header, found, reader = read(written(blocks))
    assert {name: header[name] for name in HEADER} == HEADER  # type: ignore[literal-required]
    order = ["catalogs", "releases", "events"]
    assert found == sorted(blocks, key=lambda block: order.index(block[0]))
    assert reader.documents == {name: sum(len(d) for n, d in blocks if n == name) for name in order}
    assert len(reader.digest) == 64


def test_blocks_are_small_unless_one_document_is_large() -> None:
    documents = [
        bson.encode({"_id": str(at), "x": bytes(size)})
        for at, size in enumerate([700_000] * 3 + [15 << 20] + [9] * 99)
    ]
    _, found, _ = read(written([("releases", documents)]))
    assert [len(some) for _, some in found] == [1, 1, 1, 1, 99]
    assert [document for _, some in found for document in some] == documents


@given(BLOCKS, st.integers(0), st.integers(1, 255))
def test_every_changed_byte_is_found(blocks: Blocks, at: int, mask: int) -> None:
    file = bytearray(written(blocks))
    file[at % len(file)] ^= mask
    with pytest.raises(Damaged) as damaged:
        read(bytes(file))
    assert "record" in str(damaged.value)
    assert "byte" in str(damaged.value)


def test_each_byte_of_a_file_counts() -> None:
    """Not some of them, as the examples above."""
    file = written([("releases", [bson.encode({"_id": "a"})])])
    for at in range(len(file)):
        other = file[:at] + bytes([file[at] ^ 1]) + file[at + 1 :]
        with pytest.raises(Damaged):
            read(other)


@given(BLOCKS, st.integers(0))
@example([], 0)
def test_a_file_that_was_cut_is_found(blocks: Blocks, at: int) -> None:
    file = written(blocks)
    with pytest.raises(Damaged, match="the file ends in"):
        read(file[: at % len(file)])


@given(BLOCKS, st.data())
def test_a_record_that_is_missing_moved_or_repeated_is_found(blocks: Blocks, data: st.DataObject) -> None:
    some = records(written(blocks))
    one, other = (data.draw(st.integers(0, len(some) - 1)) for _ in range(2))
    for wrong in (
        some[:one] + some[one + 1 :],
        [*some[:one], some[one], *some[one:]],
        [some[other] if at == one else some[one] if at == other else each for at, each in enumerate(some)],
    ):
        if wrong != some:
            with pytest.raises(Damaged):
                read(b"".join(wrong))


def test_bytes_after_the_end_are_found() -> None:
    with pytest.raises(Damaged, match="bytes follow the end"):
        read(written([]) + b"\0")


def test_the_place_of_a_fault_is_told() -> None:
    file = written([("releases", [bson.encode({"_id": "a"})]), ("events", [bson.encode({"_id": "b"})])])
    some = records(file)
    place = len(some[0]) + len(some[1])
    other = file[: place + 20] + b"?" + file[place + 21 :]
    with pytest.raises(Damaged, match=f"^The backup is damaged at record 3, byte {place}: "):
        read(other)


@pytest.mark.parametrize("file", [b"", b"x" * 9_999, bson.encode({"a": 1}), b"\x1f\x8b\x08" + bytes(99)])
def test_another_file_is_no_backup(file: bytes) -> None:
    with pytest.raises(Damaged, match=r"This is not a backup of release-catalog"):
        read(file)


def test_a_newer_format_is_refused() -> None:
    with pytest.raises(Damaged, match=f"has the format {VERSION + 1}, .* with version 1.2.3 or a newer one"):
        read(written([], version=VERSION + 1))


@pytest.mark.parametrize("field", ["tenant", "forms", "secrets", "lastEvent", "instant"])
def test_a_header_with_a_wrong_field_is_refused(field: str) -> None:
    with pytest.raises(Damaged, match="lacks a field"):
        read(written([], **{field: 1.5}))


@pytest.mark.parametrize(
    "fields",
    [
        {"size": 1},
        {"size": MAX_BLOCK_BYTES + 1},
        {"size": -1},
        {"documents": 2},
        {"documents": None},
        {"number": 2},
        {"collection": 7},
        {"data": b"x"},
        {"data": "x"},
        {"data": zlib.compress(b"\x05\0\0\0\0") + b"more"},
        {"data": zlib.compress(b"\xff\xff\xff\xff\0")},
        {"data": zlib.compress(bytes(64 << 20))},
        {"record": "other"},
    ],
    ids=str,
)  # fmt: skip
def test_a_block_that_contradicts_itself_is_refused(fields: dict[str, Any]) -> None:
    """Somebody who makes a file can make digests that fit, too; what is unpacked is bounded anyway."""
    header, block, end = records(written([("releases", [bson.encode({"_id": "a"})])]))
    with pytest.raises(Damaged):
        read(sealed([header, changed(block, **fields), end]))


@pytest.mark.parametrize(
    "fields", [{"blocks": 2}, {"collections": {}}, {"collections": None}, {"record": "header"}], ids=str
)
def test_an_end_that_contradicts_the_blocks_is_refused(fields: dict[str, Any]) -> None:
    header, block, end = records(written([("releases", [bson.encode({"_id": "a"})])]))
    with pytest.raises(Damaged):
        read(sealed([header, block, changed(end, **fields)]))


def test_every_collection_is_backed_up_or_left_out_for_a_reason() -> None:
    named = [*backup_contents.BACKED_UP, *backup_contents.LEFT_OUT]
    assert sorted(named) == sorted(COLLECTIONS)
    assert all(reason.endswith(".") for reason in backup_contents.LEFT_OUT.values())
    assert backup_contents.SECRET.keys() <= set(backup_contents.BACKED_UP)


def verified(*blocks: tuple[str, list[Any]], **header: Any) -> list[str]:
    """Verify a backup in which the collections come as they are given, and return the faults of its ledgers."""
    target = io.BytesIO()
    writer = Writer(target, {**HEADER, **header})  # type: ignore[typeddict-item]
    for name, documents in blocks:
        writer.begin(name)
        writer.add(name, (one if isinstance(one, bytes) else bson.encode(one) for one in documents))
    writer.end()
    return backup_verification.verify(io.BytesIO(target.getvalue())).ledger_faults


def raw(*parts: bytes) -> bytes:
    """A document of these elements, whatever they are."""
    body = b"".join(parts) + b"\0"
    return (len(body) + 4).to_bytes(4, "little") + body


def elements(fields: dict[str, Any]) -> bytes:
    return bson.encode(fields)[4:-1]


def nested(kind: bytes, levels: int) -> bytes:
    document = raw()
    for _ in range(levels):
        document = raw(kind, b"0\0", document)
    return document


@pytest.mark.parametrize(
    "document",
    [
        {"_id": "u/a", "tenantId": "u"},
        {"_id": "t/a", "tenantId": "u"},
        {"_id": "u/a", "tenantId": "t"},
        {"_id": "t2/a"},
        {"_id": 7},
    ],
    ids=str,
)
def test_a_document_of_another_tenant_is_refused(document: Any) -> None:
    with pytest.raises(Damaged, match="has a document of another tenant in releases"):
        verified((RELEASES, [{"_id": "t/x", "tenantId": "t"}, document]))


@pytest.mark.parametrize(
    "parts",
    [
        ({"_id": "t/a", "tenantId": "u"}, {"tenantId": "t"}),
        ({"_id": "u/a", "tenantId": "t"}, {"_id": "t/a"}),
        ({"_id": "t/a", "tenantId": "t", "name": "one"}, {"name": "two"}),
    ],
    ids=str,
)
@pytest.mark.parametrize("tenant", ["t", None])
def test_a_document_with_a_repeated_field_is_refused(tenant: str | None, parts: tuple[Any, ...]) -> None:
    """MongoDB reads the first value, and a dictionary has the last one: a document could be of two tenants."""
    with pytest.raises(Damaged, match="a document with a repeated field in releases"):
        verified((RELEASES, [raw(*map(elements, parts))]), tenant=tenant)


@pytest.mark.parametrize("tenant", ["t", None])
def test_a_document_without_an_id_is_refused(tenant: str | None) -> None:
    """MongoDB would give it one, and nothing would find it again."""
    with pytest.raises(Damaged, match="a document without an _id in releases"):
        verified((RELEASES, [{"tenantId": "t"}]), tenant=tenant)


def test_a_backup_without_secrets_brings_no_access_token() -> None:
    token = {"_id": b"digest", "tenantId": "t", "scopes": ["admin"]}
    verified((TOKENS, [token]), secrets=True)
    with pytest.raises(Damaged, match="without secrets, but has documents in tokens"):
        verified((TOKENS, [token]))


UNREADABLE = [raw(b"\x77a\0b"), b"\x06\0\0\0zz", raw(b"\x02a\0\xff\xff\xff\x7f"), raw(b"\x02a\0\2\0\0\0\xff\0")]


@pytest.mark.parametrize("document", UNREADABLE, ids=str)
@pytest.mark.parametrize("collection", [RELEASES, PROMOTIONS, COUNTERS, WEBHOOKS])
@pytest.mark.parametrize("tenant", ["t", None])
def test_an_unreadable_document_is_refused(tenant: str | None, collection: str, document: bytes) -> None:
    with pytest.raises(Damaged, match="an unreadable document"):
        verified((collection, [document]), tenant=tenant)


def test_a_record_that_is_no_record_is_a_fault_of_the_ledger() -> None:
    odd: list[Any] = [
        {"_id": "a"},
        {"_id": 1, "tenantId": {"a": 1}, "hash": [1], "sequence": "x"},
        {"_id": [1], "previousHash": b""},
    ]
    heads = [{"_id": "t/ledger", "hash": 1}, {"_id": 7, "hash": {}}]
    assert len(verified((PROMOTIONS, odd), (COUNTERS, heads), tenant=None)) >= len(odd)


@given(
    st.sampled_from([RELEASES, PROMOTIONS, COUNTERS, WEBHOOKS]),
    st.lists(st.binary(max_size=30) | st.dictionaries(st.sampled_from("ab_"), VALUES).map(elements), max_size=4),
    st.sampled_from(["t", None]),
)
@example(PROMOTIONS, [nested(b"\x03", 3_000)[4:-1]], None)
@example(PROMOTIONS, [nested(b"\x04", 3_000)[4:-1]], None)
@example(RELEASES, [nested(b"\x04", 3_000)[4:-1]], None)
def test_whatever_a_document_holds_a_backup_is_verified_or_refused(
    collection: str, parts: list[bytes], tenant: str | None
) -> None:
    own = elements({"_id": "t/a", "tenantId": "t"})
    with contextlib.suppress(Damaged):
        verified((collection, [raw(own, *parts)]), tenant=tenant)


@pytest.mark.parametrize("form", ["1", None, {"a": 1}], ids=str)
def test_a_form_that_is_no_number_is_refused(form: Any) -> None:
    with pytest.raises(Damaged, match="lacks a field"):
        verified(forms={"releases": form})


@pytest.mark.parametrize("collection", backup_contents.BACKED_UP)
def test_a_document_without_any_field_is_moved(collection: Any) -> None:
    """A restore must not stop in the middle for a document that is not one of the catalog's."""
    document = backup_contents.moved("t", "u")(collection, bson.encode({"_id": "t/a"}))
    assert bson.decode(document)["_id"] == "u/a"


def test_collections_that_are_unknown_or_in_the_wrong_place_are_refused() -> None:
    own = [{"_id": "t/x", "tenantId": "t"}]
    verified(("catalogs", own), ("releases", own))
    for blocks in ([("releases", own), ("catalogs", own)], [("others", own)]):
        with pytest.raises(Damaged, match="is in the wrong place"):
            verified(*blocks)


def test_documents_of_a_newer_form_are_refused() -> None:
    for newer in ({"releases": 999}, {"others": 1}):
        with pytest.raises(Damaged, match=r"newer form \(.*\): restore it with this version or a newer one"):
            verified(forms=newer)
