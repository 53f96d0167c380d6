"""The contract's enumerations. Documents hold the names of their values."""

import enum

import strawberry
from strawberry import enum_value as _value


@strawberry.enum(description="Where a release is in its life: DRAFT, then PUBLISHED, then WITHDRAWN or ARCHIVED.")
class ReleaseStatus(enum.Enum):
    DRAFT = _value("DRAFT", description="Being prepared: everything may still change.")
    PUBLISHED = _value("PUBLISHED", description="Out: its files, images and dependencies never change again.")
    WITHDRAWN = _value("WITHDRAWN", description="Taken back for a reason; what depends on it still finds it.")
    ARCHIVED = _value("ARCHIVED", description="Kept for the record.")


@strawberry.enum(description="How a release is packaged (S5).")
class PackagingType(enum.Enum):
    HELM_CHART = _value("HELM_CHART", description="A chart for Kubernetes.")
    OVA = _value("OVA", description="A virtual machine.")
    CONTAINER_IMAGE = _value("CONTAINER_IMAGE", description="An OCI image.")


@strawberry.enum(description="Which way to follow dependencies.")
class GraphDirection(enum.Enum):
    DEPENDENCIES = _value("DEPENDENCIES", description="To what a release needs.")
    DEPENDANTS = _value("DEPENDANTS", description="To what needs a release.")


@strawberry.enum(description="What is known of a file from looking at it.")
class VerificationStatus(enum.Enum):
    PENDING = _value("PENDING", description="Waiting to be fetched and hashed.")
    VERIFIED = _value("VERIFIED", description="Its bytes have the digest and the size that were declared.")
    MISMATCH = _value("MISMATCH", description="Its bytes differ from what was declared.")
    UNREACHABLE = _value("UNREACHABLE", description="It could not be fetched.")
    SKIPPED = _value("SKIPPED", description="Nobody asked to look at it.")


@strawberry.enum(description="What happened to an entry between two releases.")
class ChangeKind(enum.Enum):
    ADDED = _value("ADDED", description="Only the later release has it.")
    REMOVED = _value("REMOVED", description="Only the earlier release has it.")
    CHANGED = _value("CHANGED", description="Both have it, and it differs.")


@strawberry.enum(
    description="DOTTED: two to four dot-separated numbers (S2). SEMVER: Semantic Versioning 2. "
    "ANY: any text of 1 to 64 characters (S5)."
)
class VersionScheme(enum.Enum):
    DOTTED = _value("DOTTED", description="Two to four numbers, compared one by one.")
    SEMVER = _value("SEMVER", description="Semantic Versioning 2.0.0 with its own precedence.")
    ANY = _value("ANY", description="Any text, in natural order: runs of digits count as numbers.")


@strawberry.enum(description="How far the delivery of a release is (S4).")
class DeliveryStatus(enum.Enum):
    NOT_STARTED = _value("NOT_STARTED", description="Planned.")
    STARTED = _value("STARTED", description="Under way.")
    SUSPENDED = _value("SUSPENDED", description="Held.")
    COMPLETED = _value("COMPLETED", description="Done.")


@strawberry.enum(description="How a run of a pipeline stands.")
class ExecutionStatus(enum.Enum):
    RUNNING = _value("RUNNING", description="Not ended yet.")
    SUCCEEDED = _value("SUCCEEDED", description="Ended well.")
    FAILED = _value("FAILED", description="Ended badly.")


@strawberry.enum(description="What a project's deployments replace (S4).")
class DeploymentType(enum.Enum):
    FULL = _value("FULL", description="Everything, each time.")
    PARTIAL = _value("PARTIAL", description="A package of chosen files.")


@strawberry.enum(description="How an attempt to promote ended (S3).")
class PromotionStatus(enum.Enum):
    COMPLETED = _value("COMPLETED", description="The environment holds what was promoted.")
    FAILED = _value("FAILED", description="It broke off; the environment is as it was.")
    REJECTED = _value("REJECTED", description="A rule refused it; the environment is as it was.")
    ROLLED_BACK = _value("ROLLED_BACK", description="An earlier promotion was undone.")


@strawberry.enum(description="What became of telling a webhook of an event.")
class WebhookDeliveryStatus(enum.Enum):
    PENDING = _value("PENDING", description="Not taken yet: it is tried again, once the webhook is active.")
    DELIVERED = _value("DELIVERED", description="The receiver took it.")
    FAILED = _value("FAILED", description="Given up after the last attempt; a replay tells it again.")


@strawberry.enum(description="What releases are ordered by.")
class ReleaseOrderField(enum.Enum):
    CREATED_AT = _value("CREATED_AT", description="When it was created.")
    UPDATED_AT = _value("UPDATED_AT", description="When it last changed.")
    RELEASED_AT = _value(
        "RELEASED_AT", description="When it was finished; releases without a time count as oldest."
    )
    NAME = _value("NAME", description="Its name, character by character.")
    VERSION = _value("VERSION", description="Its version, by the scheme of its product.")


@strawberry.enum(description="Which end of an order comes first.")
class OrderDirection(enum.Enum):
    ASC = _value("ASC", description="The lowest or oldest first.")
    DESC = _value("DESC", description="The highest or newest first.")
