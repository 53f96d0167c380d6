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
from release_catalog.storage.collection_names import (
    BASE_IMAGES,
    CATALOGS,
    PIPELINES,
    PROJECTS,
    REGISTRIES,
    CollectionName,
    StoredDocument,
)

ID = strawberry.ID

_NEW = "Id. A new or absent id creates a document; a known id changes it."
_KEPT = "An absent field keeps its value; null clears it."


@strawberry.input(description="A catalog to create or change.")
class SaveCatalogInput:
    name: str = field("Display name, 1 to 256 characters.")
    id: ID | None = optional_field(_NEW)
    description: str | None = optional_field(f"Description, at most 4096 characters. {_KEPT}")
    public: bool | None = optional_field(
        "Whether the catalog is meant for everybody (S5). It does not change who sees its releases. "
        "Defaults to false."
    )


@strawberry.input(description="A product to create or change.")
class SaveProductInput:
    key: str = field("Short name, unique in the catalog, 1 to 256 characters.")
    name: str = field("Display name, 1 to 256 characters.")
    id: ID | None = optional_field(_NEW)
    catalog_id: ID | None = optional_field(
        "Id of the catalog, which can't change later. Defaults to the default catalog."
    )
    description: str | None = optional_field(f"Description, at most 4096 characters. {_KEPT}")
    long_display_name: str | None = optional_field(f"Full display name, at most 256 characters (S5). {_KEPT}")
    disclaimer: str | None = optional_field(f"Disclaimer of the publisher, at most 4096 characters (S5). {_KEPT}")
    category: str | None = optional_field(f"Software category, at most 256 characters (S5). {_KEPT}")
    based_on_scratch: bool | None = optional_field(
        f"Whether the product is built from an empty image (S5). {_KEPT}"
    )
    latest_free: bool | None = optional_field(f"Whether the latest release is free of charge (S5). {_KEPT}")
    version_scheme: VersionScheme | None = optional_field(
        "Format and order of the versions. Defaults to DOTTED. A change sorts all releases of the product again; "
        "versions that the new scheme refuses are below all others. Readers have the old order until the new one "
        "is complete. If that takes longer than a request may, the error UNAVAILABLE tells so; a repetition waits "
        "for it. The cursor of a page in the old order continues at its place in the new one."
    )


@strawberry.input(description="A property that a pipeline or a project defines (S4).")
class PropertyDefinitionInput:
    name: str = field("Name of the property.")
    required: bool | None = optional_field("Whether a delivery must give a value. Defaults to false.")
    default_value: str | None = optional_field("Value used if a delivery gives none, at most 4096 characters.")


@strawberry.input(description="A pipeline to create or change.")
class SavePipelineInput:
    name: str = field("Name, 1 to 256 characters.")
    id: ID | None = optional_field(_NEW)
    properties: list[PropertyDefinitionInput] | None = optional_field(
        f"All properties, at most 250: the list replaces the old one. {_KEPT}"
    )


@strawberry.input(description="A stream or a build environment of a project (S4).")
class NamedReferenceInput:
    id: ID = field("Identifier, at most 255 characters.")
    name: str = field("Display name, 1 to 256 characters.")


@strawberry.input(description="A project to create or change (S4).")
class SaveProjectInput:
    name: str = field("Name, 1 to 256 characters.")
    deployment_type: DeploymentType = field("Scope of the project's deployments.")
    id: ID | None = optional_field(_NEW)
    application_path: str | None = optional_field(
        f"Path in the tree of applications, at most 1024 characters. {_KEPT}"
    )
    streams: list[NamedReferenceInput] | None = optional_field(
        f"All streams, at most 250: the list replaces the old one. {_KEPT}"
    )
    build_environments: list[NamedReferenceInput] | None = optional_field(
        f"All build environments, at most 250: the list replaces the old one. {_KEPT}"
    )
    properties: list[PropertyDefinitionInput] | None = optional_field(
        f"All properties, at most 250: the list replaces the old one. {_KEPT}"
    )


@strawberry.input(description="An environment to create or change (S3).")
class SaveEnvironmentInput:
    name: str = field("Name, unique in the tenant, 1 to 256 characters. It can't change later.")
    id: ID | None = optional_field(_NEW)
    requires: list[str] | None = optional_field(
        f"Names of the environments that a release must have reached before. {_KEPT}"
    )


@strawberry.input(description="A registry to create or change (S5).")
class SaveRegistryInput:
    name: str = field("Display name, 1 to 256 characters.")
    url: str = field("http or https URL of the registry, at most 2048 characters.")
    id: ID | None = optional_field(_NEW)
    healthy: bool | None = optional_field(f"Whether the registry answered at the last check. {_KEPT}")
    last_checked_at: datetime.datetime | None = optional_field(f"Time of the last check. {_KEPT}")


@strawberry.input(description="An operating system (S5).")
class OperatingSystemInput:
    id: ID = field("Identifier, at most 255 characters.")
    name: str = field("Display name, 1 to 256 characters.")
    distro: str | None = optional_field("Short name of the distribution, such as debian, at most 64 characters.")
    version: str | None = optional_field("Version of the distribution, at most 64 characters.")


@strawberry.input(description="A base image to create or change (S5).")
class SaveBaseImageInput:
    name: str = field("Display name, 1 to 256 characters.")
    id: ID | None = optional_field(_NEW)
    description: str | None = optional_field(f"Description, at most 4096 characters. {_KEPT}")
    container_image: str | None = optional_field(f"Pull reference of the image, at most 2048 characters. {_KEPT}")
    operating_system: OperatingSystemInput | None = optional_field(f"Operating system of the image. {_KEPT}")
    healthy: bool | None = optional_field(f"Whether the image could be pulled at the last check. {_KEPT}")
    last_checked_at: datetime.datetime | None = optional_field(f"Time of the last check. {_KEPT}")


def _save(
    name: str,
    type_: type,
    input_type: type,
    verb: Callable[..., Awaitable[StoredDocument | Refusal]],
    *about: CollectionName[Any],
    scope: str = caller.WRITE,
) -> Any:
    async def save(asking: Any, database: Any, values: Any) -> Any:
        outcome = await verb(asking, database, *about, values)
        return outcome if isinstance(outcome, Refusal) else {to_camel_case(name): outcome}

    text = f"Creates the {name.replace('_', ' ')} if its id is new or absent, and updates it otherwise. "
    text += "An absent field keeps its value."
    fields = {
        name: (type_ | None, f"The {name.replace('_', ' ')} after the mutation. Null if there is a problem.")
    }
    return mutation(input_type, save, fields, text, scope=scope)


@strawberry.type
class ReferenceDataMutations:
    save_catalog = _save("catalog", Catalog, SaveCatalogInput, reference_data.save_reference, CATALOGS)
    save_product = _save("product", Product, SaveProductInput, reference_data.product)
    save_pipeline = _save("pipeline", Pipeline, SavePipelineInput, reference_data.save_reference, PIPELINES)
    save_project = _save("project", Project, SaveProjectInput, reference_data.save_reference, PROJECTS)
    # The requirements of an environment hold back its promoters: they must not change them.
    save_environment = _save(
        "environment", Environment, SaveEnvironmentInput, reference_data.environment, scope=caller.ADMIN
    )
    save_registry = _save("registry", Registry, SaveRegistryInput, reference_data.save_reference, REGISTRIES)
    save_base_image = _save(
        "base_image", BaseImage, SaveBaseImageInput, reference_data.save_reference, BASE_IMAGES
    )
