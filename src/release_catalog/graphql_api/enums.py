"""The contract's enumerations. Documents hold the names of their values."""

import enum

import strawberry
from strawberry import enum_value as _value


@strawberry.enum(
    description="Lifecycle status of a release: DRAFT, then PUBLISHED, then WITHDRAWN or ARCHIVED. A "
    "withdrawn release may be archived."
)
class ReleaseStatus(enum.Enum):
    DRAFT = _value("DRAFT", description="In preparation. All fields may change.")
    PUBLISHED = _value("PUBLISHED", description="Published. Files, images and dependencies no longer change.")
    WITHDRAWN = _value(
        "WITHDRAWN", description="Withdrawn with a reason. Releases that depend on it still find it."
    )
    ARCHIVED = _value("ARCHIVED", description="Kept for the record only.")


@strawberry.enum(description="Packaging format of a release (S5).")
class PackagingType(enum.Enum):
    HELM_CHART = _value("HELM_CHART", description="Helm chart for Kubernetes.")
    OVA = _value("OVA", description="Virtual machine image.")
    CONTAINER_IMAGE = _value("CONTAINER_IMAGE", description="OCI container image.")


@strawberry.enum(description="Direction of a walk along dependencies.")
class GraphDirection(enum.Enum):
    DEPENDENCIES = _value("DEPENDENCIES", description="From a release to the releases that it needs.")
    DEPENDANTS = _value("DEPENDANTS", description="From a release to the releases that need it.")


@strawberry.enum(description="Result of fetching and hashing a file.")
class VerificationStatus(enum.Enum):
    PENDING = _value("PENDING", description="Waiting to be fetched and hashed.")
    VERIFIED = _value("VERIFIED", description="Digest and size equal the declared values.")
    MISMATCH = _value("MISMATCH", description="Digest or size differs from the declared value.")
    UNREACHABLE = _value("UNREACHABLE", description="The file could not be fetched.")
    SKIPPED = _value("SKIPPED", description="No verification was requested.")


@strawberry.enum(description="Kind of difference between two releases.")
class ChangeKind(enum.Enum):
    ADDED = _value("ADDED", description="Only the second release has the entry.")
    REMOVED = _value("REMOVED", description="Only the first release has the entry.")
    CHANGED = _value("CHANGED", description="Both releases have the entry, with different values.")


@strawberry.enum(
    description="Format and order of the versions of a product. In every scheme, a constraint compares by >=, >, "
    "<=, <, = and !=, joined by commas, as in `>=1.2,<2`."
)
class VersionScheme(enum.Enum):
    DOTTED = _value("DOTTED", description="Two to four numbers separated by dots, compared one by one (S2).")
    SEMVER = _value(
        "SEMVER",
        description="Semantic Versioning 2.0.0, in its order of precedence. A constraint has the meaning of npm: "
        "also `^1.2`, `~1.2`, `1.x`, `*`, `1.2 - 1.4` and `||`, and no pre-release unless the constraint "
        "names one of the same version.",
    )
    ANY = _value(
        "ANY",
        description="Any text of 1 to 64 characters, in natural order: runs of digits count as numbers, and "
        "`1.0-rc.1` is below `1.0` (S5). A constraint `<2` excludes the pre-releases of 2.",
    )
    DEBIAN = _value("DEBIAN", description="Versions of Debian packages, such as `2:2.9-6`, in the order of dpkg.")
    PEP440 = _value(
        "PEP440",
        description="Versions of Python packages, in the order of pip. A constraint also takes `~=1.4` and "
        "`==1.*`; pre-releases match if it names one, or if no release matches.",
    )
    MAVEN = _value(
        "MAVEN",
        description="Versions of Maven artifacts, in the order of Maven. A constraint also takes intervals such "
        "as `[1.2,2)`.",
    )


@strawberry.enum(description="Progress of the delivery of a release (S4).")
class DeliveryStatus(enum.Enum):
    NOT_STARTED = _value("NOT_STARTED", description="Planned, not started.")
    STARTED = _value("STARTED", description="In progress.")
    SUSPENDED = _value("SUSPENDED", description="Interrupted. It can be resumed.")
    COMPLETED = _value("COMPLETED", description="Finished. No other status follows.")


@strawberry.enum(description="Status of a pipeline run.")
class ExecutionStatus(enum.Enum):
    RUNNING = _value("RUNNING", description="The run has not ended.")
    SUCCEEDED = _value("SUCCEEDED", description="The run ended without an error.")
    FAILED = _value("FAILED", description="The run ended with an error.")


@strawberry.enum(description="Scope of a project's deployments (S4).")
class DeploymentType(enum.Enum):
    FULL = _value("FULL", description="All files, each time.")
    PARTIAL = _value("PARTIAL", description="A named package, or all files on request.")


@strawberry.enum(description="Result of an attempt to promote a release (S3).")
class PromotionStatus(enum.Enum):
    COMPLETED = _value("COMPLETED", description="The environment holds the promoted files and images.")
    FAILED = _value("FAILED", description="The attempt broke off. The environment is unchanged.")
    REJECTED = _value("REJECTED", description="A rule refused the attempt. The environment is unchanged.")
    ROLLED_BACK = _value("ROLLED_BACK", description="The record undoes an earlier promotion.")


@strawberry.enum(description="Delivery of an event to a webhook.")
class WebhookDeliveryStatus(enum.Enum):
    PENDING = _value("PENDING", description="Not accepted yet. Retried while the webhook is active.")
    DELIVERED = _value("DELIVERED", description="Accepted by the receiver.")
    FAILED = _value("FAILED", description="Given up after the last attempt. A replay sends the event again.")


@strawberry.enum(description="Sort key of releases.")
class ReleaseOrderField(enum.Enum):
    CREATED_AT = _value("CREATED_AT", description="Time of the creation.")
    UPDATED_AT = _value("UPDATED_AT", description="Time of the last change.")
    RELEASED_AT = _value(
        "RELEASED_AT", description="Time when the release was finished. Releases without a time count as oldest."
    )
    PUBLISHED_AT = _value(
        "PUBLISHED_AT", description="Time of the publication. Releases that were never published count as oldest."
    )
    NAME = _value("NAME", description="Name, compared character by character.")
    VERSION = _value("VERSION", description="Version, in the order of the product's version scheme.")


@strawberry.enum(description="Sort direction.")
class OrderDirection(enum.Enum):
    ASC = _value("ASC", description="Lowest or oldest first.")
    DESC = _value("DESC", description="Highest or newest first.")
