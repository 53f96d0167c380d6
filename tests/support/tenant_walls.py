"""Everything that the schema and HAL can be asked, made from them, with the names and ids of a stocked catalog.

Whatever belongs to somebody has "areal" in its name or id. The same questions about what never existed say "bfake"
in its place, so that two answers to a caller who sees none of it are equal once one is put for the other.
"""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    get_named_type,
    is_required_argument,
    is_required_input_field,
)
from starlette.applications import Starlette

from release_catalog.domain import events, ledger, node_ids, release, release_parts, timestamps
from release_catalog.domain.promotion import content_id
from release_catalog.domain.release import ReleaseDocument
from release_catalog.graphql_api.schema import schema
from release_catalog.hal import routes
from release_catalog.query_engine.context import Context
from release_catalog.storage import bulk_load, transactions, unit_of_work
from release_catalog.storage.collection_names import (
    BASE_IMAGES,
    CATALOGS,
    CONTENTS,
    ENVIRONMENTS,
    EXECUTIONS,
    PIPELINES,
    PRODUCTS,
    PROJECTS,
    PROMOTIONS,
    REGISTRIES,
    RELEASES,
    TOKENS,
    WEBHOOK_DELIVERIES,
    WEBHOOKS,
    CollectionName,
)
from support.catalog import Catalog

SECRET = "nobody else may read this"
CREATED = "2026-01-02T03:04:05.000Z"
SHA = "ab" * 32
PROBLEM = """problem { __typename title status detail instance ... on ValidationProblem { violations { field message code } }
  ... on ConflictProblem { conflictingId } ... on ForbiddenProblem { scope } }"""
SCHEMA = schema._schema
assert SCHEMA.query_type
assert SCHEMA.mutation_type
QUERIES = SCHEMA.query_type.fields
MUTATIONS = SCHEMA.mutation_type.fields

# What an argument or a field of an input means, by its name: a name or an id of the stock.
NAMED = {
    "catalogId": "catalog", "productId": "product", "productKey": "key", "key": "key", "projectIdentifier": "key",
    "project": "key", "environment": "environment", "releaseId": "release", "fromId": "release", "toId": "release",
    "replacementId": "release", "dependsOnId": "release", "ids": "release", "promotionId": "promotion",
    "baseImageId": "image", "registryId": "registry", "pipelineId": "pipeline", "pipelineName": "pipeline",
    "projectId": "project", "projectStreamId": "stream", "buildEnvironmentId": "stream", "version": "version",
    "name": "name", "nameContains": "name", "author": "author", "createdBy": "author", "tag": "tag", "branch": "branch", "channel": "channel",
    "idempotencyKey": "used", "artifactSha256": "sha", "sha256": "sha", "created": "created", "requires": "environment",
    "downloadUrl": "url", "url": "url", "pathPrefix": "path", "ifMatch": "etag", "platform": "platform", "platforms": "platform",
    "nodeId": "node", "nodeIds": "node", "search": "name",
}  # fmt: skip
# What an id means where it is just called so, and a name that is not a release's.
OWN = {
    "catalog": "catalog", "product": "product", "environment": "environment", "pipeline": "pipeline",
    "project": "project", "registry": "registry", "baseImage": "image", "saveCatalog": "catalog",
    "saveProduct": "product", "savePipeline": "pipeline", "saveProject": "project",
    "saveEnvironment": "environment", "saveRegistry": "registry", "saveBaseImage": "image",
    "revokeAccessToken": "token", "recordPipelineExecution": "run", "webhook": "webhook", "updateWebhook": "webhook",
    "deleteWebhook": "webhook", "replayWebhook": "webhook", "pipelines": "pipeline", "projects": "project",
    "registries": "registry",
}  # fmt: skip
# The documents with a node id, by their types.
NODES = {
    "Release": "release", "Artifact": "file", "Catalog": "catalog", "Product": "product", "Pipeline": "pipeline",
    "Project": "project", "Registry": "registry", "BaseImage": "image", "Environment": "environment",
    "Promotion": "promotion", "Event": "event", "Webhook": "webhook", "AccessToken": "token",
    "EnvironmentContent": "content", "WebhookDelivery": "delivery",
}  # fmt: skip
# Optional fields that would have a mutation refused before it looks at anything.
LEFT_OUT = {"ifMatch", "platformReleaseMetadata", "customizations", "cmsDetails", "registryArtifact"}
HAL = {
    "catalog": "catalog", "release": "release", "application": "product", "pipeline": "pipeline", "image": "image",
    "registry": "registry", "key": "key", "branch": "branch", "name": "name", "version": "version", "created": "created",
}  # fmt: skip

World = dict[str, str]


def world(suffix: str = "") -> World:
    """The stock's names and ids; those of the releases alone end in `suffix`."""
    made = {kind: f"areal-{kind}" for kind in {*NAMED.values(), *OWN.values()}}
    own = (
        "release",
        "promotion",
        "name",
        "version",
        "path",
        "run",
        "author",
        "tag",
        "branch",
        "channel",
        "platform",
    )
    made |= {kind: f"areal-{kind}{suffix}" for kind in own}
    made |= {"file": f"areal-file{suffix}"}
    return made | {
        "node": node_ids.encode("Release", made["release"]),
        "event": events.id_of(["", "-draft", "-private"].index(suffix) + 1),
        "content": content_id(made["environment"], made["path"]),
        "delivery": f"{made['webhook']}-{events.id_of(1)}",
        "sha": SHA,
        "created": CREATED,
        "author": f"areal{suffix}@acme.example",
        "url": "https://areal/x",
    }


def unreal(real: World) -> World:
    """The same for what never existed."""
    made = {kind: text.replace("areal", "bfake") for kind, text in real.items()}
    made |= {"node": node_ids.encode("Release", made["release"]), "event": events.id_of(99)}
    return made | {"sha": "cd" * 32, "created": "2026-01-02T03:04:05.678Z"}


async def stock(catalog: Catalog, *, hidden: bool = True) -> None:
    """A release with all that it refers to, and one that is hidden from readers, each in its product."""
    w, tenant = world(), catalog.caller.tenant
    text = {"description": SECRET, "name": w["name"]}
    now = timestamps.parse(CREATED)

    async def put(collection: CollectionName[Any], **fields: Any) -> None:
        assert await bulk_load.put(catalog.caller, catalog.database, collection, [fields]) == 1

    await put(CATALOGS, id=w["catalog"], public=True, createdAt=now, **text)
    product: Any = {**bulk_load.product(catalog.caller, w["catalog"], w["key"]), **text, "id": w["product"]}
    await put(PRODUCTS, **product)
    other: Any = {**product, "id": "areal-other", "key": "areal-other"}
    await put(PRODUCTS, **other)
    await put(PIPELINES, id=w["pipeline"], name=w["pipeline"], properties=[])
    named = [{"id": w["stream"], "name": SECRET}]
    await put(
        PROJECTS, id=w["project"], name=f"{w['project']} {SECRET}", applicationPath=SECRET, deploymentType="FULL", streams=named,
        buildEnvironments=named, properties=[],
    )  # fmt: skip
    await put(
        REGISTRIES,
        id=w["registry"],
        name=f"{w['registry']} {SECRET}",
        url="https://r",
        healthy=True,
        lastCheckedAt=None,
    )
    system = {"id": "areal-system", "name": SECRET, "distro": "d", "version": "1"}
    await put(
        BASE_IMAGES, id=w["image"], containerImage=SECRET, healthy=None, lastCheckedAt=None, operatingSystem=system,
        **text,
    )  # fmt: skip
    await put(ENVIRONMENTS, id=w["environment"], name=w["environment"], requires=[])
    await catalog.database[TOKENS].insert_one(
        {
            "_id": "digest", "id": w["token"], "tenantId": tenant, "name": SECRET, "scopes": ["admin"],
            "productId": None, "createdAt": now, "createdBy": "x", "expiresAt": None, "lastUsedAt": None,
            "revokedAt": None,
        }
    )  # fmt: skip
    await put(
        WEBHOOKS, id=w["webhook"], url="https://areal/hook", events=["*"], active=False, createdAt=now, createdBy="x",
        scopes=["admin"], version="1", secret=SECRET, formerSecret=None, formerUntil=now, cursor=0, attempts=0,
        nextAttemptAt=now, owner=None, leaseUntil=now,
    )  # fmt: skip
    # MongoDB deletes old ones.
    await put(
        WEBHOOK_DELIVERIES, id=f"{w['webhook']}/{events.id_of(1)}", webhookId=w["webhook"], sequence=1, status="FAILED",
        attempts=1, responseStatus=None, error=SECRET, nextAttemptAt=None, deliveredAt=None, createdAt=timestamps.now(),
    )  # fmt: skip
    base = release.document(
        tenant, other, "areal-base", "1", now, id="areal-base", createdAt=now, status="PUBLISHED"
    )
    await put(RELEASES, **base)
    previous = None
    for suffix, status, private in (
        ("", "PUBLISHED", False),
        ("-draft", "DRAFT", False),
        ("-private", "PUBLISHED", True),
    ):
        if suffix and not hidden:
            continue
        w = world(suffix)
        file = release_parts.artifact(now, id=w["file"], name=SECRET, size=1, sha256=SHA, downloadUrl="http://h/x")
        platform = {"name": w["platform"], "osFamily": None, "architecture": None}
        needs = [{"releaseId": None, "name": "areal-base", "version": "1"}]
        holding = {"environment": w["environment"], "since": now, "promotionId": w["promotion"]}
        made = release.document(
            tenant, product, w["name"], w["version"], now, id=w["release"], createdAt=now, status=status, private=private,
            artifacts=[file], dependencies=needs, notes=SECRET, baseImageId=w["image"], registryId=w["registry"],
            pipelineId=w["pipeline"], branch=w["branch"], tag=w["tag"], author=w["author"], createdBy=w["author"],
            channel=w["channel"], platforms=[platform], environments=[holding],
            publishedAt=now if status == "PUBLISHED" else None,
        )  # fmt: skip
        await put(RELEASES, **made)

        async def told(session: Any, made: ReleaseDocument = made) -> None:
            await unit_of_work.append_event(catalog.caller, catalog.database, "release.created", made, session)

        await transactions.run(catalog.database, told)
        record: Any = dict.fromkeys(ledger._FIELDS) | {
            "id": w["promotion"], "tenantId": tenant, "releaseId": w["release"], "environment": w["environment"],
            "name": w["name"], "version": w["version"], "created": now, "status": "COMPLETED", "messages": [SECRET],
            "artifacts": [], "serviceId": "s", "createdBy": "x", "schemaVersion": "1.0.0", "checkedWebhooks": [],
            "includedRepositoryKeys": [], "excludedRepositoryKeys": [], "overwriteExistingArtifacts": False,
        }  # fmt: skip
        previous = ledger.append_hash(record, previous)
        await put(PROMOTIONS, **previous)
        content = {
            "environment": w["environment"],
            "path": w["path"],
            "releaseId": w["release"],
            "packageType": "p",
        }
        await put(CONTENTS, id=w["path"], checksum=SHA, promotionId=w["promotion"], **content)
        run = {"pipelineId": w["pipeline"], "releaseId": w["release"], "status": "RUNNING"}
        await put(EXECUTIONS, id=w["run"], startedAt=now, endedAt=None, **run)


# Questions.


def selection(kind: Any, values: World, depth: int = 3) -> str:
    """All fields of a type, and of what they lead to."""
    kind = get_named_type(kind)
    if isinstance(kind, GraphQLInterfaceType):
        # Fields of two types would contradict each other; each type has questions of its own.
        return "{ __typename nodeId }"
    if not isinstance(kind, GraphQLObjectType):
        return ""
    fields = ["__typename"]
    for name, field in kind.fields.items():
        if name == "problem":
            fields.append(PROBLEM)
        elif not isinstance(get_named_type(field.type), GraphQLObjectType):
            fields.append(f"{name}{arguments(name, field, values, required=True)}")
        elif depth:
            asked = arguments(name, field, values, required=True)
            fields.append(f"{name}{asked} {selection(field.type, values, depth - 1)}")
            if "direction" in field.args:
                fields.append(f"up: {name}(direction: DEPENDANTS) {selection(field.type, values, depth - 1)}")
    return f"{{ {' '.join(fields)} }}"


def arguments(of: str, field: GraphQLField, values: World, *, required: bool) -> str:
    given = {
        name: literal(of, name, argument.type, values)
        for name, argument in field.args.items()
        if (is_required_argument(argument) if required else name in wanted(of, field))
    }
    return f"({', '.join(f'{name}: {value}' for name, value in given.items())})" if given else ""


def wanted(of: str, field: GraphQLField) -> set[str]:
    """The arguments to give: of two ways to name something, the first."""
    names = {name for name in field.args if name in NAMED or name == "id"}
    return {"id"} if "id" in names and of in {"product", "pipeline"} else names - {"constraint"}


def literal(of: str, name: str, kind: Any, values: World) -> str:
    """A value for an argument or a field of an input, as GraphQL writes it."""
    inner = get_named_type(kind)
    text: str
    if name == "id":
        text = json.dumps(values[OWN.get(of, "release")])
    elif name == "idempotencyKey":
        text = json.dumps(f"{values['used']}-{of}")
    elif name in {"name", "nameContains"} and of in OWN:
        text = json.dumps(values[OWN[of]])
    elif inner.name == "DependencyInput":
        # Its name and version are filled in where there is such a release.
        text = f'{{releaseId: "{values["release"]}"}}'
    elif isinstance(inner, GraphQLInputObjectType):
        # The key of a bulk covers its inputs.
        left_out = LEFT_OUT | ({"idempotencyKey"} if name == "releases" else set())
        fields = {
            field: literal(of, field, it.type, values)
            for field, it in inner.fields.items()
            if is_required_input_field(it) or (field not in left_out and useful(field, it.type))
        }
        text = f"{{{', '.join(f'{field}: {value}' for field, value in fields.items())}}}"
    elif isinstance(inner, GraphQLEnumType):
        text = "SKIP" if name == "verification" and "SKIP" in inner.values else next(iter(inner.values))
    elif name in NAMED:
        text = json.dumps(values[NAMED[name]])
    elif name == "scopes":
        text = '"release:read"'
    else:
        plain = {
            "String": '"x"',
            "ID": '"x"',
            "JSON": '"x"',
            "Boolean": "false",
            "DateTime": json.dumps(CREATED),
            "Date": '"2099-01-01"',
        }
        text = plain.get(inner.name, "1")
    bare = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
    return f"[{text}]" if str(bare).startswith("[") else text


def useful(field: str, kind: Any) -> bool:
    if field in {"any", "none"}:
        return False  # filters in filters, without end
    return (
        field in {"id", "verification"}
        or field in NAMED
        or isinstance(get_named_type(kind), GraphQLInputObjectType)
    )


def queries(values: World) -> Iterator[tuple[str, str]]:
    """Every query with its arguments; lists also with each condition of a filter."""
    for name, field in QUERIES.items():
        asked = arguments(name, field, values, required=False)
        yield name, f"{{ {name}{asked} {selection(field.type, values)} }}"
        if {"filter", "first"} & field.args.keys():
            yield (
                f"{name} by nothing",
                f"{{ {name}{arguments(name, field, values, required=True)} {selection(field.type, values)} }}",
            )
    filters: Any = SCHEMA.type_map["ReleaseFilter"]
    for field, it in filters.fields.items():
        # A constraint needs a product.
        more = f" productId: {json.dumps(values['product'])}" if field == "constraint" else ""
        text = '"!=0"' if more else literal("releases", field, it.type, values)
        id_ = f"{{ids: {json.dumps([values['release']])}}}"
        inner_filters = {"any": f"{{any: [{id_}]}}", "none": f"{{none: [{{none: [{id_}]}}]}}"}
        condition = inner_filters.get(field, f"{{{field}: {text}{more}}}")
        for inner in ("totalCount", "nodes { id name } totalCount pageInfo { hasNextPage endCursor }"):
            yield f"releases by {field}", f"{{ releases(filter: {condition}) {{ {inner} }} }}"
    for type_, kind in NODES.items():
        owner = values["release"] if type_ == "Artifact" else None
        id_ = node_ids.encode(type_, values[kind], owner)
        inside = f"{{ __typename nodeId ... on {type_} {selection(SCHEMA.type_map[type_], values)} }}"
        yield f"node of {type_}", f'{{ node(nodeId: "{id_}") {inside} }}'
        yield f"nodes of {type_}", f'{{ nodes(nodeIds: "{id_}") {inside} }}'
    yield "product by key", f'{{ product(key: "{values["key"]}") {selection(QUERIES["product"].type, values)} }}'
    yield (
        "pipeline by name",
        f'{{ pipeline(name: "{values["pipeline"]}") {selection(QUERIES["pipeline"].type, values)} }}',
    )
    contents = f'contents(pathPrefix: "{values["path"]}") {{ totalCount nodes {{ path }} }}'
    yield "contents", f'{{ environment(name: "{values["environment"]}") {{ {contents} }} }}'


def mutations(values: World) -> Iterator[tuple[str, str]]:
    """Every mutation, tried and done, with references to all that there is."""
    for name, field in MUTATIONS.items():
        kind = field.args["input"].type
        text = literal(name, "input", kind, values)
        named = get_named_type(kind)
        keyed = isinstance(named, GraphQLInputObjectType) and "idempotencyKey" in named.fields
        unkeyed = re.sub(r'idempotencyKey: "[^"]*"(, )?', "", text)
        for said in [text, unkeyed] if keyed else [text]:
            yield name, f"mutation {{ {name}(input: {said}) {selection(field.type, values, 1)} }}"


async def hal(catalog: Catalog, values: World) -> dict[str, Any]:
    """Return the HAL responses at every address."""
    made = routes.Hal(lambda _: Context(catalog.caller, catalog.database))
    app = Starlette(routes=routes.mounts(made))
    answers = {}
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://catalog") as client:
        for template in routes._ROUTES:
            path = re.sub(r"\{(\w+)\}", lambda match: values[HAL[match[1]]], template)
            for query in ("", "?expand_relationships=true", "?distro=d-1&packaging=OVA"):
                response = await client.get(path + query)
                answers[template + query] = [response.status_code, response.headers["content-type"], response.text]
    return answers


async def answers(catalog: Catalog, values: World, *, read: bool = True, change: bool = True) -> dict[str, str]:
    """Return the responses to a caller by request, in a form for comparison."""
    asked = (list(queries(values)) if read else []) + (list(mutations(values)) if change else [])
    told: dict[str, Any] = {f"{at} {name}": await catalog.respond(text) for at, (name, text) in enumerate(asked)}
    told |= await hal(catalog, values) if read else {}
    return {name: plain(json.dumps(answer), values, catalog.caller.tenant) for name, answer in told.items()}


def _spelled(node_id: re.Match[str]) -> str:
    return f'"nodeId": "{base64.urlsafe_b64decode(node_id[1] + "===").decode()}"'


def plain(text: str, values: World, tenant: str) -> str:
    text = re.sub(r'"nodeId": "([\w-]+)"', _spelled, text)
    for one, other in (
        (values["created"], "CREATED"),
        (values["sha"], "SHA"),
        ("areal", "bfake"),
        (tenant, "TENANT"),
    ):
        text = text.replace(one, other)
    text = text.replace("2026-01-02T03:04:05.000Z", "INSTANT").replace(values["created"][:19], "CREATED")
    text = re.sub(r"rcat_\w+", "TOKEN", text)
    text = re.sub(r"\b[0-9a-f]{24}\b", "ID", text)
    return re.sub(r"\b20\d\d-\d\d-\d\dT[\d:.]+Z", "NOW", text)
