"""The environment, read once into a frozen object."""

import urllib.parse
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from release_catalog.files import guard


def origins(value: str) -> list[str]:
    """The origins in a list with commas."""
    return [origin.strip() for origin in value.split(",") if origin.strip()]


class Settings(BaseSettings):
    """Settings of a process; each is the environment variable `RELEASE_CATALOG_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="RELEASE_CATALOG_", frozen=True, env_ignore_empty=True)

    mongodb_url: str | None = Field(
        default=None,
        description="MongoDB to use: a replica set or a sharded cluster. Without it, one of its own.",
    )
    database: str = Field(default="release_catalog", description="Name of the database.")
    data_dir: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("release-catalog", appauthor=False)),
        description="Where the MongoDB of its own keeps its data.",
    )
    host: str = Field(default="127.0.0.1", description="Address to serve at.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to serve at; 0 takes any free one.")
    tenant: str = Field(default="local", min_length=1, description="Tenant of callers without credentials.")
    documents: Path | None = Field(
        default=None,
        description="JSON file of trusted documents by their ids; with it, no others are answered.",
    )
    plans: Literal["on", "off"] = Field(
        default="on", description="off answers queries without compiling them: slower, and the same."
    )
    max_body_bytes: int = Field(default=1 << 20, ge=1, description="Larger request bodies are refused.")
    max_tokens: int = Field(default=2_000, ge=1, description="Tokens of a GraphQL document.")
    max_depth: int = Field(default=12, ge=1, le=100, description="Levels of fields in a GraphQL document.")
    max_aliases: int = Field(default=50, ge=0, description="Aliases in a GraphQL document.")
    max_directives: int = Field(default=50, ge=0, description="Directives in a GraphQL document.")
    max_cost: int = Field(default=5_000, ge=1, description="Points that an operation may cost.")
    max_nodes: int = Field(default=50_000, ge=1, description="Objects that an operation may answer with.")
    max_list: int = Field(default=250, ge=1, description="Entries of a list in a GraphQL operation's input.")
    max_concurrency: int = Field(default=100, ge=1, description="Requests of one caller at a time, for a process.")
    cost_per_hour: int | None = Field(
        default=None,
        ge=0,
        description="Points that a caller may use in an hour, for a process; 0 sets no limit. If not said, a "
        "million where callers log in and no limit elsewhere.",
    )
    query_seconds: float = Field(
        default=15, gt=0, le=120, description="Seconds that a request's database commands may take."
    )
    max_connections: int = Field(default=1_000, ge=10, description="Connections to a process at a time.")
    receive_seconds: float = Field(
        default=10, gt=0, le=600, description="Seconds in which the head of a request has to arrive."
    )
    cors_origins: str = Field(
        default="",
        description="Origins of pages that may read answers, such as https://portal.example, separated by commas.",
    )
    public_schema: bool | None = Field(
        default=None,
        description="Whether introspection, suggestions and GraphiQL are on; if not said, where nobody logs in.",
    )
    log_format: Literal["auto", "json", "text"] = Field(
        default="auto", description="json, text, or auto: text on a terminal and json elsewhere."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least serious messages that are logged."
    )
    files_allow: str = Field(
        default="",
        description="Where files may be fetched from and events sent to besides public addresses: addresses, "
        "networks, and hosts or addresses with a port, separated by commas.",
    )
    files_max_bytes: int = Field(
        default=10 * 1024**3, ge=0, le=2**63 - 1, description="Files that declare more bytes are not fetched."
    )
    files_deadline: float = Field(
        default=300, gt=0, le=86_400, description="Seconds in which all files of a release are fetched."
    )
    files_at_once: int = Field(
        default=4,
        ge=1,
        le=64,
        description="Files of one release fetched at a time; over all releases, 8 times that.",
    )

    events_days: int = Field(
        default=90, ge=1, le=3650, description="Days for which events and the log of deliveries are kept."
    )

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: str) -> str:
        for origin in origins(value):
            parts = urllib.parse.urlsplit(origin)
            if parts.scheme not in {"http", "https"} or origin != f"{parts.scheme}://{parts.netloc}":
                raise ValueError(f"{origin!r} is no origin: give a scheme, a host and maybe a port, and no path")
        return value

    @field_validator("files_allow")
    @classmethod
    def _readable(cls, value: str) -> str:
        guard.parse(value)
        return value
