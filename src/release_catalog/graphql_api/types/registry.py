"""The places where releases are built and kept: base images and registries (S5)."""

import datetime

import strawberry

from release_catalog.graphql_api.fields import field
from release_catalog.graphql_api.types.node import Node, node_id


@strawberry.type(
    description="An operating system (S5). Caches must not keep it by its id, which is unique only within its "
    "base image."
)
class OperatingSystem:
    id: strawberry.ID = field("Identifier, unique only within its base image.")
    name: str = field("Display name, such as Debian 12.")
    distro: str | None = field("Short name of the distribution, such as debian.")
    version: str | None = field("Version of the distribution, at most 64 characters.")


@strawberry.type(description="A base image that releases are built on (S5).")
class BaseImage(Node):
    node_id: strawberry.ID = node_id("BaseImage")
    id: strawberry.ID = field("Unique identifier.")
    name: str = field("Display name.")
    description: str | None = field("Description.")
    container_image: str | None = field("Pull reference of the image.")
    operating_system: OperatingSystem | None = field("Operating system of the image.")
    healthy: bool | None = field("Whether the image could be pulled at the last check. Null if unknown.")
    last_checked_at: datetime.datetime | None = field("Time of the last check. Null if unknown.")


@strawberry.type(description="A registry that releases are pushed to (S5).")
class Registry(Node):
    node_id: strawberry.ID = node_id("Registry")
    id: strawberry.ID = field("Unique identifier.")
    name: str = field("Display name.")
    url: str = field("URL of the registry.")
    healthy: bool | None = field("Whether the registry answered at the last check. Null if unknown.")
    last_checked_at: datetime.datetime | None = field("Time of the last check. Null if unknown.")
