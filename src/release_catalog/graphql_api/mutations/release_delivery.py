"""The delivery of releases: inputs, payloads, mutations (S4)."""

import strawberry
from strawberry.scalars import JSON

from release_catalog.graphql_api.enums import DeliveryStatus, ExecutionStatus
from release_catalog.graphql_api.fields import field, optional_field
from release_catalog.graphql_api.mutation import WRITING, ConditionalInput, mutation
from release_catalog.graphql_api.types.release import CHANGED, Release
from release_catalog.graphql_api.types.release_delivery import PipelineExecution
from release_catalog.storage import release_delivery

ID = strawberry.ID


@strawberry.input(description="A project's part in a delivery.")
class DeliveryProjectInput:
    project_id: ID = field("The project.")
    priority: int | None = optional_field("Its turn among the projects, from 1; 1 unless given.")
    package_name: str | None = optional_field(
        "The package that is deployed, at most 256 characters: for PARTIAL projects that don't request all files."
    )
    request_all_files: bool | None = optional_field("Whether all files are deployed; for PARTIAL projects only.")
    build_environment_id: ID | None = optional_field(
        "Where it is built; filled in where the project has exactly one."
    )
    project_stream_id: ID | None = optional_field(
        "The stream that it is built from; needed unless the project has exactly one."
    )
    project_groups: str | None = optional_field(
        "Groups of the pipeline that it belongs to, at most 1024 characters."
    )


@strawberry.input(description="The value of a property.")
class PropertyValueInput:
    property_name: str = field("Name of the property, at most 256 characters.")
    property_value: JSON = field(
        "A text of at most 4096 characters; numbers, true and false are kept as they are written."
    )


@strawberry.input(description="Whether deployments need a change ticket unless an environment says otherwise.")
class CmsDefaultOverrideInput:
    require_change_ticket_for_deployment: bool = field("Whether a ticket is needed.")


@strawberry.input(description="Whether deployments to one environment need a change ticket.")
class CmsEnvironmentOverrideInput:
    environment_id: ID = field("The environment, by its id in that system.")
    require_change_ticket_for_deployment: bool = field("Whether a ticket is needed.")


@strawberry.input(description="How a change management system follows a delivery.")
class CmsDetailsInput:
    cms_instance_id: ID | None = optional_field("The system's instance.")
    override_settings: bool | None = optional_field(
        "Whether its settings are overridden here; false unless given."
    )
    overridden_default_configurations: CmsDefaultOverrideInput | None = optional_field(
        "What holds where no environment says otherwise."
    )
    overridden_environment_configurations: list[CmsEnvironmentOverrideInput] | None = optional_field(
        "What holds for single environments, each named once."
    )


@strawberry.input(
    description="How a release is to be delivered (S4). A patch adds and updates: projects by projectId and "
    "packageName, properties by propertyName, environments by environmentId."
)
class DeliveryInput:
    status: DeliveryStatus | None = optional_field(
        "NOT_STARTED, unless given, or STARTED; setDeliveryStatus leads to the others. What was started stays so."
    )
    description: str | None = optional_field("What it is about, at most 4096 characters.")
    schedule_build_expression: str | None = optional_field(
        "When builds run: cron expressions of five fields, or of Quartz's six or seven, separated by semicolons; "
        "at most 50 of them and 1024 characters."
    )
    pipeline_id: ID | None = optional_field("The pipeline that delivers the release.")
    pipeline_name: str | None = optional_field("The same pipeline by its name, where only one is called so.")
    projects: list[DeliveryProjectInput] | None = optional_field("The projects that are deployed, at most 250.")
    properties: list[PropertyValueInput] | None = optional_field(
        "Values of properties, at most 250; they need a pipeline."
    )
    cms_details: CmsDetailsInput | None = optional_field("How a change management system follows it.")


@strawberry.input
class DeliveryFieldInput:
    delivery: DeliveryInput | None = optional_field("Delivery of the release (S4).")


@strawberry.input(description="A step in the delivery of a release.")
class SetDeliveryStatusInput(ConditionalInput):
    release_id: ID = field("The release.")
    status: DeliveryStatus = field(
        "NOT_STARTED becomes STARTED, STARTED becomes SUSPENDED and back, both become COMPLETED."
    )


@strawberry.input(description="A run of a pipeline for a release.")
class RecordPipelineExecutionInput:
    id: ID | None = optional_field("The run that has ended; where it is new or left out, one begins.")
    pipeline_id: ID = field("The pipeline that runs.")
    release_id: ID = field("The release that it runs for.")
    status: ExecutionStatus = field("How the run stands.")


@strawberry.type
class DeliveryMutations:
    set_delivery_status = mutation(
        SetDeliveryStatusInput,
        release_delivery.set_delivery_status,
        {"release": (Release | None, CHANGED)},
        "Starts, suspends, resumes or completes a delivery. Nothing starts without a project, and nothing is "
        "completed while its pipeline runs for the release.",
        **WRITING,
    )
    record_pipeline_execution = mutation(
        RecordPipelineExecutionInput,
        release_delivery.record_pipeline_execution,
        {"execution": (PipelineExecution | None, "The run as it is now. Null if there is a problem.")},
        "Records that a pipeline runs for a release, or how its run has ended, which then stays.",
        **WRITING,
    )
