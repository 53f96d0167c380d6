"""The steps of the generated Python client; what they find is the one thing on standard output."""

import asyncio
import contextlib
import datetime
import json
import sys
from typing import Any

import example
from pydantic import ValidationError
from release_catalog_client import ReleaseCatalog
from release_catalog_client.enums import PackagingType, VerificationStatus
from release_catalog_client.input_types import (
    ArtifactInput,
    CreateReleaseInput,
    DocumentDependencyInput,
    ImportReleaseInput,
    ReleaseDocumentInput,
    ReleaseFilter,
)

PRODUCT = "5e1f0c3a9b7d4e2f8a6c0003"
LARGE = 2**53 + 1
# Of the created and of the imported release.
EVENTS = 2
FILE = ArtifactInput(name="a.zip", platform="linux/amd64", size=LARGE, sha256="ab" * 32, downloadUrl="files/a.zip")


async def create(client: ReleaseCatalog) -> Any:
    given = CreateReleaseInput(
        productId=PRODUCT, name="Acme Desktop", version="3.0.0", packagingType=PackagingType.CONTAINER_IMAGE,
        metadata={"a.b": [1, None], "$x": "y"}, endOfLifeAt=datetime.date(2030, 1, 2), idempotencyKey="python-3.0.0",
        createdAt=datetime.datetime(2024, 5, 6, 7, 8, 9, 123000, datetime.UTC),
    )  # fmt: skip
    release = await example.create(client, given)
    again = await example.create(client, given)
    found = (await client.get_release(release.id)).release
    assert found
    refused = (
        await client.create_release(given.model_copy(update={"version": "3", "idempotency_key": None}))
    ).create_release
    tried = given.model_copy(update={"version": "3.1.0", "dry_run": True, "idempotency_key": None})
    await example.create(client, tried)
    with contextlib.suppress(ValidationError):
        CreateReleaseInput(productId=PRODUCT, name="Acme Desktop")
        raise AssertionError("a version is required")
    return {
        "same": release.id == again.id,
        "created": release.created_at.isoformat(),
        "endOfLife": str(found.end_of_life_at),
        "metadata": found.metadata,
        "violations": [violation.code for violation in refused.problem.violations],
    }


async def import_document(client: ReleaseCatalog) -> Any:
    document = ReleaseDocumentInput(
        version="1.0", createdAt="2024-05-06T09:08:09+02:00", project="python-client", author="me@acme.example",
        artifacts=[FILE], dependencies=[DocumentDependencyInput(name="libc6", version="1")],
    )  # fmt: skip
    release, warnings = await example.import_document(
        client, ImportReleaseInput(projectIdentifier="python-client", release=document)
    )
    found = (await client.get_release(release.id)).release
    assert found
    [file] = found.artifacts
    assert file.verification.status is VerificationStatus.UNREACHABLE
    return {
        "name": release.name,
        "status": release.status,
        "created": release.created_at.isoformat(),
        "size": file.size,
        "warnings": len(warnings),
    }


async def pages(client: ReleaseCatalog) -> Any:
    matching = ReleaseFilter(nameContains="python")
    total = (await client.list_releases(matching=matching)).releases.total_count
    found = [release.id async for release in example.all_releases(client, matching, 50)]
    return {"total": total, "found": len(found), "different": len(set(found))}


async def follow(client: ReleaseCatalog) -> Any:
    """Follow all events over a connection that is cut after the first."""
    host, port = client.ws_url.removeprefix("ws://").partition("/")[0].split(":")
    connections: list[asyncio.StreamWriter] = []
    forwarding: list[Any] = []

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        forwarding.append(asyncio.current_task())
        other_reader, other = await asyncio.open_connection(host, port)
        connections.extend([writer, other])
        await asyncio.gather(forward(reader, other), forward(other_reader, writer))

    proxy = await asyncio.start_server(accept, host)
    through = f"{host}:{proxy.sockets[0].getsockname()[1]}"
    client.ws_url = f"ws://{through}/graphql"
    found: list[str] = []
    complete = asyncio.Event()

    async def collect() -> None:
        async for event in example.follow(client, "0", pause=0.05):
            found.append(event.id)
            if len(found) == 1:
                for writer in connections:
                    writer.transport.abort()
            if len(found) == EVENTS:
                complete.set()

    following = asyncio.create_task(collect())
    await asyncio.wait_for(complete.wait(), 30)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    proxy.close()
    await asyncio.gather(*forwarding, return_exceptions=True)
    return {"ids": found, "connections": len(connections) // 2}


async def main() -> None:
    async with example.connect(sys.argv[1]) as client:
        found = {step.__name__: await step(client) for step in (create, import_document, pages)}
        found["follow"] = await follow(client)
        sys.stdout.write(json.dumps(found))


asyncio.run(main())
