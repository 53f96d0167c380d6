"""The fields of a release that no client sets: they order it, find it, and say where it runs."""

import datetime
from typing import NotRequired, TypedDict


class HoldingDocument(TypedDict):
    """An environment that holds files or images of a release, and the oldest promotion that brought some."""

    # The environment's name.
    environment: str
    promotionId: str
    # The time of that promotion.
    since: datetime.datetime


class InternalFields(TypedDict):
    """The fields of a release that other documents and rules decide."""

    # Order of versions, also in the scheme to which the product changes, and of revisions.
    versionKey: str
    nextVersionKey: NotRequired[str]
    revisionKey: str
    # The name of its product, which a search finds as well.
    productName: str | None
    # The environments that hold something of it now (S3): see storage.environment_holdings.
    environments: list[HoldingDocument]
    # How references by name find it: see references.Candidate.
    resolvesName: bool
    nameSince: datetime.datetime | None
