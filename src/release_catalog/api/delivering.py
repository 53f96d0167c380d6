"""Delivering releases: inputs, payloads, mutations (S4)."""

import strawberry
from strawberry.scalars import JSON

from release_catalog.api.enums import DeliveryStatus
from release_catalog.api.inputs import maybe, must

ID = strawberry.ID


@strawberry.input(description="A project's part in a delivery.")
class DeliveryProjectInput:
    project_id: ID = must("The project.")
    priority: int | None = maybe("Its turn among the projects, from 1; 1 unless given.")
    package_name: str | None = maybe(
        "The package that is deployed, at most 256 characters: for PARTIAL projects that don't request all files."
    )
    request_all_files: bool | None = maybe("Whether all files are deployed; for PARTIAL projects only.")
    build_environment_id: ID | None = maybe("Where it is built; filled in where the project has exactly one.")
    project_stream_id: ID | None = maybe(
        "The stream that it is built from; needed unless the project has exactly one."
    )
    project_groups: str | None = maybe("Groups of the pipeline that it belongs to, at most 1024 characters.")


@strawberry.input(description="The value of a property.")
class PropertyValueInput:
    property_name: str = must("Name of the property, at most 256 characters.")
    property_value: JSON = must(
        "A text of at most 4096 characters; numbers, true and false are kept as they are written."
    )


@strawberry.input(description="Whether deployments need a change ticket unless an environment says otherwise.")
class CmsDefaultOverrideInput:
    require_change_ticket_for_deployment: bool = must("Whether a ticket is needed.")


@strawberry.input(description="Whether deployments to one environment need a change ticket.")
class CmsEnvironmentOverrideInput:
    environment_id: ID = must("The environment, by its id in that system.")
    require_change_ticket_for_deployment: bool = must("Whether a ticket is needed.")


@strawberry.input(description="How a change management system follows a delivery.")
class CmsDetailsInput:
    cms_instance_id: ID | None = maybe("The system's instance.")
    override_settings: bool | None = maybe("Whether its settings are overridden here; false unless given.")
    overridden_default_configurations: CmsDefaultOverrideInput | None = maybe(
        "What holds where no environment says otherwise."
    )
    overridden_environment_configurations: list[CmsEnvironmentOverrideInput] | None = maybe(
        "What holds for single environments, each named once."
    )


@strawberry.input(
    description="How a release is to be delivered (S4). A patch adds and updates: projects by projectId and "
    "packageName, properties by propertyName, environments by environmentId."
)
class DeliveryInput:
    status: DeliveryStatus | None = maybe(
        "NOT_STARTED, unless given, or STARTED; setDeliveryStatus leads to the others. What was started stays so."
    )
    description: str | None = maybe("What it is about, at most 4096 characters.")
    schedule_build_expression: str | None = maybe(
        "When builds run: cron expressions of five fields, or of Quartz's six or seven, separated by semicolons; "
        "at most 50 of them and 1024 characters."
    )
    pipeline_id: ID | None = maybe("The pipeline that delivers the release.")
    pipeline_name: str | None = maybe("The same pipeline by its name, where only one is called so.")
    projects: list[DeliveryProjectInput] | None = maybe("The projects that are deployed, at most 250.")
    properties: list[PropertyValueInput] | None = maybe("Values of properties, at most 250; they need a pipeline.")
    cms_details: CmsDetailsInput | None = maybe("How a change management system follows it.")
