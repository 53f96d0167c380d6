"""How a release is delivered (S4)."""

import datetime
from collections.abc import Sequence
from typing import Any

import strawberry

from release_catalog.api.enums import DeliveryStatus, DeploymentType, ExecutionStatus
from release_catalog.api.fields import fetched, one, plain
from release_catalog.plans.context import Context, Info
from release_catalog.plans.how import How, only, told
from release_catalog.plans.keys import Keys
from release_catalog.store import records
from release_catalog.store.database import Document


@strawberry.type(description="Something with an identifier and a name: a stream or a build environment (S4).")
class NamedReference:
    id: strawberry.ID = plain("Identifier.")
    name: str = plain("Name for people.")


@strawberry.type(description="A property that a pipeline or a project knows (S4).")
class PropertyDefinition:
    name: str = plain("Name of the property.")
    required: bool = plain("Whether a delivery must give it a value.")
    default_value: str | None = plain("The value where none is given.")


@strawberry.type(description="A run of a pipeline for a release.")
class PipelineExecution:
    id: strawberry.ID = plain("Unique identifier.")
    release_id: strawberry.ID = plain("The release that it ran for.")
    status: ExecutionStatus = plain("How it stands.")
    started_at: datetime.datetime = plain("When it began.")
    ended_at: datetime.datetime | None = plain("When it ended; null while it runs.")


async def _executions(root: strawberry.Parent[Document], info: Info, running: bool | None = None) -> Any:
    context = info.context
    return await records.executions(context.caller, context.database, root["id"], running=running)


@strawberry.type(description="A sequence of steps that makes or delivers releases.")
class Pipeline:
    id: strawberry.ID = plain("Unique identifier.")
    name: str = plain("Its name, which deliveries may refer to it by.")
    properties: list[PropertyDefinition] = plain("Properties that a delivery can set.")
    executions: list[PipelineExecution] = strawberry.field(
        resolver=_executions,
        metadata=told(How(only("id"))),
        description="Its 100 newest runs, the newest first; only those that are running, or have ended, if asked.",
    )


@strawberry.type(description="A project whose deployments a delivery orders (S4).")
class Project:
    id: strawberry.ID = plain("Unique identifier.")
    name: str = plain("Its name.")
    application_path: str | None = plain("Where it stands among the applications.")
    deployment_type: DeploymentType = plain("What its deployments replace.")
    streams: list[NamedReference] = plain("The streams that it is built from.")
    build_environments: list[NamedReference] = plain("Where it can be built.")
    properties: list[PropertyDefinition] = plain("Its property set.")


def _named(entries: str, key: str, description: str) -> Any:
    """A reference to one of the project's streams or build environments, by the id kept in the delivery."""

    async def many(context: Context, parts: Sequence[Document], _: Keys) -> Any:
        ids = [part["projectId"] for part in parts if part[key] is not None]
        projects = iter(await context.by_ids("projects").load_many(ids, frozenset({entries})))
        return [None if part[key] is None else named(part[key], next(projects)) for part in parts]

    def named(id_: str, project: Document | None) -> Any:
        found = (entry for entry in (project or {}).get(entries, ()) if entry["id"] == id_)
        # The project may have dropped it since: what the delivery was given still stands.
        return next(found, {"id": id_, "name": id_})

    return fetched(many, description, only("projectId", key))


@strawberry.type(description="A project's part in a delivery (S4).")
class DeliveryProject:
    project: Project = one("projects", "projectId", "The project.")
    stream: NamedReference = _named("streams", "projectStreamId", "The stream that it is built from.")
    build_environment: NamedReference | None = _named(
        "buildEnvironments", "buildEnvironmentId", "Where it is built."
    )
    priority: int = plain("Its turn among the projects; 1 unless set otherwise.")
    package_name: str | None = plain("The package that a PARTIAL deployment takes.")
    request_all_files: bool = plain("Whether a PARTIAL deployment takes all files.")
    project_groups: str | None = plain("Groups of the pipeline that it belongs to.")


@strawberry.type(description="The value of a property (S4).")
class PropertyValue:
    property_name: str = plain("Name of the property.")
    property_value: str = plain("Its value as text; numbers come as their digits.")


@strawberry.type(description="Whether deployments need a change ticket unless an environment says otherwise.")
class CmsDefaultOverride:
    require_change_ticket_for_deployment: bool = plain("Whether a ticket is needed.")


@strawberry.type(description="Whether deployments to one environment need a change ticket.")
class CmsEnvironmentOverride:
    environment_id: strawberry.ID = plain("The environment, by its id in that system.")
    require_change_ticket_for_deployment: bool = plain("Whether a ticket is needed.")


@strawberry.type(description="How a change management system follows a delivery (S4).")
class CmsDetails:
    cms_instance_id: strawberry.ID | None = plain("The system's instance.")
    override_settings: bool = plain("Whether its settings are overridden here.")
    overridden_default_configurations: CmsDefaultOverride | None = plain(
        "What holds where no environment says otherwise."
    )
    overridden_environment_configurations: list[CmsEnvironmentOverride] | None = plain(
        "What holds for single environments."
    )


@strawberry.type(description="How a release is delivered (S4).")
class Delivery:
    status: DeliveryStatus = plain("How far it is.")
    description: str | None = plain("What it is about.")
    start_date: datetime.date | None = plain("The day it started.")
    end_date: datetime.date | None = plain("The day it was completed.")
    schedule_build_expression: str | None = plain(
        "When builds run: cron expressions of five, six or seven fields, separated by semicolons."
    )
    pipeline: Pipeline | None = one("pipelines", "pipelineId", "The pipeline that delivers the release.")
    projects: list[DeliveryProject] = plain("The projects that are deployed.")
    properties: list[PropertyValue] = plain("Values of the pipeline's properties.")
    cms_details: CmsDetails | None = plain("How a change management system follows it.")
