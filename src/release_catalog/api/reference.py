"""Where releases are built and kept: base images and registries (S5)."""

import datetime

import strawberry


@strawberry.type(description="An operating system (S5).")
class OperatingSystem:
    id: strawberry.ID = strawberry.field(description="Unique identifier.")
    name: str = strawberry.field(description="Name for people, such as Debian 12.")
    distro: str | None = strawberry.field(description="Distribution, such as debian.")
    version: str | None = strawberry.field(description="Version of the distribution.")


@strawberry.type(description="An image that releases are built upon (S5).")
class BaseImage:
    id: strawberry.ID = strawberry.field(description="Unique identifier.")
    name: str = strawberry.field(description="Name for people.")
    description: str | None = strawberry.field(description="What it is.")
    container_image: str | None = strawberry.field(description="Where it can be pulled.")
    operating_system: OperatingSystem | None = strawberry.field(description="The system inside.")
    healthy: bool | None = strawberry.field(description="Whether it could be pulled at the last check.")
    last_checked_at: datetime.datetime | None = strawberry.field(description="When that was.")


@strawberry.type(description="A registry that releases are pushed to (S5).")
class Registry:
    id: strawberry.ID = strawberry.field(description="Unique identifier.")
    name: str = strawberry.field(description="Name for people.")
    url: str = strawberry.field(description="Where the registry answers.")
    healthy: bool | None = strawberry.field(description="Whether it answered at the last check.")
    last_checked_at: datetime.datetime | None = strawberry.field(description="When that was.")
