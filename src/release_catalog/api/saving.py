"""Saving what releases refer to: inputs, payloads, mutations."""

import datetime
from collections.abc import Awaitable, Callable
from typing import Any

import strawberry

from release_catalog.api.catalog import Catalog, Product
from release_catalog.api.delivery import Pipeline, Project
from release_catalog.api.enums import DeploymentType, VersionScheme
from release_catalog.api.fields import maybe, plain
from release_catalog.api.inputs import PROBLEM, mutation
from release_catalog.api.problem import Problem
from release_catalog.api.promotion import Environment
from release_catalog.api.reference import BaseImage, Registry
from release_catalog.domain import caller
from release_catalog.problems import Problem as Refusal
from release_catalog.store import saving
from release_catalog.store.requests import Answer

ID = strawberry.ID

_NEW = "Of the one to change; where it is new or absent, one is made."
_KEPT = "Not given, it is left as it is; null empties it."


@strawberry.input(description="A catalog to make or to change.")
class SaveCatalogInput:
    name: str = plain("Name for people, 1 to 256 characters.")
    id: ID | None = maybe(_NEW)
    description: str | None = maybe(f"What it holds, at most 4096 characters. {_KEPT}")
    public: bool | None = maybe("Whether it is meant for everybody; false by default.")


@strawberry.input(description="A product to make or to change.")
class SaveProductInput:
    key: str = plain("Short name, unique in its catalog, 1 to 256 characters.")
    name: str = plain("Name for people, 1 to 256 characters.")
    id: ID | None = maybe(_NEW)
    catalog_id: ID | None = maybe("The catalog it belongs to, for good; the default catalog where it is absent.")
    description: str | None = maybe(f"What it is, at most 4096 characters. {_KEPT}")
    long_display_name: str | None = maybe(f"Its name in full, at most 256 characters. {_KEPT}")
    disclaimer: str | None = maybe(f"What its publisher wants to have said, at most 4096 characters. {_KEPT}")
    category: str | None = maybe(f"What kind of software it is, at most 256 characters. {_KEPT}")
    based_on_scratch: bool | None = maybe(f"Whether it is built upon an empty image. {_KEPT}")
    latest_free: bool | None = maybe(f"Whether its latest release is free. {_KEPT}")
    version_scheme: VersionScheme | None = maybe(
        "What its versions look like, DOTTED by default. A change orders all of its releases anew."
    )


@strawberry.input(description="A property that a pipeline or a project knows.")
class PropertyDefinitionInput:
    name: str = plain("Name of the property.")
    required: bool | None = maybe("Whether a delivery must give it a value; false by default.")
    default_value: str | None = maybe("The value where none is given.")


@strawberry.input(description="A pipeline to make or to change.")
class SavePipelineInput:
    name: str = plain("Its name, 1 to 256 characters.")
    id: ID | None = maybe(_NEW)
    properties: list[PropertyDefinitionInput] | None = maybe(f"Its properties, all of them. {_KEPT}")


@strawberry.input(description="Something with an identifier and a name.")
class NamedReferenceInput:
    id: ID = plain("Identifier, at most 255 characters.")
    name: str = plain("Name for people.")


@strawberry.input(description="A project to make or to change (S4).")
class SaveProjectInput:
    name: str = plain("Its name, 1 to 256 characters.")
    deployment_type: DeploymentType = plain("What its deployments replace.")
    id: ID | None = maybe(_NEW)
    application_path: str | None = maybe(f"Where it stands among the applications. {_KEPT}")
    streams: list[NamedReferenceInput] | None = maybe(f"The streams it is built from, all of them. {_KEPT}")
    build_environments: list[NamedReferenceInput] | None = maybe(f"Where it can be built, all of them. {_KEPT}")
    properties: list[PropertyDefinitionInput] | None = maybe(f"Its property set. {_KEPT}")


@strawberry.input(description="An environment to make or to change (S3).")
class SaveEnvironmentInput:
    name: str = plain("Its name, unique in the tenant and kept for good.")
    id: ID | None = maybe(_NEW)
    requires: list[str] | None = maybe(f"Environments that a release must have reached before. {_KEPT}")


@strawberry.input(description="A registry to make or to change (S5).")
class SaveRegistryInput:
    name: str = plain("Name for people, 1 to 256 characters.")
    url: str = plain("Where it answers, beginning with http:// or https://.")
    id: ID | None = maybe(_NEW)
    healthy: bool | None = maybe(f"Whether it answered at the last check. {_KEPT}")
    last_checked_at: datetime.datetime | None = maybe(f"When that was. {_KEPT}")


@strawberry.input(description="An operating system (S5).")
class OperatingSystemInput:
    id: ID = plain("Identifier, at most 255 characters.")
    name: str = plain("Name for people.")
    distro: str | None = maybe("Distribution, such as debian.")
    version: str | None = maybe("Version of the distribution.")


@strawberry.input(description="A base image to make or to change (S5).")
class SaveBaseImageInput:
    name: str = plain("Name for people, 1 to 256 characters.")
    id: ID | None = maybe(_NEW)
    description: str | None = maybe(f"What it is, at most 4096 characters. {_KEPT}")
    container_image: str | None = maybe(f"Where it can be pulled. {_KEPT}")
    operating_system: OperatingSystemInput | None = maybe(f"The system inside. {_KEPT}")
    healthy: bool | None = maybe(f"Whether it could be pulled at the last check. {_KEPT}")
    last_checked_at: datetime.datetime | None = maybe(f"When that was. {_KEPT}")


def _saved(kind: str) -> Any:
    return plain(f"The {kind} as it is now; null where there is a problem.")


@strawberry.type(description="What became of saving a catalog.")
class SaveCatalogPayload:
    catalog: Catalog | None = _saved("catalog")
    problem: Problem | None = plain(PROBLEM)


@strawberry.type(description="What became of saving a product.")
class SaveProductPayload:
    product: Product | None = _saved("product")
    problem: Problem | None = plain(PROBLEM)


@strawberry.type(description="What became of saving a pipeline.")
class SavePipelinePayload:
    pipeline: Pipeline | None = _saved("pipeline")
    problem: Problem | None = plain(PROBLEM)


@strawberry.type(description="What became of saving a project.")
class SaveProjectPayload:
    project: Project | None = _saved("project")
    problem: Problem | None = plain(PROBLEM)


@strawberry.type(description="What became of saving an environment.")
class SaveEnvironmentPayload:
    environment: Environment | None = _saved("environment")
    problem: Problem | None = plain(PROBLEM)


@strawberry.type(description="What became of saving a registry.")
class SaveRegistryPayload:
    registry: Registry | None = _saved("registry")
    problem: Problem | None = plain(PROBLEM)


@strawberry.type(description="What became of saving a base image.")
class SaveBaseImagePayload:
    base_image: BaseImage | None = _saved("base image")
    problem: Problem | None = plain(PROBLEM)


def _save(
    name: str,
    input_type: type,
    verb: Callable[..., Awaitable[Answer]],
    *about: str,
    scope: str = caller.WRITE,
) -> Any:
    async def save(asking: Any, database: Any, given: Any) -> Any:
        outcome = await verb(asking, database, *about, given)
        return outcome if isinstance(outcome, Refusal) else {name: outcome}

    text = "Makes it where the id is new or absent and changes it otherwise; what is not given is left as it is."
    return mutation(input_type, save, {name: None}, text, scope=scope)


@strawberry.type
class Saving:
    save_catalog: SaveCatalogPayload = _save("catalog", SaveCatalogInput, saving.thing, "catalogs")
    save_product: SaveProductPayload = _save("product", SaveProductInput, saving.product)
    save_pipeline: SavePipelinePayload = _save("pipeline", SavePipelineInput, saving.thing, "pipelines")
    save_project: SaveProjectPayload = _save("project", SaveProjectInput, saving.thing, "projects")
    # What an environment requires holds back those who promote: it is not theirs to change.
    save_environment: SaveEnvironmentPayload = _save(
        "environment", SaveEnvironmentInput, saving.environment, scope=caller.ADMIN
    )
    save_registry: SaveRegistryPayload = _save("registry", SaveRegistryInput, saving.thing, "registries")
    save_base_image: SaveBaseImagePayload = _save("baseImage", SaveBaseImageInput, saving.thing, "baseImages")
