"""The limits on requests, which the settings of a process can change."""

from pydantic import BaseModel, ConfigDict, Field

from release_catalog import usage


class Limits(BaseModel):
    """The limits on requests to a process."""

    model_config = ConfigDict(frozen=True)

    max_body_bytes: int = Field(default=1 << 20, ge=1, description="Maximum size of a request body, in bytes.")
    max_tokens: int = Field(default=2_000, ge=1, description="Maximum number of tokens in a GraphQL document.")
    max_depth: int = Field(
        default=12, ge=1, le=100, description="Maximum number of nested fields in a GraphQL document."
    )
    max_aliases: int = Field(default=50, ge=0, description="Maximum number of aliases in a GraphQL document.")
    max_directives: int = Field(
        default=50, ge=0, description="Maximum number of directives in a GraphQL document."
    )
    max_cost: int = Field(default=5_000, ge=1, description="Maximum cost of an operation, in points.")
    max_nodes: int = Field(default=usage.MAX_NODES, ge=1, description="Maximum number of objects in a response.")
    max_response_bytes: int = Field(
        default=usage.MAX_BYTES,
        ge=1 << 10,
        description="Maximum number of bytes that a request reads from the database, and of its response.",
    )
    max_list: int = Field(
        default=250, ge=1, description="Maximum number of entries of a list in the input of an operation."
    )
    max_concurrency: int = Field(
        default=100, ge=1, description="Maximum number of concurrent requests of one caller, per process."
    )
    max_concurrency_per_tenant: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of concurrent requests of one tenant, per process. By default, a tenant may "
        "use as many as it leaves free for others.",
    )
    max_concurrency_total: int = Field(
        default=500, ge=1, description="Maximum number of concurrent requests, per process."
    )
    # `rateLimit` shows it as an Int of GraphQL.
    cost_per_hour: int | None = Field(
        default=None,
        ge=0,
        le=(1 << 31) - 1,
        description="Maximum number of points of a caller in an hour, per process. 0 means no limit. Defaults to "
        "a million with authentication, to no limit without.",
    )
    query_seconds: float = Field(
        default=15, gt=0, le=120, description="Time limit of a request's database commands, in seconds."
    )

    @property
    def tenants_share(self) -> bool:
        """Return whether tenants leave room for one another."""
        return False

    @property
    def points_per_hour(self) -> int:
        """Return the points that a caller may use in an hour; 0 sets no limit."""
        return self.cost_per_hour or 0
