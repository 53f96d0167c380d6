"""What can be said about what releases refer to."""

import dataclasses
import datetime
import enum
from typing import Any

import strawberry
from strawberry.utils.str_converters import to_camel_case

from release_catalog.api.enums import DeploymentType, VersionScheme

ID = strawberry.ID


def _maybe(description: str) -> Any:
    return strawberry.field(default=strawberry.UNSET, description=description)


def _must(description: str) -> Any:
    return strawberry.field(description=description)


def given(value: Any) -> Any:
    """An input as the store takes it: names of the contract, what was not given left out, enumerations by name."""
    if dataclasses.is_dataclass(value):
        fields = ((to_camel_case(field.name), getattr(value, field.name)) for field in dataclasses.fields(value))
        return {name: given(inner) for name, inner in fields if inner is not strawberry.UNSET}
    if isinstance(value, list):
        return [given(inner) for inner in value]
    return value.name if isinstance(value, enum.Enum) else value


_NEW = "Of the one to change; where it is new or absent, one is made."
_KEPT = "Not given, it is left as it is; null empties it."


@strawberry.input(description="A catalog to make or to change.")
class SaveCatalogInput:
    name: str = _must("Name for people, 1 to 256 characters.")
    id: ID | None = _maybe(_NEW)
    description: str | None = _maybe(f"What it holds, at most 4096 characters. {_KEPT}")
    public: bool | None = _maybe("Whether it is meant for everybody; false by default.")


@strawberry.input(description="A product to make or to change.")
class SaveProductInput:
    key: str = _must("Short name, unique in its catalog, 1 to 256 characters.")
    name: str = _must("Name for people, 1 to 256 characters.")
    id: ID | None = _maybe(_NEW)
    catalog_id: ID | None = _maybe("The catalog it belongs to, for good; the default catalog where it is absent.")
    description: str | None = _maybe(f"What it is, at most 4096 characters. {_KEPT}")
    long_display_name: str | None = _maybe(f"Its name in full, at most 256 characters. {_KEPT}")
    disclaimer: str | None = _maybe(f"What its publisher wants to have said, at most 4096 characters. {_KEPT}")
    category: str | None = _maybe(f"What kind of software it is, at most 256 characters. {_KEPT}")
    based_on_scratch: bool | None = _maybe(f"Whether it is built upon an empty image. {_KEPT}")
    latest_free: bool | None = _maybe(f"Whether its latest release is free. {_KEPT}")
    version_scheme: VersionScheme | None = _maybe(
        "What its versions look like, DOTTED by default. A change orders all of its releases anew."
    )


@strawberry.input(description="A property that a pipeline or a project knows.")
class PropertyDefinitionInput:
    name: str = _must("Name of the property.")
    required: bool | None = _maybe("Whether a delivery must give it a value; false by default.")
    default_value: str | None = _maybe("The value where none is given.")


@strawberry.input(description="A pipeline to make or to change.")
class SavePipelineInput:
    name: str = _must("Its name, 1 to 256 characters.")
    id: ID | None = _maybe(_NEW)
    properties: list[PropertyDefinitionInput] | None = _maybe(f"Its properties, all of them. {_KEPT}")


@strawberry.input(description="Something with an identifier and a name.")
class NamedReferenceInput:
    id: ID = _must("Identifier, at most 255 characters.")
    name: str = _must("Name for people.")


@strawberry.input(description="A project to make or to change (S4).")
class SaveProjectInput:
    name: str = _must("Its name, 1 to 256 characters.")
    deployment_type: DeploymentType = _must("What its deployments replace.")
    id: ID | None = _maybe(_NEW)
    application_path: str | None = _maybe(f"Where it stands among the applications. {_KEPT}")
    streams: list[NamedReferenceInput] | None = _maybe(f"The streams it is built from, all of them. {_KEPT}")
    build_environments: list[NamedReferenceInput] | None = _maybe(f"Where it can be built, all of them. {_KEPT}")
    properties: list[PropertyDefinitionInput] | None = _maybe(f"Its property set. {_KEPT}")


@strawberry.input(description="An environment to make or to change (S3).")
class SaveEnvironmentInput:
    name: str = _must("Its name, unique in the tenant and kept for good.")
    id: ID | None = _maybe(_NEW)
    requires: list[str] | None = _maybe(f"Environments that a release must have reached before. {_KEPT}")


@strawberry.input(description="A registry to make or to change (S5).")
class SaveRegistryInput:
    name: str = _must("Name for people, 1 to 256 characters.")
    url: str = _must("Where it answers, beginning with http:// or https://.")
    id: ID | None = _maybe(_NEW)
    healthy: bool | None = _maybe(f"Whether it answered at the last check. {_KEPT}")
    last_checked_at: datetime.datetime | None = _maybe(f"When that was. {_KEPT}")


@strawberry.input(description="An operating system (S5).")
class OperatingSystemInput:
    id: ID = _must("Identifier, at most 255 characters.")
    name: str = _must("Name for people.")
    distro: str | None = _maybe("Distribution, such as debian.")
    version: str | None = _maybe("Version of the distribution.")


@strawberry.input(description="A base image to make or to change (S5).")
class SaveBaseImageInput:
    name: str = _must("Name for people, 1 to 256 characters.")
    id: ID | None = _maybe(_NEW)
    description: str | None = _maybe(f"What it is, at most 4096 characters. {_KEPT}")
    container_image: str | None = _maybe(f"Where it can be pulled. {_KEPT}")
    operating_system: OperatingSystemInput | None = _maybe(f"The system inside. {_KEPT}")
    healthy: bool | None = _maybe(f"Whether it could be pulled at the last check. {_KEPT}")
    last_checked_at: datetime.datetime | None = _maybe(f"When that was. {_KEPT}")


_IF_MATCH = "The etag that the release must still have."
_KEY = "Within 24 hours, the same request with the same key, of at most 255 characters, gets the same answer."
_DRY = "Tries everything and stores nothing."


@strawberry.input(description="A draft to publish.")
class PublishReleaseInput:
    id: ID = _must("The release.")
    if_match: str | None = _maybe(_IF_MATCH)
    idempotency_key: str | None = _maybe(_KEY)
    dry_run: bool | None = _maybe(_DRY)


@strawberry.input(description="A release to archive.")
class ArchiveReleaseInput:
    id: ID = _must("The release.")
    if_match: str | None = _maybe(_IF_MATCH)
    idempotency_key: str | None = _maybe(_KEY)
    dry_run: bool | None = _maybe(_DRY)


@strawberry.input(description="A published release to take back.")
class WithdrawReleaseInput:
    id: ID = _must("The release.")
    reason: str = _must("Why, for those who depend on it: 1 to 4096 characters.")
    replacement_id: ID | None = _maybe("What to use instead.")
    if_match: str | None = _maybe(_IF_MATCH)
    idempotency_key: str | None = _maybe(_KEY)
    dry_run: bool | None = _maybe(_DRY)
