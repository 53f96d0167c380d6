"""Where releases are built and kept: base images and registries (S5)."""

import datetime

import strawberry

from release_catalog.api.fields import plain


@strawberry.type(description="An operating system (S5).")
class OperatingSystem:
    id: strawberry.ID = plain("Unique identifier.")
    name: str = plain("Name for people, such as Debian 12.")
    distro: str | None = plain("Distribution, such as debian.")
    version: str | None = plain("Version of the distribution.")


@strawberry.type(description="An image that releases are built upon (S5).")
class BaseImage:
    id: strawberry.ID = plain("Unique identifier.")
    name: str = plain("Name for people.")
    description: str | None = plain("What it is.")
    container_image: str | None = plain("Where it can be pulled.")
    operating_system: OperatingSystem | None = plain("The system inside.")
    healthy: bool | None = plain("Whether it could be pulled at the last check.")
    last_checked_at: datetime.datetime | None = plain("When that was.")


@strawberry.type(description="A registry that releases are pushed to (S5).")
class Registry:
    id: strawberry.ID = plain("Unique identifier.")
    name: str = plain("Name for people.")
    url: str = plain("Where the registry answers.")
    healthy: bool | None = plain("Whether it answered at the last check.")
    last_checked_at: datetime.datetime | None = plain("When that was.")
