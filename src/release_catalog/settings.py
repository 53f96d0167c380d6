"""The environment, read once into a frozen object."""

from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from release_catalog.files import guard


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
    subscribers: int = Field(
        default=10_000,
        ge=0,
        le=1_000_000,
        description="WebSockets and event streams that a process serves.",
    )

    @field_validator("files_allow")
    @classmethod
    def _readable(cls, value: str) -> str:
        guard.parse(value)
        return value
