"""The catalog as the servers in Python beside this project see it: its collections, cursors and conditions."""

import base64
import datetime
import os
from typing import Any
from urllib.parse import quote, urlencode

import orjson
import uvicorn
from pymongo import AsyncMongoClient

Document = dict[str, Any]

TENANT = os.environ["TENANT"]
KEY = quote(TENANT, safe="") + "/"
client: AsyncMongoClient[Document] = AsyncMongoClient(os.environ["MONGODB_URL"])
database = client[os.environ["DATABASE"]]
FIELDS = {"CREATED_AT": "createdAt", "NAME": "name"}
EPOCH = datetime.datetime(1970, 1, 1)


def only(names: str) -> dict[str, int]:
    """Return the projection to these fields."""
    return {"_id": 0, **dict.fromkeys(names.split(), 1)}


# The fields that identify the release of a reference, and the fields of each release on a page.
IDENTITY = "id catalogId name version revisionKey createdAt dependencies.reference"
LISTED = (
    "id catalogId productId name version revision tag channel trial status publishedAt private author "
    "createdAt updatedAt etag artifacts.id artifacts.name artifacts.platform artifacts.size artifacts.sha256 "
    "artifacts.downloadUrl"
)
LINKED = "branch packagingType baseImageId registryId"


def written(instant: datetime.datetime | None) -> str | None:
    """Format an instant as RFC 3339 with a Z; the fraction appears only if there is one."""
    return instant and instant.isoformat(timespec="milliseconds" if instant.microsecond else "seconds") + "Z"


def read(text: str) -> datetime.datetime:
    """Parse an instant that `written` has formatted."""
    return datetime.datetime.fromisoformat(text).replace(tzinfo=None)


def cursor(order: str, release: Document) -> str:
    """Return the cursor of a release in an order."""
    value = release[FIELDS[order]]
    if order == "CREATED_AT":
        value = (value - EPOCH) // datetime.timedelta(milliseconds=1)
    return base64.urlsafe_b64encode(orjson.dumps([order, value, release["id"]])).rstrip(b"=").decode()


def beyond(order: str, operator: str, after: str) -> list[Document]:
    """Return the conditions of which a release after a cursor meets one."""
    _, value, id_ = orjson.loads(base64.urlsafe_b64decode(after + "=" * (-len(after) % 4)))
    if order == "CREATED_AT":
        value = EPOCH + datetime.timedelta(milliseconds=value)
    field = FIELDS[order]
    return [{field: {operator: value}}, {field: value, "id": {operator: id_}}]


def onwards(matches: list[Document], places: list[Document]) -> Document:
    """Return a condition on the releases that meet one of `matches`, and one of `places` if there are any."""
    parts = [{"$and": [match, place]} for match in matches for place in places] if places else matches
    return parts[0] if len(parts) == 1 else {"$or": parts}


def by_name(release: Document) -> str:
    """Return the reference by name that a release answers to."""
    catalog = release["catalogId"].replace("%", "%25").replace("/", "%2F")
    return f"{catalog}/{release['name'].replace('%', '%25').replace('@', '%40')}@{release['version']}"


def answering(references: list[str]) -> Document:
    """Return a condition on the releases that answer to any of these references."""
    return {"tenantId": TENANT, "terms": {"$in": [f"is:{reference}" for reference in references]}}


def winners(found: list[Document]) -> dict[str, Document]:
    """Return the release of each reference: of several the highest revision, then the newest."""
    best: dict[str, Document] = {}
    for release in sorted(found, key=lambda r: (r["revisionKey"], r["createdAt"], r["id"])):
        best[f"#{release['id']}"] = best[by_name(release)] = release
    return best


def dependants(release: Document, *, by_name_too: bool) -> list[Document]:
    """Return conditions of which a dependant of this release meets one."""
    needed = [f"#{release['id']}", *([by_name(release)] if by_name_too else [])]
    return [{"tenantId": TENANT, "terms": f"needs:{reference}"} for reference in needed]


def href(*segments: str) -> str:
    """Return the path of a resource."""
    return "/v1/" + "/".join(quote(segment, safe="") for segment in segments)


def branch_href(release: Document, product: Document, image: Document | None) -> str:
    """Return the path of a product on the branch of a release."""
    path = href("applications", "product", product["key"], "branch", release["branch"])
    asked = {"packaging": release["packagingType"]}
    if image and (system := image["operatingSystem"]) and system["distro"]:
        asked["distro"] = "-".join(filter(None, (system["distro"], system["version"])))
    query = urlencode({name: value for name, value in asked.items() if value})
    return f"{path}?{query}" if query else path


def serve(app: Any) -> None:
    """Run `app` with uvicorn as this project runs."""
    uvicorn.run(app, port=int(os.environ["PORT"]), log_config=None, access_log=False, lifespan="off")
