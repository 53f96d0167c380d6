"""The order of releases and the latest one, in every scheme, as clients get them."""

from typing import Any

import pytest

from support.catalog import Catalog

ORDER = """query($id: ID!) {
  product(id: $id) { versionScheme releases(first: 100, orderBy: {field: VERSION, direction: ASC}) { nodes { version } } }
}"""
LATEST = """query($id: ID!, $constraint: String) {
  latestRelease(productId: $id, constraint: $constraint) { version }
  product(id: $id) { latestRelease(constraint: $constraint) { version } }
}"""
CREATE = """mutation($id: ID!, $version: String!) {
  createRelease(input: {productId: $id, name: "tool", version: $version}) {
    problem { ... on ValidationProblem { violations { field code } } }
  }
}"""
# In rising order; the versions that constraints choose; and one that the scheme refuses.
SCHEMES: dict[str, tuple[list[str], dict[str, str | None], str]] = {
    "DEBIAN": (
        ["1.0~rc1", "1.0", "1.0-1", "1.0.1", "2:2.9-6", "2:2.9+git20200213-1"],
        {"<1.0": "1.0~rc1", "<2:0": "1.0.1", ">=2:2.9,<2:2.9+": "2:2.9-6", ">3:0": None},
        "1.0_1",
    ),
    "PEP440": (
        ["1.0.dev1", "1.0rc1", "1.0", "1.0.post1", "1.1a1", "1.1", "2.0b1"],
        {"~=1.0": "1.1", "==1.0.*": "1.0.post1", ">1.1": "2.0b1", ">=1.1a1,<1.1": None, "<1.0": None, "<=1.1a1": "1.1a1"},
        "1.0-x",
    ),
    "MAVEN": (
        ["1.0-alpha-1", "1.0-M2", "1.0-SNAPSHOT", "1.0", "1.0-sp1", "1.0.1", "2.0"],
        {"[1.0,2.0)": "1.0.1", "(,1.0)": "1.0-SNAPSHOT", "[1.0-M2]": "1.0-M2", "[3,)": None, "<=1.0,!=1.0": "1.0-SNAPSHOT"},
        "1:0",
    ),
    "SEMVER": (
        ["0.9.0", "1.0.0-rc.1", "1.0.0", "1.2.3", "1.10.0", "2.0.0-rc.1", "2.0.0-rc.2"],
        {"^1.0": "1.10.0", "~1.2": "1.2.3", "1.x": "1.10.0", "*": "1.10.0", "^1 || ^0.9": "1.10.0", "2": None,
         "0.9 - 1.2": "1.2.3", "^2.0.0-rc.1": "2.0.0-rc.2", "<2, !=1.10": "1.2.3", "0.9.0 || 1.0.0-rc.1": "1.0.0-rc.1"},
        "1.0",
    ),
    "ANY": (
        ["nightly", "1.0.0-next.3", "1.0.0", "1.9.0", "v1.10.0", "5.2b1", "5.2"],
        {"<5.2": "v1.10.0", "1.10.0": "v1.10.0", ">6": None, "!=5.2": "5.2b1"},
        "",
    ),
    "DOTTED": (["0.9", "1.0", "1.9", "1.10", "2.0.0.1"], {"<2": "1.10", ">=1,<1.10": "1.9", ">3": None}, "v1.0"),
}  # fmt: skip


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_releases_are_in_the_order_of_the_scheme(empty: Catalog, scheme: str) -> None:
    rising, constraints, refused = SCHEMES[scheme]
    product = await empty.product("tool", scheme)
    for version in reversed(rising):
        await empty.put(product, version, status="PUBLISHED")
    found = (await empty.ask(ORDER, id=product["id"]))["product"]
    assert found["versionScheme"] == scheme
    assert [node["version"] for node in found["releases"]["nodes"]] == rising
    for constraint, highest in constraints.items():
        answers = await empty.ask(LATEST, id=product["id"], constraint=constraint)
        expected = highest and {"version": highest}
        assert [answers["latestRelease"], answers["product"]["latestRelease"]] == [expected] * 2, constraint
    made = await empty.ask(CREATE, id=product["id"], version=refused)
    [violation] = made["createRelease"]["problem"]["violations"]
    assert violation["field"] == "input.version"


@pytest.mark.parametrize(
    ("scheme", "constraint", "forms"),
    [
        ("DOTTED", "^7.1", ["DOTTED", ">=1.2,<2"]),
        ("DOTTED", "v7.1.0", ["DOTTED", ">=1.2,<2"]),
        ("ANY", "7.1.x", ["ANY", ">=1.2,<2"]),
        ("SEMVER", "[7.1,)", ["SEMVER", ">=1.2,<2", "^1.2", "~1.2", "1.x", "*", "1.2 - 1.4", "||"]),
        ("DEBIAN", "*", ["DEBIAN", ">=1.2,<2"]),
        ("PEP440", "^7.1", ["PEP440", ">=1.2,<2", "~=1.4", "==1.*"]),
        ("MAVEN", "~7.1", ["MAVEN", ">=1.2,<2", "[1.2,2)"]),
        ("SEMVER", "1" * 257, ["give at most 256"]),
    ],
)
async def test_a_constraint_that_can_not_be_used_is_an_error_that_names_the_forms(
    empty: Catalog, scheme: str, constraint: str, forms: list[str]
) -> None:
    product = await empty.product("tool", scheme)
    error: dict[str, Any] = await empty.error(
        "query($id: ID!, $c: String) { latestRelease(productId: $id, constraint: $c) { id } }",
        id=product["id"],
        c=constraint,
    )
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argument": "constraint"}
    assert error["message"].startswith("constraint: ")
    assert [form for form in forms if form not in error["message"]] == []
