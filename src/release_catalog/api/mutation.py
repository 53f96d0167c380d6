"""What can be changed."""

from collections.abc import Awaitable, Callable
from typing import Any

import strawberry

from release_catalog.api import inputs
from release_catalog.api.catalog import Catalog, Product
from release_catalog.api.delivery import Pipeline, Project
from release_catalog.api.problem import Problem
from release_catalog.api.promotion import Environment
from release_catalog.api.reference import BaseImage, Registry
from release_catalog.api.release import Release
from release_catalog.plans.context import Info
from release_catalog.problems import Problem as Refusal
from release_catalog.store import life, saving

_PROBLEM = "Why nothing was saved; null where it was."


def _saved(kind: str) -> Any:
    return strawberry.field(description=f"The {kind} as it is now; null where there is a problem.")


@strawberry.type(description="What became of saving a catalog.")
class SaveCatalogPayload:
    catalog: Catalog | None = _saved("catalog")
    problem: Problem | None = strawberry.field(description=_PROBLEM)


@strawberry.type(description="What became of saving a product.")
class SaveProductPayload:
    product: Product | None = _saved("product")
    problem: Problem | None = strawberry.field(description=_PROBLEM)


@strawberry.type(description="What became of saving a pipeline.")
class SavePipelinePayload:
    pipeline: Pipeline | None = _saved("pipeline")
    problem: Problem | None = strawberry.field(description=_PROBLEM)


@strawberry.type(description="What became of saving a project.")
class SaveProjectPayload:
    project: Project | None = _saved("project")
    problem: Problem | None = strawberry.field(description=_PROBLEM)


@strawberry.type(description="What became of saving an environment.")
class SaveEnvironmentPayload:
    environment: Environment | None = _saved("environment")
    problem: Problem | None = strawberry.field(description=_PROBLEM)


@strawberry.type(description="What became of saving a registry.")
class SaveRegistryPayload:
    registry: Registry | None = _saved("registry")
    problem: Problem | None = strawberry.field(description=_PROBLEM)


@strawberry.type(description="What became of saving a base image.")
class SaveBaseImagePayload:
    base_image: BaseImage | None = _saved("base image")
    problem: Problem | None = strawberry.field(description=_PROBLEM)


def _changed() -> Any:
    return strawberry.field(description="The release as it is now, or would be; null where there is a problem.")


@strawberry.type(description="What became of publishing a release.")
class PublishReleasePayload:
    release: Release | None = _changed()
    problem: Problem | None = strawberry.field(description=_PROBLEM)


@strawberry.type(description="What became of archiving a release.")
class ArchiveReleasePayload:
    release: Release | None = _changed()
    problem: Problem | None = strawberry.field(description=_PROBLEM)


@strawberry.type(description="What became of withdrawing a release.")
class WithdrawReleasePayload:
    release: Release | None = _changed()
    problem: Problem | None = strawberry.field(description=_PROBLEM)
    affected_count: int | None = strawberry.field(
        description="Published releases that reach this one through dependencies."
    )


def payload(name: str, outcome: Any) -> dict[str, Any]:
    """What a mutation answers: a document under `name`, or the problem that was in the way."""
    if isinstance(outcome, Refusal):
        return {name: None, "problem": outcome}
    return {name: outcome, "problem": None}


def _live(input_type: type, verb: Callable[..., Awaitable[Any]], description: str) -> Any:
    async def resolve(info: Info, input: Any) -> Any:  # noqa: A002  the contract's name
        answer = await verb(info.context.caller, info.context.database, inputs.given(input))
        nothing = {"release": None, "affectedCount": None, "problem": None}
        return {**nothing, "problem": answer} if isinstance(answer, Refusal) else {**nothing, **answer}

    resolve.__annotations__["input"] = input_type
    return strawberry.mutation(resolver=resolve, description=description)


def _save(name: str, input_type: type, verb: Callable[..., Awaitable[saving.Outcome]], *about: str) -> Any:
    async def resolve(info: Info, input: Any) -> Any:  # noqa: A002  the contract's name
        given = inputs.given(input)
        return payload(name, await verb(info.context.caller, info.context.database, *about, given))

    resolve.__annotations__["input"] = input_type
    text = "Makes it where the id is new or absent and changes it otherwise; what is not given is left as it is."
    return strawberry.mutation(resolver=resolve, description=text)


@strawberry.type(description="What can be changed. Refusals come back as a problem, never as an error.")
class Mutation:
    publish_release: PublishReleasePayload = _live(
        inputs.PublishReleaseInput,
        life.publish,
        "Publishes a draft: from then on its files, images and dependencies stay as they are. Refused while a "
        "file is known to be another than declared.",
    )
    archive_release: ArchiveReleasePayload = _live(
        inputs.ArchiveReleaseInput, life.archive, "Archives a published or withdrawn release."
    )
    withdraw_release: WithdrawReleasePayload = _live(
        inputs.WithdrawReleaseInput,
        life.withdraw,
        "Takes a published release back. What depends on it still finds it, with the reason.",
    )

    save_catalog: SaveCatalogPayload = _save("catalog", inputs.SaveCatalogInput, saving.catalog)
    save_product: SaveProductPayload = _save("product", inputs.SaveProductInput, saving.product)
    save_pipeline: SavePipelinePayload = _save("pipeline", inputs.SavePipelineInput, saving.thing, "pipelines")
    save_project: SaveProjectPayload = _save("project", inputs.SaveProjectInput, saving.thing, "projects")
    save_environment: SaveEnvironmentPayload = _save(
        "environment", inputs.SaveEnvironmentInput, saving.environment
    )
    save_registry: SaveRegistryPayload = _save("registry", inputs.SaveRegistryInput, saving.thing, "registries")
    save_base_image: SaveBaseImagePayload = _save(
        "baseImage", inputs.SaveBaseImageInput, saving.thing, "baseImages"
    )
