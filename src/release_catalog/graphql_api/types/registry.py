"""The places where releases are built and kept: base images and registries (S5)."""

import datetime

import strawberry

from release_catalog.graphql_api.fields import field


@strawberry.type(description="An operating system (S5).")
class OperatingSystem:
    id: strawberry.ID = field("Unique identifier.")
    name: str = field("Name for people, such as Debian 12.")
    distro: str | None = field("Distribution, such as debian.")
    version: str | None = field("Version of the distribution.")


@strawberry.type(description="An image that releases are built upon (S5).")
class BaseImage:
    id: strawberry.ID = field("Unique identifier.")
    name: str = field("Name for people.")
    description: str | None = field("What it is.")
    container_image: str | None = field("Where it can be pulled.")
    operating_system: OperatingSystem | None = field("The system inside.")
    healthy: bool | None = field("Whether it could be pulled at the last check.")
    last_checked_at: datetime.datetime | None = field("When that was.")


@strawberry.type(description="A registry that releases are pushed to (S5).")
class Registry:
    id: strawberry.ID = field("Unique identifier.")
    name: str = field("Name for people.")
    url: str = field("Where the registry answers.")
    healthy: bool | None = field("Whether it answered at the last check.")
    last_checked_at: datetime.datetime | None = field("When that was.")
