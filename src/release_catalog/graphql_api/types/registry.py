"""The places where releases are built and kept: base images and registries (S5)."""

import datetime

import strawberry

from release_catalog.graphql_api.fields import field


@strawberry.type(description="An operating system (S5).")
class OperatingSystem:
    id: strawberry.ID = field("Unique identifier.")
    name: str = field("Display name, such as Debian 12.")
    distro: str | None = field("Short name of the distribution, such as debian.")
    version: str | None = field("Version of the distribution, at most 64 characters.")


@strawberry.type(description="A base image that releases are built on (S5).")
class BaseImage:
    id: strawberry.ID = field("Unique identifier.")
    name: str = field("Display name.")
    description: str | None = field("Description.")
    container_image: str | None = field("Pull reference of the image.")
    operating_system: OperatingSystem | None = field("Operating system of the image.")
    healthy: bool | None = field("Whether the image could be pulled at the last check. Null if unknown.")
    last_checked_at: datetime.datetime | None = field("Time of the last check. Null if unknown.")


@strawberry.type(description="A registry that releases are pushed to (S5).")
class Registry:
    id: strawberry.ID = field("Unique identifier.")
    name: str = field("Display name.")
    url: str = field("URL of the registry.")
    healthy: bool | None = field("Whether the registry answered at the last check. Null if unknown.")
    last_checked_at: datetime.datetime | None = field("Time of the last check. Null if unknown.")
