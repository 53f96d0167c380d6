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


@strawberry.input(description="A project in a delivery (S4).")
class DeliveryProjectInput:
    project_id: ID = field("Id of the project.")
    priority: int | None = optional_field("Priority among the projects of the delivery, from 1. Defaults to 1.")
    package_name: str | None = optional_field(
        "Package to deploy, at most 256 characters. Required for PARTIAL projects without "
        "requestAllFiles, forbidden otherwise."
    )
    request_all_files: bool | None = optional_field(
        "Whether to deploy all files. For PARTIAL projects only; defaults to false."
    )
    build_environment_id: ID | None = optional_field(
        "Id of the build environment. Defaults to the only one of the project, if it has exactly one."
    )
    project_stream_id: ID | None = optional_field(
        "Id of the stream to build from. Required unless the project has exactly one, the default."
    )
    project_groups: str | None = optional_field("Project groups of the pipeline, at most 1024 characters.")


@strawberry.input(description="Value of a property (S4).")
class PropertyValueInput:
    property_name: str = field("Name of the property, at most 256 characters.")
    property_value: JSON = field(
        "Value: a text of at most 4096 characters, a number or a boolean. Numbers and booleans are stored as text."
    )


@strawberry.input(description="Default rule for change tickets (S4).")
class CmsDefaultOverrideInput:
    require_change_ticket_for_deployment: bool = field("Whether a deployment needs a change ticket.")


@strawberry.input(description="Rule for change tickets in one environment (S4).")
class CmsEnvironmentOverrideInput:
    environment_id: ID = field("Id of the environment in the change management system.")
    require_change_ticket_for_deployment: bool = field("Whether a deployment needs a change ticket.")


@strawberry.input(description="Settings of the change management system for a delivery (S4).")
class CmsDetailsInput:
    cms_instance_id: ID | None = optional_field("Id of the instance of the change management system.")
    override_settings: bool | None = optional_field(
        "Whether this delivery overrides the settings of the system. Defaults to false."
    )
    overridden_default_configurations: CmsDefaultOverrideInput | None = optional_field(
        "Rule for environments without a rule of their own."
    )
    overridden_environment_configurations: list[CmsEnvironmentOverrideInput] | None = optional_field(
        "Rules for single environments, each environment once."
    )


@strawberry.input(
    description="Delivery of a release (S4). A patch merges lists: projects by projectId and packageName, "
    "properties by propertyName, environments by environmentId."
)
class DeliveryInput:
    status: DeliveryStatus | None = optional_field(
        "NOT_STARTED, the default, or STARTED. For the other statuses use setDeliveryStatus. A "
        "started delivery stays started."
    )
    description: str | None = optional_field("Description, at most 4096 characters.")
    schedule_build_expression: str | None = optional_field(
        "Build schedule: cron expressions of five fields, or of Quartz's six or seven, separated by "
        "semicolons. At most 50 expressions and 1024 characters."
    )
    pipeline_id: ID | None = optional_field("Id of the pipeline that delivers the release.")
    pipeline_name: str | None = optional_field(
        "Name of the pipeline, instead of its id. Only one pipeline may have this name."
    )
    projects: list[DeliveryProjectInput] | None = optional_field("Projects to deploy, at most 250.")
    properties: list[PropertyValueInput] | None = optional_field(
        "Values of properties, at most 250. Properties need a pipeline."
    )
    cms_details: CmsDetailsInput | None = optional_field("Settings of the change management system.")


@strawberry.input
class DeliveryFieldInput:
    delivery: DeliveryInput | None = optional_field("Delivery of the release (S4).")


@strawberry.input(description="A new status for the delivery of a release.")
class SetDeliveryStatusInput(ConditionalInput):
    release_id: ID = field("Id of the release.")
    status: DeliveryStatus = field(
        "New status. NOT_STARTED becomes STARTED; STARTED becomes SUSPENDED or COMPLETED; SUSPENDED "
        "becomes STARTED or COMPLETED."
    )


@strawberry.input(description="A pipeline run for a release.")
class RecordPipelineExecutionInput:
    id: ID | None = optional_field("Id of the run. A new or absent id starts a run.")
    pipeline_id: ID = field("Id of the pipeline.")
    release_id: ID = field("Id of the release.")
    status: ExecutionStatus = field("Status of the run.")


@strawberry.type
class DeliveryMutations:
    set_delivery_status = mutation(
        SetDeliveryStatusInput,
        release_delivery.set_delivery_status,
        {"release": (Release | None, CHANGED)},
        "Starts, suspends, resumes or completes a delivery (S4). A delivery without a project can't "
        "start. A delivery can't be completed while its pipeline runs for the release.",
        **WRITING,
    )
    record_pipeline_execution = mutation(
        RecordPipelineExecutionInput,
        release_delivery.record_pipeline_execution,
        {"execution": (PipelineExecution | None, "The run after the mutation. Null if there is a problem.")},
        "Records the start or the end of a pipeline run for a release. A run that has ended can't change.",
        **WRITING,
    )
