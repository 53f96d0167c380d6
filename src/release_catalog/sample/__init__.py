"""Releases to try the catalog with: `debian.ndjson.gz`, one import document a line.

They are 2,057 packages of Debian 12.15 "bookworm", from its main/amd64 package lists. Names, versions, sizes,
SHA-256 digests and dependencies are facts of the distribution; the author, the download host and `createdAt` are
placeholders. Every dependency is in the file, and some form cycles: libc6 and libgcc-s1 depend on each other.

To make it again, take from those lists the packages below and all their dependencies (Pre-Depends and Depends, the
first of each set of alternatives, skipping virtual packages) in the lists' order, `createdAt` starting at
2023-06-10 and 37 seconds apart. Write one JSON document a line and gzip it with no file name and mtime 0.

gnome libreoffice firefox-esr thunderbird gimp inkscape blender vlc ffmpeg python3 python3-django python3-flask
python3-pandas python3-scipy git subversion mercurial gcc g++ clang gdb valgrind cmake build-essential devscripts
golang rustc cargo ghc ocaml sbcl elixir ruby rails nodejs perl php lua5.4 default-jdk maven r-base octave nginx
apache2 haproxy squid bind9 postfix dovecot-imapd samba openssh-server postgresql mariadb-server redis-server
memcached sqlite3 rabbitmq-server mosquitto prometheus tomcat10 etcd-server docker.io podman qemu-system-x86
libvirt-daemon-system ansible vim emacs tmux curl wireshark nmap graphviz pandoc imagemagick texlive-base
"""

import gzip
import importlib.resources
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from release_catalog.domain import ledger, platforms, release, release_document, release_parts, timestamps
from release_catalog.domain.caller import Caller
from release_catalog.domain.promotion import PromotionDocument
from release_catalog.domain.reference_data import ProductDocument
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.release_internals import HoldingDocument
from release_catalog.storage import bulk_load
from release_catalog.storage import ledger as chain
from release_catalog.storage.collection_names import (
    BASE_IMAGES,
    CATALOGS,
    CONTENTS,
    COUNTERS,
    ENVIRONMENTS,
    EXECUTIONS,
    PIPELINES,
    PRODUCTS,
    PROJECTS,
    PROMOTIONS,
    REGISTRIES,
    RELEASES,
    CollectionName,
)
from release_catalog.storage.database import Database

_FILES = importlib.resources.files(__name__)
_INSTANTS = frozenset(
    "createdAt updatedAt releasedAt publishedAt importedAt withdrawnAt checkedAt lastCheckedAt created "
    "startedAt endedAt".split()
)
# The collections whose seeds are stored documents, but for the tenant.
_UNCHANGED: tuple[CollectionName[Any], ...] = (
    CATALOGS, PRODUCTS, BASE_IMAGES, REGISTRIES, PIPELINES, PROJECTS, EXECUTIONS, ENVIRONMENTS, CONTENTS,
)  # fmt: skip


async def load(caller: Caller, database: Database) -> int:
    """Load the sample into a catalog without releases, and return the number of added releases."""
    if not await bulk_load.is_empty(caller, database):
        return 0
    added = await _load_seeds(caller, database)
    lines = gzip.decompress((_FILES / "debian.ndjson.gz").read_bytes()).splitlines()
    now = timestamps.now()
    for start in range(0, len(lines), bulk_load.BATCH):
        some = [orjson.loads(line) for line in lines[start : start + bulk_load.BATCH]]
        read = [release_document.read(source, "", now)[0] for source in some]
        added += (await bulk_load.load(caller, database, read, publish=True)).added
    return added


async def _load_seeds(caller: Caller, database: Database) -> int:
    seeds: dict[str, list[Any]] = _decoded(orjson.loads((_FILES / "seeds.json").read_bytes()))
    products = {product["id"]: product for product in seeds[PRODUCTS]}
    made = [_release(caller, products, fields) for fields in seeds[RELEASES]]
    records: list[PromotionDocument] = []
    for record in seeds[PROMOTIONS]:
        placed: Any = {**record, "_id": caller.key(record["id"]), "tenantId": caller.tenant}
        records.append(ledger.append_hash(placed, records[-1] if records else None))
    seeds[CONTENTS] = _placed(seeds[CONTENTS], records, made)
    for collection in _UNCHANGED:
        await bulk_load.put(caller, database, collection, seeds[collection])
    await bulk_load.put(caller, database, PROMOTIONS, records)
    await bulk_load.put(caller, database, COUNTERS, [{"id": chain.HEAD, **chain.head(records[-1])}])
    return await bulk_load.put(caller, database, RELEASES, made)


def _placed(
    contents: Sequence[Any], records: Sequence[PromotionDocument], releases: Sequence[ReleaseDocument]
) -> list[Any]:
    """Return contents of environments with the times of their promotions, which their releases get as well."""
    times = {record["id"]: record["created"] for record in records}
    held: dict[tuple[str, str], HoldingDocument] = {}
    for content in contents:
        name, promotion = content["environment"], content["promotionId"]
        holding: HoldingDocument = {"environment": name, "promotionId": promotion, "since": times[promotion]}
        before = held.setdefault((content["releaseId"], name), holding)
        if holding["since"] < before["since"]:
            held[content["releaseId"], name] = holding
    for release_ in releases:
        release_["environments"] = [holding for (id_, _), holding in held.items() if id_ == release_["id"]]
    return [{**content, "since": times[content["promotionId"]]} for content in contents]


def _release(caller: Caller, products: Mapping[str, ProductDocument], fields: dict[str, Any]) -> ReleaseDocument:
    """Return a release from fields as a GraphQL client gives them: platforms by name, JSON as JSON."""
    now = fields["createdAt"]
    values = {key: value for key, value in fields.items() if key not in {"productId", "name", "version"}}
    for entry in [values, *values.get("artifacts", []), *values.get("dockerImages", [])]:
        if entry.get("metadata") is not None:
            entry["metadata"] = orjson.dumps(entry["metadata"]).decode()
    for entry in [
        *values.get("artifacts", []),
        *values.get("dockerImages", []),
        *values.get("platformReleaseMetadata", []),
    ]:
        entry["platform"] = platforms.parsed(entry.get("platform"))
    values["artifacts"] = [release_parts.artifact(now, **artifact) for artifact in values.get("artifacts", [])]
    values["platforms"] = [platforms.parsed(name) for name in values.get("platforms", [])]
    product = products[fields["productId"]]
    return release.document(caller.tenant, product, fields["name"], fields["version"], now, **values)


def _decoded(value: Any, key: str = "") -> Any:
    """Return the JSON with its timestamps parsed."""
    if isinstance(value, dict):
        return {name: _decoded(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_decoded(inner) for inner in value]
    return timestamps.parse(value) if key in _INSTANTS and value is not None else value
