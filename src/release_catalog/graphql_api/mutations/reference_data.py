"""The storage of the documents that releases refer to: inputs, payloads, mutations."""

import datetime
from collections.abc import Awaitable, Callable
from typing import Any

import strawberry
from strawberry.utils.str_converters import to_camel_case

from release_catalog.domain import caller
from release_catalog.errors import Problem as Refusal
from release_catalog.graphql_api.enums import DeploymentType, VersionScheme
from release_catalog.graphql_api.fields import field, optional_field
from release_catalog.graphql_api.mutation import mutation
from release_catalog.graphql_api.types.catalog import Catalog, Product
from release_catalog.graphql_api.types.promotion import Environment
from release_catalog.graphql_api.types.registry import BaseImage, Registry
from release_catalog.graphql_api.types.release_delivery import Pipeline, Project
from release_catalog.storage import reference_data
from release_catalog.storage.idempotency import Answer

ID = strawberry.ID

_NEW = "Of the one to change; where it is new or absent, one is made."
_KEPT = "Not given, it is left as it is; null empties it."


@strawberry.input(description="A catalog to make or to change.")
class SaveCatalogInput:
    name: str = field("Name for people, 1 to 256 characters.")
    id: ID | None = optional_field(_NEW)
    description: str | None = optional_field(f"What it holds, at most 4096 characters. {_KEPT}")
    public: bool | None = optional_field("Whether it is meant for everybody; false by default.")


@strawberry.input(description="A product to make or to change.")
class SaveProductInput:
    key: str = field("Short name, unique in its catalog, 1 to 256 characters.")
    name: str = field("Name for people, 1 to 256 characters.")
    id: ID | None = optional_field(_NEW)
    catalog_id: ID | None = optional_field(
        "The catalog it belongs to, for good; the default catalog where it is absent."
    )
    description: str | None = optional_field(f"What it is, at most 4096 characters. {_KEPT}")
    long_display_name: str | None = optional_field(f"Its name in full, at most 256 characters. {_KEPT}")
    disclaimer: str | None = optional_field(
        f"What its publisher wants to have said, at most 4096 characters. {_KEPT}"
    )
    category: str | None = optional_field(f"What kind of software it is, at most 256 characters. {_KEPT}")
    based_on_scratch: bool | None = optional_field(f"Whether it is built upon an empty image. {_KEPT}")
    latest_free: bool | None = optional_field(f"Whether its latest release is free. {_KEPT}")
    version_scheme: VersionScheme | None = optional_field(
        "What its versions look like, DOTTED by default. A change orders all of its releases anew."
    )


@strawberry.input(description="A property that a pipeline or a project knows.")
class PropertyDefinitionInput:
    name: str = field("Name of the property.")
    required: bool | None = optional_field("Whether a delivery must give it a value; false by default.")
    default_value: str | None = optional_field("The value where none is given.")


@strawberry.input(description="A pipeline to make or to change.")
class SavePipelineInput:
    name: str = field("Its name, 1 to 256 characters.")
    id: ID | None = optional_field(_NEW)
    properties: list[PropertyDefinitionInput] | None = optional_field(f"Its properties, all of them. {_KEPT}")


@strawberry.input(description="Something with an identifier and a name.")
class NamedReferenceInput:
    id: ID = field("Identifier, at most 255 characters.")
    name: str = field("Name for people.")


@strawberry.input(description="A project to make or to change (S4).")
class SaveProjectInput:
    name: str = field("Its name, 1 to 256 characters.")
    deployment_type: DeploymentType = field("What its deployments replace.")
    id: ID | None = optional_field(_NEW)
    application_path: str | None = optional_field(f"Where it stands among the applications. {_KEPT}")
    streams: list[NamedReferenceInput] | None = optional_field(
        f"The streams it is built from, all of them. {_KEPT}"
    )
    build_environments: list[NamedReferenceInput] | None = optional_field(
        f"Where it can be built, all of them. {_KEPT}"
    )
    properties: list[PropertyDefinitionInput] | None = optional_field(f"Its property set. {_KEPT}")


@strawberry.input(description="An environment to make or to change (S3).")
class SaveEnvironmentInput:
    name: str = field("Its name, unique in the tenant and kept for good.")
    id: ID | None = optional_field(_NEW)
    requires: list[str] | None = optional_field(f"Environments that a release must have reached before. {_KEPT}")


@strawberry.input(description="A registry to make or to change (S5).")
class SaveRegistryInput:
    name: str = field("Name for people, 1 to 256 characters.")
    url: str = field("Where it answers, beginning with http:// or https://.")
    id: ID | None = optional_field(_NEW)
    healthy: bool | None = optional_field(f"Whether it answered at the last check. {_KEPT}")
    last_checked_at: datetime.datetime | None = optional_field(f"When that was. {_KEPT}")


@strawberry.input(description="An operating system (S5).")
class OperatingSystemInput:
    id: ID = field("Identifier, at most 255 characters.")
    name: str = field("Name for people.")
    distro: str | None = optional_field("Distribution, such as debian.")
    version: str | None = optional_field("Version of the distribution.")


@strawberry.input(description="A base image to make or to change (S5).")
class SaveBaseImageInput:
    name: str = field("Name for people, 1 to 256 characters.")
    id: ID | None = optional_field(_NEW)
    description: str | None = optional_field(f"What it is, at most 4096 characters. {_KEPT}")
    container_image: str | None = optional_field(f"Where it can be pulled. {_KEPT}")
    operating_system: OperatingSystemInput | None = optional_field(f"The system inside. {_KEPT}")
    healthy: bool | None = optional_field(f"Whether it could be pulled at the last check. {_KEPT}")
    last_checked_at: datetime.datetime | None = optional_field(f"When that was. {_KEPT}")


def _save(
    name: str,
    type_: type,
    input_type: type,
    verb: Callable[..., Awaitable[Answer]],
    *about: str,
    scope: str = caller.WRITE,
) -> Any:
    async def save(asking: Any, database: Any, values: Any) -> Any:
        outcome = await verb(asking, database, *about, values)
        return outcome if isinstance(outcome, Refusal) else {to_camel_case(name): outcome}

    text = f"Creates the {name.replace('_', ' ')} if its id is new or absent, and updates it otherwise. "
    text += "A field that is not given stays as it is."
    fields = {name: (type_ | None, f"The {name.replace('_', ' ')} as it is now. Null if there is a problem.")}
    return mutation(input_type, save, fields, text, scope=scope)


@strawberry.type
class ReferenceDataMutations:
    save_catalog = _save("catalog", Catalog, SaveCatalogInput, reference_data.save_reference, "catalogs")
    save_product = _save("product", Product, SaveProductInput, reference_data.product)
    save_pipeline = _save("pipeline", Pipeline, SavePipelineInput, reference_data.save_reference, "pipelines")
    save_project = _save("project", Project, SaveProjectInput, reference_data.save_reference, "projects")
    # The requirements of an environment hold back its promoters: they must not change them.
    save_environment = _save(
        "environment", Environment, SaveEnvironmentInput, reference_data.environment, scope=caller.ADMIN
    )
    save_registry = _save("registry", Registry, SaveRegistryInput, reference_data.save_reference, "registries")
    save_base_image = _save(
        "base_image", BaseImage, SaveBaseImageInput, reference_data.save_reference, "baseImages"
    )
