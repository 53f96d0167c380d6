"""The settings of a process, read once from the environment into a frozen object."""

import ipaddress
import os
import urllib.parse
from pathlib import Path
from typing import Literal, Self

import platformdirs
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from release_catalog import secret_files
from release_catalog.files import address_guard
from release_catalog.request_limits import Limits

_PREFIX = "RELEASE_CATALOG_"
# The names of this machine: no page on another site can make a browser send one of them as its own.
HOME_HOSTS = ("localhost", "127.0.0.1", "::1", "[::1]")
_MIN_SECRET = 32
# MongoDB's rules for the names of databases.
_MAX_NAME, _NOT_IN_NAMES = 63, set('/\\. "$\0')
# The points of a caller who logs in, unless the settings give another number.
_POINTS_PER_HOUR = 1_000_000
# A public key must never be taken for a secret, so each kind of algorithm excludes the other.
_SHARED, _PUBLISHED = ("HS256",), ("RS256", "ES256", "EdDSA")


def origins(value: str) -> list[str]:
    """Return the origins in a comma-separated list."""
    return [origin.strip() for origin in value.split(",") if origin.strip()]


def variables() -> list[str]:
    """Return the environment variables that are settings, or name the file of a secret one."""
    return [_PREFIX + name.upper() for name in Settings.model_fields] + secret_files.names(Settings)


def networks(value: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Return the networks in a comma-separated list of addresses and networks; raise ValueError for others."""
    return [ipaddress.ip_network(entry.strip()) for entry in value.split(",") if entry.strip()]


def unknown() -> list[str]:
    """Return the environment variables that look like settings but do not exist: they may be misspelt."""
    known = set(variables())
    return sorted(name for name in os.environ if name.startswith(_PREFIX) and name not in known)


# Who may read the schema.
Introspection = Literal["public", "authenticated", "off"]


class Settings(Limits, BaseSettings):
    """Settings of a process; each is the environment variable `RELEASE_CATALOG_<NAME>`."""

    # An invalid value may be a secret with a typing error, so errors do not repeat it.
    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, frozen=True, env_ignore_empty=True, hide_input_in_errors=True
    )

    mongodb_url: str | None = Field(
        default=None,
        repr=False,  # it may hold a password
        description="URL of a MongoDB replica set or sharded cluster. Defaults to an embedded MongoDB.",
    )
    database: str = Field(default="release_catalog", description="Name of the database.")
    database_wait_seconds: float = Field(
        default=0,
        ge=0,
        le=3_600,
        description="Maximum wait for MongoDB at the start, in seconds. With 0, the start fails at once.",
    )
    data_dir: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("release-catalog", appauthor=False)),
        description="Data folder of the embedded MongoDB.",
    )
    host: str = Field(default="127.0.0.1", description="Address to listen at.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen at. Use 0 for any free port.")
    tenant: str = Field(default="local", min_length=1, description="Tenant of callers without credentials.")
    documents: Path | None = Field(
        default=None,
        description="JSON file of trusted documents by their ids. With it, other documents are refused.",
    )
    plans: Literal["on", "off"] = Field(
        default="on", description="off executes queries without compiling them: slower, with the same responses."
    )
    max_connections: int = Field(
        default=1_000,
        ge=10,
        description="Maximum number of connections to a process, without those of subscribers.",
    )
    receive_seconds: float = Field(
        default=10, gt=0, le=600, description="Time limit for the head of a request to arrive, in seconds."
    )
    cors_origins: str = Field(
        default="",
        description="Origins of pages that may read responses, such as https://portal.example, separated by "
        "commas.",
    )
    introspection: Introspection | None = Field(
        default=None,
        description="Who may read the schema, by introspection or as a file, and gets suggestions in errors: "
        "public (everybody), authenticated (known callers), or off (nobody, and there is no GraphiQL). Defaults "
        "to authenticated with authentication, to public without.",
    )
    authentication: Literal["auto", "required"] = Field(
        default="auto",
        description="required: all callers need credentials. auto: they need them if service accounts or an "
        "issuer of JWTs are set.",
    )
    accounts: Path | None = Field(default=None, description="File of service accounts, for HTTP Basic.")
    jwt_issuer: str | None = Field(default=None, description="Required claim iss of JWTs.")
    jwt_audience: str | None = Field(default=None, description="Required claim aud of JWTs.")
    jwt_secret: SecretStr | None = Field(
        default=None, description="Secret that signs JWTs (HS256), at least 32 bytes."
    )
    jwt_jwks_url: str | None = Field(
        default=None, description="URL of the issuer's signing keys: https, or http on this machine."
    )
    jwt_algorithms: str = Field(
        default="",
        description="Allowed signature algorithms of JWTs, separated by commas: HS256 with a secret; RS256, "
        "ES256 and EdDSA with published keys. Defaults to all of these.",
    )
    jwt_tenant_claim: str = Field(default="tenant", description="Claim of JWTs that contains the tenant.")
    log_format: Literal["auto", "json", "text"] = Field(
        default="auto",
        description="Format of the log: json, text, or auto, which is text on a terminal and json elsewhere.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Minimum level of logged messages."
    )
    slow_seconds: float = Field(
        default=1.0,
        ge=0,
        le=3_600,
        description="Time of an operation from which the log describes its database commands, in seconds. 0 means "
        "never.",
    )
    trusted_proxies: str = Field(
        default="",
        description="Proxies whose X-Forwarded-For names the client, for the log and for limits by address: "
        "addresses and networks, separated by commas.",
    )
    metrics: Literal["on", "off"] = Field(
        default="off",
        description="on answers Prometheus at /metrics. With authentication, it needs the scope operations:read.",
    )
    metrics_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port of its own that answers Prometheus without credentials. Unset, there is no such port.",
    )
    metrics_host: str = Field(
        default="127.0.0.1", description="Address of the port for metrics: only the operator may reach it."
    )
    files_allow: str = Field(
        default="",
        description="Allowed destinations for files and webhooks besides public addresses: addresses, networks, "
        "and hosts or addresses with a port, separated by commas.",
    )
    files_max_bytes: int = Field(
        default=10 * 1024**3,
        ge=0,
        le=2**63 - 1,
        description="Maximum size of a file to fetch, declared or sent, in bytes.",
    )
    files_deadline: float = Field(
        default=300, gt=0, le=86_400, description="Time limit for fetching all files of a release, in seconds."
    )
    files_at_once: int = Field(
        default=4,
        ge=1,
        le=64,
        description="Maximum number of concurrent downloads for a release. All releases together have 8 times as "
        "many, one tenant half of those.",
    )
    files_min_rate: int = Field(
        default=1_024,
        ge=0,
        le=2**30,
        description="Minimum transfer rate of a file, in bytes a second, on average after 10 seconds. 0 means no "
        "limit.",
    )

    events_days: int = Field(
        default=90, ge=1, le=3650, description="Retention of events and of the log of webhook deliveries, in days."
    )
    subscribers: int = Field(
        default=10_000,
        ge=0,
        le=1_000_000,
        description="Maximum number of WebSockets and event streams, per process.",
    )
    subscribers_per_tenant: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of WebSockets and event streams of one tenant, per process. By default, a "
        "tenant may use as many as it leaves free for others.",
    )
    subscribers_per_caller: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of WebSockets and event streams of one caller, per process. Defaults to a "
        "tenth of all with authentication, to all without.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources of settings, first those that take precedence."""
        return init_settings, secret_files.SecretFiles(settings_cls), env_settings

    @field_validator("*", mode="before")
    @classmethod
    def _usable(cls, value: object) -> object:
        if isinstance(value, secret_files.Unusable):
            raise ValueError(value.reason)  # noqa: TRY004  the text of the file is at fault
        return value

    @field_validator("mongodb_url")
    @classmethod
    def _of_mongodb(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("mongodb://", "mongodb+srv://")):
            raise ValueError("this is not the URL of a MongoDB: begin it with mongodb:// or mongodb+srv://")
        return value

    @field_validator("database")
    @classmethod
    def _name(cls, value: str) -> str:
        if len(value.encode()) > _MAX_NAME or set(value) & _NOT_IN_NAMES:
            raise ValueError(
                f"MongoDB takes no database of this name: give at most {_MAX_NAME} bytes, without a space or "
                '/ \\ . " $'
            )
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: str) -> str:
        for origin in origins(value):
            parts = urllib.parse.urlsplit(origin)
            if parts.scheme not in {"http", "https"} or origin != f"{parts.scheme}://{parts.netloc}":
                raise ValueError(
                    f"{origin!r} is not an origin: give a scheme, a host and an optional port, without a path"
                )
        return value

    @field_validator("files_allow")
    @classmethod
    def _readable(cls, value: str) -> str:
        address_guard.parse(value)
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        try:
            networks(value)
        except ValueError as error:
            raise ValueError(f"{error}: give addresses and networks, such as 10.0.0.0/8") from error
        return value

    @field_validator("jwt_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value and len(value.get_secret_value().encode()) < _MIN_SECRET:
            raise ValueError(
                f"the secret is too short: give at least {_MIN_SECRET} bytes, such as those of openssl rand "
                "-hex 32"
            )
        return value

    @field_validator("jwt_jwks_url")
    @classmethod
    def _safe(cls, value: str | None) -> str | None:
        parts = urllib.parse.urlsplit(value or "https://none")
        at_home = parts.scheme == "http" and parts.hostname in {"localhost", "127.0.0.1", "::1"}
        if not parts.hostname or "@" in parts.netloc or not (parts.scheme == "https" or at_home):
            raise ValueError(
                "the URL is unsafe: give an https URL without a password, or an http URL of this machine"
            )
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        parts = (self.jwt_issuer, self.jwt_audience, self.jwt_secret or self.jwt_jwks_url)
        if any(parts) and not all(parts):
            raise ValueError(
                "JWTs need RELEASE_CATALOG_JWT_ISSUER, _AUDIENCE, and _SECRET or _JWKS_URL: set all three"
            )
        if self.jwt_secret and self.jwt_jwks_url:
            raise ValueError("RELEASE_CATALOG_JWT_SECRET and _JWT_JWKS_URL exclude each other: set one of them")
        known = _SHARED if self.jwt_secret else _PUBLISHED
        if any(parts) and not set(self.algorithms) <= set(known):
            raise ValueError(
                "RELEASE_CATALOG_JWT_ALGORITHMS has an algorithm that is not allowed: set any of "
                f"{', '.join(known)}"
            )
        return self

    @property
    def authenticated(self) -> bool:
        """Return whether callers need credentials."""
        return self.authentication == "required" or bool(self.accounts or self.jwt_issuer)

    @property
    def schema_readers(self) -> Introspection:
        """Return who may read the schema; without the setting, it depends on who may call."""
        return self.introspection or ("authenticated" if self.authenticated else "public")

    @property
    def tenants_share(self) -> bool:
        """Return whether tenants leave room for one another, as they do if callers log in."""
        return self.authenticated

    @property
    def points_per_hour(self) -> int:
        """Return the points that a caller may use in an hour; without the setting, it depends on who may call."""
        if self.cost_per_hour is None:
            return _POINTS_PER_HOUR if self.authenticated else 0
        return self.cost_per_hour

    @property
    def caller_subscribers(self) -> int:
        """Return the maximum number of subscribers of one caller."""
        usual = max(1, self.subscribers // 10) if self.authenticated else self.subscribers
        return self.subscribers_per_caller or usual

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return the host names that requests may be for, unless the application names others.

        Without authentication they are those of this machine and the configured address: a page may lead a name of
        its own to this machine (DNS rebinding), but its requests still carry that name. If callers need
        credentials, such a page has none, and a proxy passes on whichever name it serves.
        """
        return ("*",) if self.authenticated else (*HOME_HOSTS, self.host)

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Return the algorithms with which JWTs may be signed."""
        named = tuple(filter(None, (name.strip() for name in self.jwt_algorithms.split(","))))
        return named or (_SHARED if self.jwt_secret else _PUBLISHED)
