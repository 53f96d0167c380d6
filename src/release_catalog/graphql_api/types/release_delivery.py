"""The delivery of a release (S4)."""

import datetime
from collections.abc import Sequence
from typing import Any

import strawberry

from release_catalog.graphql_api.enums import DeliveryStatus, DeploymentType, ExecutionStatus
from release_catalog.graphql_api.fields import batched_field, field, reference
from release_catalog.query_engine.context import Context, Info
from release_catalog.query_engine.field_source import FieldSource, reads, source_metadata
from release_catalog.query_engine.projection import FieldPaths
from release_catalog.storage import records
from release_catalog.storage.database import Document


@strawberry.type(description="Something with an identifier and a name: a stream or a build environment (S4).")
class NamedReference:
    id: strawberry.ID = field("Identifier.")
    name: str = field("Name for people.")


@strawberry.type(description="A property that a pipeline or a project knows (S4).")
class PropertyDefinition:
    name: str = field("Name of the property.")
    required: bool = field("Whether a delivery must give it a value.")
    default_value: str | None = field("The value where none is given.")


@strawberry.type(description="A run of a pipeline for a release.")
class PipelineExecution:
    id: strawberry.ID = field("Unique identifier.")
    release_id: strawberry.ID = field("The release that it ran for.")
    status: ExecutionStatus = field("How it stands.")
    started_at: datetime.datetime = field("When it began.")
    ended_at: datetime.datetime | None = field("When it ended; null while it runs.")


async def _executions(root: strawberry.Parent[Document], info: Info, running: bool | None = None) -> Any:
    context = info.context
    return await records.executions(context.caller, context.database, root["id"], running=running)


@strawberry.type(description="A sequence of steps that makes or delivers releases.")
class Pipeline:
    id: strawberry.ID = field("Unique identifier.")
    name: str = field("Its name, which deliveries may refer to it by.")
    properties: list[PropertyDefinition] = field("Properties that a delivery can set.")
    executions: list[PipelineExecution] = strawberry.field(
        resolver=_executions,
        metadata=source_metadata(FieldSource(reads("id"))),
        description="Its 100 newest runs, the newest first; only those that are running, or have ended, if asked.",
    )


@strawberry.type(description="A project whose deployments a delivery orders (S4).")
class Project:
    id: strawberry.ID = field("Unique identifier.")
    name: str = field("Its name.")
    application_path: str | None = field("Where it stands among the applications.")
    deployment_type: DeploymentType = field("What its deployments replace.")
    streams: list[NamedReference] = field("The streams that it is built from.")
    build_environments: list[NamedReference] = field("Where it can be built.")
    properties: list[PropertyDefinition] = field("Its property set.")


def _named(entries: str, key: str, description: str) -> Any:
    """Declare a reference to one of the project's streams or build environments, by the id in the delivery."""

    async def many(context: Context, parts: Sequence[Document], _: FieldPaths) -> Any:
        ids = [part["projectId"] for part in parts if part[key] is not None]
        projects = iter(await context.by_ids("projects").load_many(ids, frozenset({entries})))
        return [None if part[key] is None else named(part[key], next(projects)) for part in parts]

    def named(id_: str, project: Document | None) -> Any:
        found = (entry for entry in (project or {}).get(entries, ()) if entry["id"] == id_)
        # The project may have dropped it since: the value of the delivery still stands.
        return next(found, {"id": id_, "name": id_})

    return batched_field(many, description, reads("projectId", key))


@strawberry.type(description="A project's part in a delivery (S4).")
class DeliveryProject:
    project: Project = reference("projects", "projectId", "The project.")
    stream: NamedReference = _named("streams", "projectStreamId", "The stream that it is built from.")
    build_environment: NamedReference | None = _named(
        "buildEnvironments", "buildEnvironmentId", "Where it is built."
    )
    priority: int = field("Its turn among the projects; 1 unless set otherwise.")
    package_name: str | None = field("The package that a PARTIAL deployment takes.")
    request_all_files: bool = field("Whether a PARTIAL deployment takes all files.")
    project_groups: str | None = field("Groups of the pipeline that it belongs to.")


@strawberry.type(description="The value of a property (S4).")
class PropertyValue:
    property_name: str = field("Name of the property.")
    property_value: str = field("Its value as text; numbers come as their digits.")


@strawberry.type(description="Whether deployments need a change ticket unless an environment says otherwise.")
class CmsDefaultOverride:
    require_change_ticket_for_deployment: bool = field("Whether a ticket is needed.")


@strawberry.type(description="Whether deployments to one environment need a change ticket.")
class CmsEnvironmentOverride:
    environment_id: strawberry.ID = field("The environment, by its id in that system.")
    require_change_ticket_for_deployment: bool = field("Whether a ticket is needed.")


@strawberry.type(description="How a change management system follows a delivery (S4).")
class CmsDetails:
    cms_instance_id: strawberry.ID | None = field("The system's instance.")
    override_settings: bool = field("Whether its settings are overridden here.")
    overridden_default_configurations: CmsDefaultOverride | None = field(
        "What holds where no environment says otherwise."
    )
    overridden_environment_configurations: list[CmsEnvironmentOverride] | None = field(
        "What holds for single environments."
    )


@strawberry.type(description="How a release is delivered (S4).")
class Delivery:
    status: DeliveryStatus = field("How far it is.")
    description: str | None = field("What it is about.")
    start_date: datetime.date | None = field("The day it started.")
    end_date: datetime.date | None = field("The day it was completed.")
    schedule_build_expression: str | None = field(
        "When builds run: cron expressions of five, six or seven fields, separated by semicolons."
    )
    pipeline: Pipeline | None = reference("pipelines", "pipelineId", "The pipeline that delivers the release.")
    projects: list[DeliveryProject] = field("The projects that are deployed.")
    properties: list[PropertyValue] = field("Values of the pipeline's properties.")
    cms_details: CmsDetails | None = field("How a change management system follows it.")
