"""The smaller rules."""

import datetime
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_catalog.domain import (
    dependency_graph,
    hal_urls,
    ids,
    ledger,
    platforms,
    references,
    release_diff,
    release_parts,
    timestamps,
)
from release_catalog.domain.caller import Caller
from release_catalog.domain.hal_urls import BranchAddress
from release_catalog.domain.reference_data import OperatingSystemDocument
from release_catalog.domain.validation import Validator
from release_catalog.storage import search_terms

millis = st.integers(-62135596800000, 253402300799999)


@given(millis)
def test_instants_survive_being_written(value: int) -> None:
    instant = timestamps.from_milliseconds(value)
    assert timestamps.milliseconds(instant) == value
    assert timestamps.parse(timestamps.format_rfc3339(instant)) == instant
    assert timestamps.parse_rfc3339_or_millis(str(value)) == instant


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2023-05-19T08:22:09.586+02:00", "2023-05-19T06:22:09.586Z"),
        ("2023-05-19T06:22:09.586999Z", "2023-05-19T06:22:09.586Z"),
        ("2023-05-19T06:22:09Z", "2023-05-19T06:22:09Z"),
        ("2023-05-19t06:22:09z", "2023-05-19T06:22:09Z"),
    ],
)
def test_input_takes_any_offset_and_keeps_milliseconds(text: str, same: str) -> None:
    assert timestamps.format_rfc3339(timestamps.parse(text)) == same


def test_milliseconds_have_the_digits_of_ascii() -> None:
    with pytest.raises(ValueError, match="RFC 3339"):
        timestamps.parse_rfc3339_or_millis("\u0661\u0662")


@pytest.mark.parametrize(
    "text",
    ["", "now", "2023-05-19", "2023-05-19T06:22:09", "2023-05-19 06:22:09Z", "2023-13-01T00:00:00Z", "2023-W20-5T06:22:09Z",
     "0001-01-01T00:00:00+23:00"],
)  # fmt: skip
def test_invalid_timestamps_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"RFC 3339|year from 1 to 9999"):
        timestamps.parse(text)


def test_a_day_is_a_calendar_date_or_that_of_an_instant() -> None:
    for text in ("2024-02-29", "2024-02-29T00:00:00Z", "2024-03-01T01:00:00+02:00"):
        assert timestamps.parse_date(text) == datetime.date(2024, 2, 29)
    for text in ("2024-W09-4", "20240229", "2023-02-29", "2024-060", "\u0662024-02-29", ""):
        with pytest.raises(ValueError, match="not a date"):
            timestamps.parse_date(text)


def test_ids_look_like_object_ids_and_rise() -> None:
    made = [ids.new() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(len(id_) == 24 and int(id_, 16) for id_ in made)


triples = st.tuples(*[st.text(alphabet="ab/@%2F", min_size=1, max_size=6)] * 3)


@given(triples, triples)
def test_different_references_have_different_strings(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    assert (references.by_name(*one) == references.by_name(*other)) == (one == other)


@given(st.text(), st.text(), st.text(), st.text())
def test_no_tenant_can_spell_the_key_of_another(one: str, other: str, id_: str, other_id: str) -> None:
    keys = [Caller(tenant, "x", frozenset()).key(i) for tenant, i in ((one, id_), (other, other_id))]
    assert (keys[0] == keys[1]) == ((one, id_) == (other, other_id))


def release(**fields: Any) -> Any:
    plain: dict[str, Any] = {"id": "1", "catalogId": "c", "productId": "p", "name": "n", "version": "1", "branch": None, "tag": None,
             "author": None, "dependencies": [], "artifacts": [], "delivery": None, "endOfLifeAt": None, "resolvesName": True}  # fmt: skip
    return {**plain, **fields}


@given(st.dates(), st.dates())
def test_an_end_of_life_is_found_by_exactly_one_term(end: datetime.date, before: datetime.date) -> None:
    wanted = search_terms.ends_before(before)
    found = set(search_terms.search_terms(release(endOfLifeAt=end.isoformat()))) & set(wanted)
    assert len(found) == (end < before)
    assert len(wanted) == len(set(wanted)) <= 158


@pytest.mark.parametrize(
    ("name", "end"),
    [("a.tar.gz", "gz"), ("setup.exe", "exe"), ("README", None), (".profile", None), ("odd.", None)],
)
def test_extensions(name: str, end: str | None) -> None:
    assert release_parts.extension(name) == end


def test_platforms() -> None:
    assert platforms.parsed("win64") == {"name": "win64", "osFamily": None, "architecture": None}
    assert platforms.parsed("linux/amd64") == {"name": "linux/amd64", "osFamily": "linux", "architecture": "amd64"}
    assert platforms.parsed(None) is None
    assert platforms.parsed("/amd64") == {"name": "/amd64", "osFamily": None, "architecture": None}


def test_links_keep_ids_in_one_segment() -> None:
    assert hal_urls.release("a/b", "ä?") == "/v1/catalogs/a%2Fb/releases/%C3%A4%3F"
    made: BranchAddress = {"branch": "7", "packagingType": "CONTAINER_IMAGE"}
    system: OperatingSystemDocument = {"id": "p4", "name": "Photon 4", "distro": "photon", "version": "4"}
    assert hal_urls.branch("wordpress", made, system) == (
        "/v1/applications/product/wordpress/branch/7?packaging=CONTAINER_IMAGE&distro=photon-4"
    )
    assert hal_urls.branch("wordpress", {"branch": None, "packagingType": None}) is None


# ---------------------------------------------------------------- graphs

edges = st.dictionaries(st.sampled_from("abcdefg"), st.lists(st.sampled_from("abcdefg"), max_size=4, unique=True))


def reachable(graph_: dict[str, list[str]], start: str) -> set[str]:
    seen: set[str] = set()
    todo = list(graph_.get(start, []))
    while todo:
        node = todo.pop()
        if node not in seen:
            seen.add(node)
            todo += graph_.get(node, [])
    return seen


@given(edges)
def test_cycles_are_the_groups_that_reach_each_other(graph_: dict[str, list[str]]) -> None:
    reach = {node: reachable(graph_, node) for node in "abcdefg"}
    expected = {frozenset(m for m in reach if m in reach[n] and n in reach[m]) for n in reach if n in reach[n]}
    found = dependency_graph.cycles(graph_)
    assert {frozenset(group) for group in found} == {group for group in expected if len(group) > 1}


def simple_paths(graph_: dict[str, list[str]], start: str, end: str) -> list[list[str]]:
    found = []
    for size in range(7):
        for middle in itertools.permutations([n for n in "abcdefg" if n not in {start, end}], size):
            path = [start, *middle, end]
            if all(target in graph_.get(source, []) for source, target in itertools.pairwise(path)):
                found.append(path)
    return found


@given(st.dictionaries(st.sampled_from("abcde"), st.lists(st.sampled_from("abcde"), max_size=4, unique=True)))
def test_paths_are_all_there_shortest_first(graph_: dict[str, list[str]]) -> None:
    for end in ("a", "e"):
        expected = simple_paths(graph_, "a", end)
        found = dependency_graph.paths(graph_, "a", end, longest=10, limit=1000)
        assert sorted(found) == sorted(expected)
        assert [len(path) for path in found] == sorted(len(path) for path in expected)
        few = dependency_graph.paths(graph_, "a", end, longest=2, limit=2)
        assert len(few) == min(2, sum(len(path) <= 3 for path in expected))


def test_a_graph_as_deep_as_it_gets() -> None:
    chain = {str(number): [str(number + 1)] for number in range(20_000)} | {"20000": ["0"]}
    assert [len(group) for group in dependency_graph.cycles(chain)] == [20_001]


def test_a_search_for_paths_ends() -> None:
    dense = {str(n): [str(m) for m in range(60)] for n in range(60)}
    assert len(dependency_graph.paths(dense, "0", "59", longest=50, limit=100)) == 100


def layers(width: int, depth: int) -> dict[str, list[str]]:
    """A graph in which each node of a layer leads to all nodes of the next one."""
    names = [["start"], *([f"{at}-{n}" for n in range(width)] for at in range(depth)), ["end"]]
    return {node: below for above, below in itertools.pairwise(names) for node in above}


def test_dense_layers_have_their_paths_found_at_once() -> None:
    edges_ = layers(86, 7)
    found = dependency_graph.paths(edges_, "start", "end", longest=10, limit=10)
    assert [len(path) for path in found] == [9] * 10
    assert len({tuple(path) for path in found}) == 10
    # 6 x 86 x 86 edges turned round and walked back, and hardly more.
    assert sum(1 for _ in dependency_graph.path_steps(edges_, "start", "end", longest=10, limit=10)) < 100


def test_no_path_is_shorter_than_the_layers_are_deep() -> None:
    assert dependency_graph.paths(layers(86, 7), "start", "end", longest=7, limit=10) == []


def test_a_search_among_near_misses_gives_way_and_ends() -> None:
    clique = {str(n): [str(m) for m in range(60) if m != n] for n in range(60)} | {"0": ["1"], "59": []}
    search = dependency_graph.path_steps(clique, "0", "nowhere", longest=50, limit=100)
    assert dependency_graph.run(search) == []
    few = dependency_graph.path_steps(clique, "0", "59", longest=50, limit=10**9, effort=10_000)
    assert sum(1 for _ in few) <= 20


def test_a_crowd_behind_a_gate_does_not_hide_the_longer_path_beside_it() -> None:
    crowd = [f"c{n}" for n in range(80)]
    around = ["start", *(f"y{n}" for n in range(1, 9)), "end"]
    edges_ = {above: [below] for above, below in itertools.pairwise(around)}
    edges_ |= {"start": ["gate", "y1"], "gate": [*crowd, "end"]}
    edges_ |= {node: [*(other for other in crowd if other != node), "gate"] for node in crowd}
    found = dependency_graph.paths(edges_, "start", "end", longest=10, limit=10)
    assert found == [["start", "gate", "end"], around]


def test_groups_of_one_take_no_time_that_grows_with_their_number() -> None:
    chain = {str(number): [str(number + 1)] for number in range(100_000)}
    assert dependency_graph.cycles(chain) == []


# ---------------------------------------------------------------- comparison and ledger


def test_entries_of_one_name_are_told_apart_in_linear_time() -> None:
    tried = 0

    class Name(str):
        """A name that counts how often a number is put behind it."""

        def __format__(self, spec: str) -> str:
            nonlocal tried
            tried += 1
            return super().__format__(spec)

    before = [{"name": Name("a"), "releaseId": None, "version": str(number)} for number in range(1_000)]
    changes = release_diff.dependencies({"dependencies": before}, {"dependencies": before[1:]})
    assert [change["key"] for change in changes][:2] == ["a", "a (2)"]
    assert len(changes) == 1_000
    assert tried < 4_000, "each entry has its number at once"
    hidden = [{"name": None, "releaseId": "x", "version": "1"}] * 2
    changes = release_diff.dependencies({"dependencies": []}, {"dependencies": hidden})
    assert [change["key"] for change in changes] == ["#x", "#x (2)"]


def test_a_comparison_tells_what_came_went_and_changed() -> None:
    def file(name: str, size: int) -> dict[str, Any]:
        plain = dict.fromkeys(release_parts.ARTIFACT_FIELDS)
        return {**plain, "name": name, "size": size, "platform": platforms.parsed("win64")}

    before = {"artifacts": [file("a", 1), file("b", 1), file("b", 2)]}
    after = {"artifacts": [file("b", 1), file("b", 3), file("c", 1)]}
    found = [(change["kind"], change["key"]) for change in release_diff.artifacts(before, after)]
    assert found == [("REMOVED", "a"), ("CHANGED", "b (2)"), ("ADDED", "c")]


def test_platforms_in_another_order_are_the_same() -> None:
    plain: dict[str, Any] = dict.fromkeys(release_diff._FIELDS)
    one, other = ({**plain, "platforms": [{"name": name} for name in names]} for names in ("ab", "ba"))
    assert release_diff.fields(one, other) == []
    [change] = release_diff.fields(one, {**plain, "platforms": [{"name": "c"}]})
    assert change == {"path": "platforms", "before": ["a", "b"], "after": ["c"]}


def test_no_record_of_the_ledger_can_be_changed_unnoticed() -> None:
    record: Any = dict.fromkeys(ledger._FIELDS, "x") | {"created": timestamps.now()}
    first = ledger.append_hash(record, None)
    second = ledger.append_hash(record, first)
    assert (first["sequence"], first["previousHash"]) == (1, None)
    assert (second["sequence"], second["previousHash"]) == (2, first["hash"])
    for field in ledger._FIELDS:
        assert ledger.digest({**second, field: "changed"}) != second["hash"], field


# ---------------------------------------------------------------- texts that are too long


@pytest.mark.parametrize(
    ("reader", "limit"),
    [
        (Validator.url, 2048),
        (Validator.email, 320),
        (Validator.instant, 64),
        (Validator.day, 64),
        (Validator.id, 255),
    ],
)
@pytest.mark.parametrize(
    "text", ["http://a" + "b" * 90_000 + " ", "\u0301" * 90_000, "a@" + "b." * 45_000, " " * 90_000]
)
def test_a_text_over_its_limit_is_one_violation_and_is_read_no_further(reader: Any, limit: int, text: str) -> None:
    checks = Validator({"field": text}, "input")
    value = reader(checks, "field")
    assert [(v.code, str(limit) in v.message) for v in checks.found] == [("TOO_LONG", True)]
    assert value is None or len(value) <= limit


def test_at_most_1000_violations_are_listed_and_a_last_one_tells_of_more() -> None:
    checks = Validator({"entries": [{"size": -1}] * 1_000 + [{"size": -1}] * 500}, "input")
    for entry in checks.items("entries", 2_000):
        entry.size("size")
    assert [v.field for v in checks.found[:2]] == ["input.entries[0].size", "input.entries[1].size"]
    assert (len(checks.found), checks.found[-1].code) == (1_001, "TOO_MANY_VIOLATIONS")
