"""Where releases are built and kept: base images and registries (S5)."""

import datetime

import strawberry

from release_catalog.api.fields import must


@strawberry.type(description="An operating system (S5).")
class OperatingSystem:
    id: strawberry.ID = must("Unique identifier.")
    name: str = must("Name for people, such as Debian 12.")
    distro: str | None = must("Distribution, such as debian.")
    version: str | None = must("Version of the distribution.")


@strawberry.type(description="An image that releases are built upon (S5).")
class BaseImage:
    id: strawberry.ID = must("Unique identifier.")
    name: str = must("Name for people.")
    description: str | None = must("What it is.")
    container_image: str | None = must("Where it can be pulled.")
    operating_system: OperatingSystem | None = must("The system inside.")
    healthy: bool | None = must("Whether it could be pulled at the last check.")
    last_checked_at: datetime.datetime | None = must("When that was.")


@strawberry.type(description="A registry that releases are pushed to (S5).")
class Registry:
    id: strawberry.ID = must("Unique identifier.")
    name: str = must("Name for people.")
    url: str = must("Where the registry answers.")
    healthy: bool | None = must("Whether it answered at the last check.")
    last_checked_at: datetime.datetime | None = must("When that was.")
