"""The delivery of a release (S4)."""

import datetime
from collections.abc import Sequence
from typing import Annotated, Any

import strawberry

from release_catalog.domain.reference_data import PipelineDocument
from release_catalog.graphql_api.enums import DeliveryStatus, DeploymentType, ExecutionStatus
from release_catalog.graphql_api.fields import argument, batched_field, field, reference
from release_catalog.graphql_api.types.node import Node, node_id
from release_catalog.query_engine.context import Context, Info
from release_catalog.query_engine.field_source import FieldSource, reads, source_metadata
from release_catalog.storage import records
from release_catalog.storage.collection_names import PIPELINES, PROJECTS, StoredDocument
from release_catalog.storage.cursors import FieldPaths


@strawberry.type(
    description="A stream or a build environment of a project (S4). Caches must not keep it by its id, which is "
    "unique only within its list of its project."
)
class NamedReference:
    id: strawberry.ID = field("Identifier, unique only within its list of its project.")
    name: str = field("Display name.")


@strawberry.type(description="A property that a pipeline or a project defines (S4).")
class PropertyDefinition:
    name: str = field("Name of the property.")
    required: bool = field("Whether a delivery must give a value.")
    default_value: str | None = field("Value used if a delivery gives none.")


@strawberry.type(description="A pipeline run for a release.")
class PipelineExecution:
    id: strawberry.ID = field("Unique identifier.")
    release_id: strawberry.ID = field("Id of the release.")
    status: ExecutionStatus = field("Status.")
    started_at: datetime.datetime = field("Start time.")
    ended_at: datetime.datetime | None = field("End time. Null while the run lasts.")


async def _executions(
    root: strawberry.Parent[PipelineDocument],
    info: Info,
    running: Annotated[
        bool | None, argument("True for running pipeline runs only, false for ended ones only. Null matches all.")
    ] = None,
) -> Any:
    context = info.context
    return await records.executions(context.caller, context.database, root["id"], running=running)


@strawberry.type(description="A pipeline that makes or delivers releases.")
class Pipeline(Node):
    node_id: strawberry.ID = node_id("Pipeline")
    id: strawberry.ID = field("Unique identifier.")
    name: str = field("Name. Deliveries may refer to the pipeline by it.")
    properties: list[PropertyDefinition] = field("Properties that deliveries can set.")
    executions: list[PipelineExecution] = strawberry.field(
        resolver=_executions,
        metadata=source_metadata(FieldSource(reads("id"))),
        description="The 100 newest runs, newest first.",
    )


@strawberry.type(description="A project that deliveries deploy (S4).")
class Project(Node):
    node_id: strawberry.ID = node_id("Project")
    id: strawberry.ID = field("Unique identifier.")
    name: str = field("Name.")
    application_path: str | None = field("Path in the tree of applications.")
    deployment_type: DeploymentType = field("Scope of the project's deployments.")
    streams: list[NamedReference] = field("Streams that the project can be built from.")
    build_environments: list[NamedReference] = field("Build environments of the project.")
    properties: list[PropertyDefinition] = field("Properties that deliveries can set.")


def _named(entries: str, key: str, description: str) -> Any:
    """Declare a reference to one of the project's streams or build environments, by the id in the delivery."""

    async def many(context: Context, parts: Sequence[StoredDocument], _: FieldPaths) -> Any:
        ids = [part["projectId"] for part in parts if part[key] is not None]
        projects = iter(await context.by_ids(PROJECTS).load_many(ids, frozenset({entries})))
        return [None if part[key] is None else named(part[key], next(projects)) for part in parts]

    def named(id_: str, project: StoredDocument | None) -> Any:
        found = (entry for entry in (project or {}).get(entries, ()) if entry["id"] == id_)
        # The project may have dropped it since: the value of the delivery still stands.
        return next(found, {"id": id_, "name": id_})

    return batched_field(many, description, reads("projectId", key))


@strawberry.type(description="A project in a delivery (S4).")
class DeliveryProject:
    project: Project = reference(PROJECTS, "projectId", "Deployed project.")
    stream: NamedReference = _named("streams", "projectStreamId", "Stream that the project is built from.")
    build_environment: NamedReference | None = _named(
        "buildEnvironments", "buildEnvironmentId", "Build environment. Null if none is set."
    )
    priority: int = field("Priority among the projects of the delivery, from 1. Defaults to 1.")
    package_name: str | None = field(
        "Package of a PARTIAL deployment. Null if it takes all files, and for FULL deployments."
    )
    request_all_files: bool = field("Whether a PARTIAL deployment takes all files.")
    project_groups: str | None = field("Project groups of the pipeline.")


@strawberry.type(description="Value of a property (S4).")
class PropertyValue:
    property_name: str = field("Name of the property.")
    property_value: str = field("Value as text. A number is written with the digits that it was given with.")


@strawberry.type(description="Default rule for change tickets (S4).")
class CmsDefaultOverride:
    require_change_ticket_for_deployment: bool = field("Whether a deployment needs a change ticket.")


@strawberry.type(description="Rule for change tickets in one environment (S4).")
class CmsEnvironmentOverride:
    environment_id: strawberry.ID = field("Id of the environment in the change management system.")
    require_change_ticket_for_deployment: bool = field("Whether a deployment needs a change ticket.")


@strawberry.type(description="Settings of the change management system for a delivery (S4).")
class CmsDetails:
    cms_instance_id: strawberry.ID | None = field("Id of the instance of the change management system.")
    override_settings: bool = field("Whether this delivery overrides the settings of the system.")
    overridden_default_configurations: CmsDefaultOverride | None = field(
        "Rule for environments without a rule of their own."
    )
    overridden_environment_configurations: list[CmsEnvironmentOverride] | None = field(
        "Rules for single environments."
    )


@strawberry.type(description="Delivery of a release (S4).")
class Delivery:
    status: DeliveryStatus = field("Progress of the delivery.")
    description: str | None = field("Description.")
    start_date: datetime.date | None = field("Day of the start (UTC). Null before it.")
    end_date: datetime.date | None = field("Day of the completion (UTC). Null before it.")
    schedule_build_expression: str | None = field(
        "Build schedule: cron expressions of five, six or seven fields, separated by semicolons."
    )
    pipeline: Pipeline | None = reference(
        PIPELINES, "pipelineId", "Pipeline that delivers the release. Null if it has none."
    )
    projects: list[DeliveryProject] = field("Deployed projects.")
    properties: list[PropertyValue] = field("Values of the pipeline's properties.")
    cms_details: CmsDetails | None = field(
        "Settings of the change management system. Null if the delivery has none."
    )
