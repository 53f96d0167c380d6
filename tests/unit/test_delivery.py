"""S4: what may be asked of a delivery, and the steps that it takes."""

import copy
import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from release_catalog.domain import release_delivery
from release_catalog.domain.validation import Validator
from release_catalog.errors import Violation

NOW = datetime.datetime(2026, 3, 1, 23, 30, tzinfo=datetime.UTC)
Document = dict[str, Any]


def named(*ids: str) -> list[Document]:
    return [{"id": id_, "name": f"name of {id_}"} for id_ in ids]


def defined(name: str, default: str | None = None, *, required: bool = True) -> Document:
    return {"name": name, "required": required, "defaultValue": default}


def project(id_: str, kind: str, streams: list[str], environments: list[str], *properties: Document) -> Any:
    return {"id": id_, "name": f"Project {id_}", "deploymentType": kind, "streams": named(*streams),
            "buildEnvironments": named(*environments), "properties": list(properties)}  # fmt: skip


def pipeline(id_: str, name: str, *properties: Document) -> Any:
    return {"id": id_, "name": name, "properties": list(properties)}


KNOWN = release_delivery.Known(
    pipelines={
        "12345": pipeline("12345", "Pipeline 1", defined("TESTPROPERTY")),
        "plain": pipeline("plain", "Plain", defined("EASY", "3"), defined("OPTIONAL", required=False)),
        "twin 1": pipeline("twin 1", "Twin"),
        "twin 2": pipeline("twin 2", "Twin"),
    },
    projects={
        "33442": project("33442", "PARTIAL", ["3502"], []),
        "6789": project("6789", "FULL", ["6790"], ["22478"]),
        "many": project("many", "FULL", ["s1", "s2"], ["e1", "e2"]),
        "needy": project("needy", "FULL", ["s"], [], defined("URL"), defined("EASY", "3"), defined("EMPTY", "")),
    },
)
# When it began and ended is for the delivery to know, not for its sender to say.
DATES = {"startDate", "endDate"}
STARTED_DELIVERY: Document = {
    "status": "STARTED", "description": "d", "startDate": "2019-02-13", "endDate": None,
    "scheduleBuildExpression": "0 2 * * *", "pipelineId": "12345",
    "projects": [{"projectId": "33442", "projectStreamId": "3502", "buildEnvironmentId": None, "priority": 7,
                  "packageName": "Package 1", "requestAllFiles": False, "projectGroups": "g"}],
    "properties": [{"propertyName": "TESTPROPERTY", "propertyValue": "3"}],
    "cmsDetails": {"cmsInstanceId": "01010", "overrideSettings": True,
                   "overriddenDefaultConfigurations": {"requireChangeTicketForDeployment": True},
                   "overriddenEnvironmentConfigurations": [
                       {"environmentId": "1", "requireChangeTicketForDeployment": True}]},
}  # fmt: skip


def judged(said: Document, before: Any = None, *, replace: bool = False) -> tuple[Any, list[str], list[Violation]]:
    untouched = copy.deepcopy(before)
    checks = Validator(said, "input.delivery", [])
    read = release_delivery.read(checks)
    after, warnings = release_delivery.apply(before, read, KNOWN, checks, NOW, replace=replace)
    assert before == untouched
    return after, warnings, checks.found


def accepted(said: Document, before: Document | None = None, *, replace: bool = False) -> Document:
    after, _, found = judged(said, before, replace=replace)
    assert not found
    return dict(after)


def refused(said: Document, before: Document | None = None, *, replace: bool = False) -> set[tuple[str, str]]:
    _, _, found = judged(said, before, replace=replace)
    assert all(violation.message.endswith(".") for violation in found)
    return {(violation.field.removeprefix("input.delivery."), violation.code) for violation in found}


def value(name: str, text: Any = "v") -> Document:
    return {"propertyName": name, "propertyValue": text}


def partial(**fields: Any) -> Document:
    return {"projectId": "33442", **fields}


def with_entries(*entries: Document) -> Document:
    return {**STARTED_DELIVERY, "projects": [*STARTED_DELIVERY["projects"], *entries]}


PROPERTIES = {"pipelineId": "12345", "properties": [value("TESTPROPERTY", 3)]}


def test_s4_post_example() -> None:
    """The seed's own request, and its answer but for startDate (rule 12)."""
    said = {"status": "STARTED", **PROPERTIES, "projects": [partial(packageName="Package 1")],
            "cmsDetails": {"cmsInstanceId": "01010"}}  # fmt: skip
    assert accepted(said) == {
        "status": "STARTED", "description": None, "startDate": "2026-03-01", "endDate": None,
        "scheduleBuildExpression": None, "pipelineId": "12345",
        "projects": [{"projectId": "33442", "projectStreamId": "3502", "buildEnvironmentId": None, "priority": 1,
                      "packageName": "Package 1", "requestAllFiles": False, "projectGroups": None}],
        "properties": [{"propertyName": "TESTPROPERTY", "propertyValue": "3"}],
        "cmsDetails": {"cmsInstanceId": "01010", "overrideSettings": False, "overriddenDefaultConfigurations": None,
                       "overriddenEnvironmentConfigurations": None},
    }  # fmt: skip


def test_s4_put_example() -> None:
    said = {"status": "NOT_STARTED", "description": "This is the updated Release", "pipelineName": "Pipeline 1",
            "scheduleBuildExpression": None, **PROPERTIES, "cmsDetails": {"cmsInstanceId": "01010"},
            "projects": [{"projectId": "6789", "projectStreamId": "6790"}]}  # fmt: skip
    after, warnings, found = judged(said, STARTED_DELIVERY, replace=True)
    assert not found
    assert len(warnings) == 1
    assert (after["status"], after["scheduleBuildExpression"]) == ("STARTED", None)
    assert after["projects"] == [
        {"projectId": "6789", "projectStreamId": "6790", "buildEnvironmentId": "22478", "priority": 1,
         "packageName": None, "requestAllFiles": False, "projectGroups": None}
    ]  # fmt: skip
    assert after["cmsDetails"]["overriddenEnvironmentConfigurations"] is None


def test_s4_patch_example() -> None:
    said = {"status": "NOT_STARTED", "pipelineName": "Pipeline 1", **PROPERTIES, "cmsDetails": {"cmsInstanceId": "2"},
            "projects": [partial(projectStreamId="3502")]}  # fmt: skip
    after, warnings, found = judged(said, STARTED_DELIVERY)
    assert not found
    assert warnings == ["The delivery stays STARTED: a started delivery can't become NOT_STARTED."]
    assert after == {**STARTED_DELIVERY, "cmsDetails": {**STARTED_DELIVERY["cmsDetails"], "cmsInstanceId": "2"}}


def test_absent_fields_get_their_defaults() -> None:
    after = accepted({})
    assert after["status"] == "NOT_STARTED"
    assert after["projects"] == after["properties"] == []
    nulls = accepted(dict.fromkeys([*after.keys() - {"startDate", "endDate"}, "pipelineName"]))
    assert nulls == after


class TestRule1StartsWithAProject:
    def test_starting(self) -> None:
        assert refused({"status": "STARTED"}) == {("status", "NO_PROJECT")}
        assert refused({"status": "STARTED", "projects": []}) == {("status", "NO_PROJECT")}
        assert refused({"status": "STARTED"}, accepted({})) == {("status", "NO_PROJECT")}
        assert accepted({}) | {"status": "STARTED"} == accepted(
            {"description": None}, {**accepted({}), "status": "STARTED"}
        )

    def test_a_project_that_comes_along_is_one(self) -> None:
        assert (
            accepted({"status": "STARTED", "projects": [{"projectId": "6789"}]}, accepted({}))["startDate"]
            == "2026-03-01"
        )

    @pytest.mark.parametrize("status", ["STARTED", "SUSPENDED"])
    def test_replacing_leaves_what_is_under_way_its_projects(self, status: str) -> None:
        before = {**STARTED_DELIVERY, "status": status}
        assert refused({"projects": []}, before, replace=True) == {("projects", "NO_PROJECT")}
        assert refused({}, before, replace=True) == {("projects", "NO_PROJECT")}

    @pytest.mark.parametrize("status", ["NOT_STARTED", "COMPLETED"])
    def test_replacing_anything_else(self, status: str) -> None:
        assert accepted({}, {**STARTED_DELIVERY, "status": status}, replace=True)["projects"] == []


class TestRule2RequiredProperties:
    def test_of_the_pipeline(self) -> None:
        said = {"pipelineId": "12345", "projects": [{"projectId": "6789"}]}
        assert refused(said) == {("properties", "PROPERTY_REQUIRED")}
        assert refused({**said, "properties": [value("TESTPROPERTY", "")]}) == {
            ("properties", "PROPERTY_REQUIRED")
        }
        accepted({**said, "properties": [value("TESTPROPERTY")]})

    def test_of_the_project(self) -> None:
        said = {"pipelineId": "plain", "projects": [{"projectId": "needy"}]}
        _, _, found = judged(said)
        assert [violation.message for violation in found] == [
            "The project Project needy requires the property 'URL': give it a value.",
            "The project Project needy requires the property 'EMPTY': give it a value.",
        ]
        accepted({**said, "properties": [value("URL"), value("EMPTY")]})

    def test_a_patch_that_adds_the_project_or_the_pipeline(self) -> None:
        assert refused({"projects": [{"projectId": "needy"}]}, STARTED_DELIVERY) == {
            ("properties", "PROPERTY_REQUIRED")
        }
        before = accepted({"projects": [{"projectId": "6789"}]})
        assert refused({"pipelineId": "12345"}, before) == {("properties", "PROPERTY_REQUIRED")}

    def test_an_unrelated_patch_is_not_checked(self) -> None:
        before = {**accepted({"projects": [{"projectId": "6789"}]}), "pipelineId": "12345"}
        accepted({"description": "d"}, before)
        assert refused({"status": "STARTED"}, before) == {("properties", "PROPERTY_REQUIRED")}

    def test_without_a_project_nothing_is_needed_yet(self) -> None:
        accepted({"pipelineId": "12345"})


class TestRule4OnePipeline:
    def test_by_name(self) -> None:
        assert accepted({"pipelineName": "Plain"})["pipelineId"] == "plain"
        assert accepted({"pipelineName": "Twin", "pipelineId": "twin 2"})["pipelineId"] == "twin 2"
        assert accepted({"pipelineName": "Plain"}, accepted({"pipelineId": "12345"}))["pipelineId"] == "plain"

    def test_refusals(self) -> None:
        assert refused({"pipelineId": "12345", "pipelineName": "Plain"}) == {("pipelineName", "ANOTHER_PIPELINE")}
        assert refused({"pipelineName": "Twin"}) == {("pipelineName", "AMBIGUOUS")}
        assert refused({"pipelineName": "Nobody"}) == {("pipelineName", "UNKNOWN")}
        assert refused({"pipelineId": "nobody", "pipelineName": "Plain"}) == {("pipelineId", "UNKNOWN")}
        assert refused({"pipelineId": "x" * 256}) == {("pipelineId", "TOO_LONG")}


class TestRule5PropertiesNeedAPipeline:
    def test_refused(self) -> None:
        assert refused({"properties": [value("A")]}) == {("properties", "NO_PIPELINE")}
        assert refused({"properties": [value("A")]}, STARTED_DELIVERY, replace=True) >= {
            ("properties", "NO_PIPELINE")
        }

    def test_the_pipeline_may_be_there_already(self) -> None:
        accepted({"properties": [value("A")]}, STARTED_DELIVERY)

    def test_an_unknown_pipeline_is_one_mistake(self) -> None:
        assert refused({"properties": [value("A")], "pipelineName": "Nobody"}) == {("pipelineName", "UNKNOWN")}


class TestRule6Streams:
    def test_the_only_one_is_filled_in(self) -> None:
        assert accepted({"projects": [{"projectId": "6789"}]})["projects"][0]["projectStreamId"] == "6790"

    def test_refusals(self) -> None:
        said = {
            "projects": [
                {"projectId": "many"},
                {"projectId": "6789", "projectStreamId": "s1"},
                {"projectId": "nobody"},
            ]
        }
        assert refused(said) == {
            ("projects[0].projectStreamId", "REQUIRED"),
            ("projects[1].projectStreamId", "UNKNOWN"),
            ("projects[2].projectId", "UNKNOWN"),
        }
        assert refused({"projects": [{"projectId": ""}]}) == {("projects[0].projectId", "REQUIRED")}
        assert refused({"projects": [{"projectId": "6789", "projectStreamId": ""}]}) == {
            ("projects[0].projectStreamId", "NOT_AN_ID")
        }

    def test_values_that_the_project_dropped_later_are_kept(self) -> None:
        before = copy.deepcopy(STARTED_DELIVERY)
        before["projects"][0]["projectStreamId"] = "dropped"
        assert accepted({"projects": [partial(priority=2)]}, before)["projects"][0]["projectStreamId"] == "dropped"


class TestRules7And8BuildEnvironments:
    def test_rule_7_the_only_one_is_filled_in(self) -> None:
        said = [{"projectId": "6789"}, {"projectId": "many", "projectStreamId": "s1"}]
        first, second = accepted({"projects": said})["projects"]
        assert (first["buildEnvironmentId"], second["buildEnvironmentId"]) == ("22478", None)

    def test_rule_8_it_is_one_of_the_project(self) -> None:
        entry = {"projectId": "many", "projectStreamId": "s1"}
        assert (
            accepted({"projects": [{**entry, "buildEnvironmentId": "e2"}]})["projects"][0]["buildEnvironmentId"]
            == "e2"
        )
        found = refused({"projects": [{**entry, "buildEnvironmentId": "22478"}]})
        assert found == {("projects[0].buildEnvironmentId", "UNKNOWN")}


class TestRule9Full:
    def test_refused(self) -> None:
        found = refused({"projects": [{"projectId": "6789", "packageName": "p", "requestAllFiles": True}]})
        assert found == {("projects[0].packageName", "FORBIDDEN"), ("projects[0].requestAllFiles", "FORBIDDEN")}

    @pytest.mark.parametrize(
        "fields", [{"requestAllFiles": False}, {"requestAllFiles": None, "packageName": None}, {"packageName": ""}]
    )
    def test_an_explicit_default_equals_an_absent_field(self, fields: Document) -> None:
        entry = accepted({"projects": [{"projectId": "6789", **fields}]})["projects"][0]
        assert (entry["packageName"], entry["requestAllFiles"]) == (None, False)


class TestRule10Partial:
    @pytest.mark.parametrize(
        "fields", [{}, {"requestAllFiles": False}, {"packageName": "", "requestAllFiles": None}]
    )
    def test_a_package_is_required(self, fields: Document) -> None:
        assert refused({"projects": [partial(**fields)]}) == {("projects[0].packageName", "REQUIRED")}

    def test_unless_all_files_are_requested_where_it_is_forbidden(self) -> None:
        accepted({"projects": [partial(requestAllFiles=True)]})
        found = refused({"projects": [partial(requestAllFiles=True, packageName="p")]})
        assert found == {("projects[0].packageName", "FORBIDDEN")}

    def test_a_patch_is_judged_as_merged(self) -> None:
        found = refused({"projects": [partial(packageName="Package 1", requestAllFiles=True)]}, STARTED_DELIVERY)
        assert found == {("projects[0].packageName", "FORBIDDEN")}


class TestRule11Schedule:
    def test_each_expression_is_named(self) -> None:
        assert accepted({"scheduleBuildExpression": "0 2 * * *; 0 0 12 ? * MON-FRI"})
        _, _, found = judged({"scheduleBuildExpression": "0 2 * * *;1 2 3;;61 * * * *"})
        assert [(v.field, v.code) for v in found] == [("input.delivery.scheduleBuildExpression", "NOT_CRON")] * 3
        assert "'1 2 3'" in found[0].message

    def test_limits(self) -> None:
        accepted({"scheduleBuildExpression": ";".join(["0 2 * * *"] * 50)})
        assert refused({"scheduleBuildExpression": ";".join(["0 2 * * *"] * 51)}) == {
            ("scheduleBuildExpression", "TOO_MANY")
        }
        assert refused({"scheduleBuildExpression": "0 2 * * *" + " " * 1024}) == {
            ("scheduleBuildExpression", "TOO_LONG")
        }
        assert refused({"scheduleBuildExpression": ""}) == {("scheduleBuildExpression", "NOT_CRON")}


class TestRule12Status:
    @pytest.mark.parametrize("status", ["SUSPENDED", "COMPLETED"])
    @pytest.mark.parametrize("replace", [False, True])
    def test_only_not_started_and_started_may_be_requested(self, status: str, replace: bool) -> None:
        then = {**STARTED_DELIVERY, "status": status}
        said = {name: value for name, value in then.items() if name not in DATES}
        for before in (None, STARTED_DELIVERY, then):
            assert refused(said, before, replace=replace) == {("status", "WRONG_STATUS")}

    @pytest.mark.parametrize("status", ["SUSPENDED", "COMPLETED"])
    def test_started_does_not_resume(self, status: str) -> None:
        _, _, [violation] = judged({"status": "STARTED"}, {**STARTED_DELIVERY, "status": status})
        assert violation.code == "WRONG_STATUS"
        assert "setDeliveryStatus" in violation.message

    @pytest.mark.parametrize("status", ["STARTED", "SUSPENDED", "COMPLETED"])
    @pytest.mark.parametrize("replace", [False, True])
    def test_not_started_leaves_a_started_delivery_with_a_warning(self, status: str, replace: bool) -> None:
        before = {**STARTED_DELIVERY, "status": status, "endDate": "2020-01-01"}
        entries = {"projects": STARTED_DELIVERY["projects"], **PROPERTIES}
        after, warnings, found = judged({"status": "NOT_STARTED", **entries}, before, replace=replace)
        assert not found
        assert len(warnings) == 1
        assert [after[field] for field in ("status", "startDate", "endDate")] == [
            status,
            "2019-02-13",
            "2020-01-01",
        ]
        _, silent, _ = judged(entries, before, replace=replace)
        assert silent == []

    def test_asking_again_for_started_changes_nothing(self) -> None:
        assert judged({"status": "STARTED"}, STARTED_DELIVERY) == (STARTED_DELIVERY, [], [])


class TestPatchMatchesProjects:
    def test_by_project_and_package(self) -> None:
        first, second = accepted({"projects": [partial(packageName="B", priority=2)]}, STARTED_DELIVERY)[
            "projects"
        ]
        assert first == STARTED_DELIVERY["projects"][0]
        assert (second["packageName"], second["priority"]) == ("B", 2)
        [only] = accepted({"projects": [partial(packageName="Package 1", priority=2)]}, STARTED_DELIVERY)[
            "projects"
        ]
        assert only == {**STARTED_DELIVERY["projects"][0], "priority": 2}

    def test_without_a_package_where_there_are_several(self) -> None:
        before = with_entries({**STARTED_DELIVERY["projects"][0], "packageName": "B"})
        assert refused({"projects": [partial(priority=2)]}, before) == {("projects[0].packageName", "AMBIGUOUS")}
        found = refused({"projects": [partial(priority=2), partial(packageName="B")]}, STARTED_DELIVERY)
        assert found == {("projects[0].packageName", "AMBIGUOUS")}

    def test_all_files_stand_beside_packages(self) -> None:
        after = accepted({"projects": [partial(requestAllFiles=True)]}, STARTED_DELIVERY)
        assert [entry["packageName"] for entry in after["projects"]] == ["Package 1", None]
        assert accepted({"projects": [partial(priority=3)]}, after)["projects"][1]["priority"] == 3

    def test_a_package_completes_an_entry_that_lacks_it(self) -> None:
        """The project was FULL when it was added."""
        before = copy.deepcopy(STARTED_DELIVERY)
        before["projects"][0]["packageName"] = None
        [entry] = accepted({"projects": [partial(packageName="A")]}, before)["projects"]
        assert (entry["packageName"], entry["priority"]) == ("A", 7)

    def test_one_entry_is_meant_once(self) -> None:
        twice = [partial(packageName="Package 1"), partial(priority=2)]
        assert refused({"projects": twice}, STARTED_DELIVERY) == {("projects[1]", "REPEATED")}
        twice = [{"projectId": "6789"}, {"projectId": "6789", "packageName": None}]
        assert refused({"projects": twice}) == {("projects[1]", "REPEATED")}


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (3, "3"),
        (True, "true"),
        (False, "false"),
        (3.0, "3.0"),
        (0.1, "0.1"),
        (2**70, str(2**70)),
        ("", ""),
        ("a\nb", "a\nb"),
    ],
)
def test_values_become_text(said: Any, text: str) -> None:
    after = accepted({"pipelineId": "plain", "properties": [value("A", said)]})
    assert after["properties"] == [value("A", text)]


@pytest.mark.parametrize("said", [None, [], {}, [1], float("inf"), float("nan")])
def test_other_values_are_refused(said: Any) -> None:
    assert refused({"pipelineId": "plain", "properties": [value("A", said)]}) == {
        ("properties[0].propertyValue", "NOT_A_VALUE")
    }


def test_limits() -> None:
    assert refused({
        "description": "x" * 4097,
        "pipelineId": "plain",
        "pipelineName": "x" * 257,
        "projects": [{"projectId": "6789", "priority": 0, "projectGroups": "x" * 1025},
                     partial(packageName="x" * 257, priority=2**31), partial(packageName="y", priority=True)],
        "properties": [value("x" * 257, "x" * 4097), value("", "")],
        "cmsDetails": {"cmsInstanceId": "x" * 256},
    }) == {
        ("description", "TOO_LONG"), ("pipelineName", "TOO_LONG"), ("pipelineName", "ANOTHER_PIPELINE"),
        ("projects[0].priority", "NOT_A_PRIORITY"), ("projects[0].projectGroups", "TOO_LONG"),
        ("projects[1].packageName", "TOO_LONG"), ("projects[1].priority", "NOT_A_PRIORITY"),
        ("projects[2].priority", "NOT_A_PRIORITY"),
        ("properties[0].propertyName", "TOO_LONG"), ("properties[0].propertyValue", "TOO_LONG"),
        ("properties[1].propertyName", "REQUIRED"), ("cmsDetails.cmsInstanceId", "TOO_LONG"),
    }  # fmt: skip


def test_limits_of_lists() -> None:
    entries = [partial(packageName=str(number)) for number in range(250)]
    values = [value(str(number)) for number in range(250)]
    rules = [{"environmentId": str(number), "requireChangeTicketForDeployment": True} for number in range(2, 252)]
    full = accepted({"pipelineId": "plain", "projects": entries, "properties": values})
    assert refused({"projects": [partial(packageName="one more")], "properties": [value("one more")]}, full) == {
        ("projects", "TOO_MANY"), ("properties", "TOO_MANY"),
    }  # fmt: skip
    cms = {"cmsDetails": {"overriddenEnvironmentConfigurations": rules}}
    accepted(cms)
    assert refused(cms, STARTED_DELIVERY) == {("cmsDetails.overriddenEnvironmentConfigurations", "TOO_MANY")}
    assert refused({"projects": [*entries, partial(packageName="one more")]}) == {("projects", "TOO_MANY")}


def test_keys_are_given_once() -> None:
    rule = {"environmentId": "1", "requireChangeTicketForDeployment": True}
    said = {"pipelineId": "plain", "properties": [value("A"), value("A", 2)],
            "cmsDetails": {"overriddenEnvironmentConfigurations": [rule, rule]}}  # fmt: skip
    assert refused(said) == {
        ("properties[1].propertyName", "REPEATED"),
        ("cmsDetails.overriddenEnvironmentConfigurations[1].environmentId", "REPEATED"),
    }


def test_all_violations_come_together() -> None:
    said = {
        "status": "COMPLETED", "pipelineId": "12345", "pipelineName": "Plain", "description": "x" * 4097,
        "scheduleBuildExpression": "often", "properties": [value("A", [])],
        "projects": [{"projectId": "6789", "packageName": "p", "buildEnvironmentId": "e1"}, partial(), {"projectId": "many"}],
    }  # fmt: skip
    assert refused(said) == {
        ("status", "WRONG_STATUS"), ("pipelineName", "ANOTHER_PIPELINE"), ("description", "TOO_LONG"),
        ("scheduleBuildExpression", "NOT_CRON"), ("properties[0].propertyValue", "NOT_A_VALUE"),
        ("properties", "PROPERTY_REQUIRED"), ("projects[0].packageName", "FORBIDDEN"),
        ("projects[0].buildEnvironmentId", "UNKNOWN"), ("projects[1].packageName", "REQUIRED"),
        ("projects[2].projectStreamId", "REQUIRED"),
    }  # fmt: skip


def test_references_to_look_up() -> None:
    said = {"pipelineName": "Plain", "projects": [{"projectId": "6789"}, {"projectId": ""}], "properties": None}
    read = release_delivery.read(Validator(said, "input.delivery", []))
    assert release_delivery.references(None, read) == release_delivery.References(
        frozenset(), frozenset({"Plain"}), frozenset({"6789"})
    )
    before: Any = STARTED_DELIVERY
    assert release_delivery.references(before, read) == release_delivery.References(
        frozenset({"12345"}), frozenset({"Plain"}), frozenset({"6789", "33442"})
    )


def test_patching_the_change_management_goes_field_by_field() -> None:
    rules = [{"environmentId": id_, "requireChangeTicketForDeployment": False} for id_ in "12"]
    patch = {"cmsDetails": {"overrideSettings": None, "overriddenEnvironmentConfigurations": rules}}
    assert accepted(patch, STARTED_DELIVERY)["cmsDetails"] == {
        **STARTED_DELIVERY["cmsDetails"], "overriddenEnvironmentConfigurations": rules
    }  # fmt: skip


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Document]:
    return st.fixed_dictionaries({}, optional=fields)


entries = st.one_of(
    st.fixed_dictionaries(
        {"projectId": st.just("33442")},
        optional={
            "packageName": st.sampled_from([None, "", "A", "B", "Package 1"]),
            "requestAllFiles": st.sampled_from([None, False, True]),
            "priority": st.none() | st.integers(1, 9),
        },
    ),
    st.fixed_dictionaries(
        {"projectId": st.just("6789")}, optional={"projectGroups": st.none() | st.text("ab", max_size=2)}
    ),
    st.fixed_dictionaries({"projectId": st.just("many"), "projectStreamId": st.sampled_from(["s1", "s2"])}),
)
rules = st.fixed_dictionaries(
    {"environmentId": st.sampled_from("123"), "requireChangeTicketForDeployment": st.booleans()}
)
deliveries = optional(
    status=st.sampled_from([None, "NOT_STARTED", "STARTED"]),
    description=st.none() | st.text("ab", max_size=2),
    scheduleBuildExpression=st.sampled_from([None, "0 2 * * *"]),
    pipelineId=st.sampled_from([None, "plain", "twin 1"]),
    projects=st.none() | st.lists(entries, max_size=3),
    properties=st.none() | st.lists(st.builds(value, st.sampled_from("AB"), st.integers() | st.text("ab", max_size=2)), max_size=2),
    cmsDetails=st.none() | optional(
        cmsInstanceId=st.none() | st.sampled_from("12"),
        overrideSettings=st.none() | st.booleans(),
        overriddenEnvironmentConfigurations=st.none() | st.lists(rules, max_size=2),
    ),
)  # fmt: skip


@given(deliveries, deliveries, st.sampled_from(["STARTED", "SUSPENDED", "COMPLETED"]))
@settings(max_examples=400)
def test_patching(first: Document, second: Document, later: str) -> None:
    """A patch never removes, and the same one again changes nothing."""
    before, _, found = judged(first)
    if found:
        return
    if before["status"] == "STARTED":
        before["status"] = later
    once, _, found = judged(second, before)
    if found:
        return
    again, _, found = judged(second, once)
    assert (again, found) == (once, [])
    assert {p["propertyName"] for p in before["properties"]} <= {p["propertyName"] for p in once["properties"]}
    kept = [(p["projectId"], p["packageName"]) for p in once["projects"]]
    assert [(p["projectId"], p["packageName"]) for p in before["projects"]] == kept[: len(before["projects"])]
    assert len(set(kept)) == len(kept)
    assert all(once[field] is not None for field, value in before.items() if value is not None)


@given(deliveries)
@settings(max_examples=200)
def test_replacing_a_delivery_with_itself_changes_nothing(said: Document) -> None:
    before, _, found = judged(said)
    if not found:
        again = {name: value for name, value in before.items() if name not in DATES}
        assert judged(again, before, replace=True)[0::2] == (before, [])


STATUSES = ["NOT_STARTED", "STARTED", "SUSPENDED", "COMPLETED"]
ALLOWED = {
    ("NOT_STARTED", "STARTED"), ("STARTED", "SUSPENDED"), ("SUSPENDED", "STARTED"), ("SUSPENDED", "COMPLETED"),
    ("STARTED", "COMPLETED"),
}  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(STATUSES), st.booleans()), max_size=8), st.booleans())
@settings(max_examples=300)
def test_only_the_steps_of_rule_12_are_taken(steps: list[tuple[str, bool]], has_project: bool) -> None:
    now: Any = {**accepted({}), "projects": STARTED_DELIVERY["projects"] if has_project else []}
    for to, running in steps:
        after: Any
        after, found = release_delivery.step(now, to, running=running, now=NOW)
        held = {"NO_PROJECT"} if to == "STARTED" and not has_project else set()
        held |= {"RUNNING"} if to == "COMPLETED" and running else set()
        held |= {"WRONG_STATUS"} if (now["status"], to) not in ALLOWED else set()
        assert {violation.code for violation in found} == held
        assert after["status"] == (now["status"] if held else to)
        assert release_delivery.event(now, after) == (None if held else {
            ("SUSPENDED", "STARTED"): "delivery.resumed"}.get((now["status"], to), f"delivery.{to.lower()}"))  # fmt: skip
        now = after
        assert (now["startDate"] is None) == (now["status"] == "NOT_STARTED")
        assert (now["endDate"] is None) == (now["status"] != "COMPLETED")


def test_resuming_keeps_the_day_of_the_start() -> None:
    suspended: Any = {**STARTED_DELIVERY, "status": "SUSPENDED"}
    after, found = release_delivery.step(suspended, "STARTED", running=True, now=NOW)
    assert after
    assert not found
    assert after["startDate"] == "2019-02-13"


def test_a_release_without_delivery_takes_no_step() -> None:
    _, [violation] = release_delivery.step(None, "STARTED", running=False, now=NOW)
    assert (violation.field, violation.code) == ("input.releaseId", "NO_DELIVERY")
