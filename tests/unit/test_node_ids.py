"""Node ids hold a type and an id, and nothing but a node id is read as one."""

import string

from hypothesis import given
from hypothesis import strategies as st

from release_catalog.domain import node_ids
from release_catalog.domain.node_ids import MAX_NODE_ID, NodeKey
from release_catalog.domain.promotion import content_id, content_place

TYPES = st.sampled_from(["Release", "Catalog", "Event"])
IDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=255)
IN_RELEASES = frozenset({"Artifact"})
URL_SAFE = set(string.ascii_letters + string.digits + "-_")


@given(TYPES, IDS)
def test_a_node_id_gives_back_its_type_and_id(type_: str, id_: str) -> None:
    node_id = node_ids.encode(type_, id_)
    assert set(node_id) <= URL_SAFE
    assert len(node_id) <= MAX_NODE_ID
    assert node_ids.decode(node_id, IN_RELEASES) == NodeKey(type_, id_)


@given(IDS, st.text("0123456789abcdef", min_size=24, max_size=24))
def test_the_node_id_of_a_file_knows_its_release(release_id: str, id_: str) -> None:
    node_id = node_ids.encode("Artifact", id_, release_id)
    assert len(node_id) <= MAX_NODE_ID
    assert node_ids.decode(node_id, IN_RELEASES) == NodeKey("Artifact", id_, release_id)


@given(st.one_of(st.text(), st.text("ABab01-_=+/ \n"), st.binary().map(lambda raw: raw.decode("latin-1"))))
def test_a_text_is_read_only_if_it_is_exactly_a_node_id(text: str) -> None:
    key = node_ids.decode(text, IN_RELEASES)
    assert key is None or node_ids.encode(*key) == text


@given(IDS, st.text())
def test_the_id_of_a_content_gives_back_its_environment_and_path(environment: str, path: str) -> None:
    assert content_place(content_id(environment, path)) == (environment, path)


def test_long_texts_are_not_read() -> None:
    assert node_ids.decode(node_ids.encode("Release", "x" * 9_000), IN_RELEASES) is None
    assert node_ids.decode("\ud800", IN_RELEASES) is None
    content = content_id("\U0001f600" * 256, "\U0001f600" * 1281)
    longest = node_ids.encode("EnvironmentContent", content)
    assert node_ids.decode(longest, IN_RELEASES) == NodeKey("EnvironmentContent", content)
    longest = node_ids.encode("Artifact", "f" * 24, "\U0001f600" * 255)
    assert node_ids.decode(longest, IN_RELEASES) == NodeKey("Artifact", "f" * 24, "\U0001f600" * 255)
