"""Import of a release (S1): creates a draft, or replaces a draft of the same identity."""

import asyncio
import functools
import math
from collections.abc import Iterator, Sequence
from typing import cast

from release_catalog import errors
from release_catalog.domain import (
    ids,
    references,
    release,
    release_delivery,
    release_document,
    release_update,
    timestamps,
)
from release_catalog.domain.caller import Caller
from release_catalog.domain.reference_data import ProductDocument
from release_catalog.domain.references import DependencyDocument
from release_catalog.domain.release import ReleaseDocument
from release_catalog.domain.release_parts import VerificationDocument
from release_catalog.domain.release_update import Values
from release_catalog.domain.validation import Validator
from release_catalog.errors import Problem, Violation
from release_catalog.storage import (
    bulk_load,
    named_products,
    release_batch,
    release_writes,
    unit_of_work,
    verification_jobs,
)
from release_catalog.storage.bulk_writes import Decisions, Place
from release_catalog.storage.collection_names import CATALOGS, PRODUCTS
from release_catalog.storage.database import Database
from release_catalog.storage.idempotency import Answer, MutationInput, Payload
from release_catalog.storage.named_products import NamedProducts
from release_catalog.storage.release_batch import Batch, Decision, Identity, NewRelease
from release_catalog.storage.unit_of_work import UnitOfWork
from release_catalog.storage.verification_jobs import ReleaseWarning


class Import:
    """The input of an import, with its parsed fields and its violations so far."""

    def __init__(self, values: MutationInput, looked: Sequence[VerificationDocument] = ()) -> None:
        """Parse an input; `looked` are the verification results of its files, if they were verified."""
        self.values, self.looked, self.now = values, looked, timestamps.now()
        self.fields, self.violations = release_document.read(values["release"], "input.release", self.now)
        self.checks = Validator(values, "input", self.violations)
        self.document = Validator(values["release"], "input.release", self.violations)
        before = len(self.violations)
        identifier = self.checks.name("projectIdentifier") or ""
        # None if it is invalid: then no product is looked for.
        self.identifier = identifier if len(self.violations) == before else None
        self.given_catalog: str | None = self.checks.fields.get("catalogId")
        self.catalog_id = self.given_catalog or bulk_load.DEFAULT_CATALOG
        self.given_id: str | None = self.fields.get("id")
        self.delivery = release_writes.read_delivery(self.document)

    def identity(self, product: ProductDocument) -> Identity:
        """Return the identity of the release."""
        return release_batch.identity(
            {**self.fields, "catalogId": product["catalogId"], "productId": product["id"]}
        )

    def references(self, catalog_id: str) -> Iterator[str]:
        """Yield the references that the release may make."""
        for needed in self.fields["dependencies"]:
            if needed["releaseId"]:
                yield references.by_id(needed["releaseId"])
            if needed["name"] and needed["version"]:
                yield references.by_name(catalog_id, needed["name"], needed["version"])


async def import_release(
    caller: Caller,
    database: Database,
    values: MutationInput,
    looked: Sequence[VerificationDocument] = (),
    claim: str | None = None,
) -> Answer:
    """Import the document `values["release"]`.

    `looked` are the verification results of its files, in their order, if they were verified; `claim` is the
    request's claim on its idempotency key.
    """

    async def work(turn: UnitOfWork, values: MutationInput) -> Answer:
        batch, one = ImportBatch(turn), Import(values, looked)
        await batch.load([one])
        answer, new = decide(batch, one)
        if new:
            batch.keep(new)
            await batch.store()
        return answer

    return await unit_of_work.execute(caller, database, "importRelease", values, work, claim)


async def start_imports(turn: UnitOfWork, places: Sequence[Place], max_bytes: float) -> tuple[Batch, Decisions]:
    """Read the documents around the imports of a bulk, and return how to decide each of the first ones."""
    batch, imports = ImportBatch(turn), list[Import]()
    for place in places:
        imports.append(Import(place.values, place.looked))
        if not _are_independent(imports):
            imports.pop()
            break
        await asyncio.sleep(0)  # a turn for others
    count = await batch.load(imports, max_bytes)
    await batch.load_holders((), [one.given_id for one in imports[:count]])
    return batch, [functools.partial(decide, batch, one) for one in imports[:count]]


class ImportBatch(Batch):
    """Imports of one transaction, with the products that they name."""

    def __init__(self, turn: UnitOfWork) -> None:
        super().__init__(turn)
        # By catalog, and whether a key or a name finds products of others, too.
        self._named: dict[tuple[str, bool], NamedProducts] = {}

    def named(self, one: Import) -> NamedProducts:
        """Return the products that identifiers name in the catalog of an import."""
        return self._named[one.catalog_id, not one.given_catalog]

    async def load(self, imports: Sequence[Import], max_bytes: float = math.inf) -> int:
        """Read the documents around imports; return the number of imports, from the first, that it did so for.

        The replaced releases of more than one take at most `max_bytes`.
        """
        await self._load_named(imports)
        known = [self._known(one) for one in imports]
        places: Sequence[Identity | None] = [
            one.identity(product) if product else None for one, product in zip(imports, known, strict=True)
        ]
        if len(imports) > 1 and max_bytes < math.inf:
            places = await self._within(places, max_bytes)
        imports = imports[: len(places)]
        if some := {place for place in places if place}:
            await self.load_replaced(some)
        self.referenced = await release_writes.load_referenced(self.turn, [one.fields for one in imports])
        befores = [self.by_identity.get(place) if place else None for place in places]
        await self.load_deliveries(
            release_delivery.references(before and before["delivery"], one.delivery.values)
            for before, one in zip(befores, imports, strict=True)
            if one.delivery
        )
        catalogs = [
            product["catalogId"] if product else one.catalog_id
            for product, one in zip(known, imports, strict=False)
        ]
        self.catalogs = await self.load_by_id(CATALOGS, [*catalogs, *(one.given_catalog for one in imports)])
        await self.load_candidates(
            reference
            for catalog_id, one in zip(catalogs, imports, strict=True)
            for reference in one.references(catalog_id)
        )
        return len(imports)

    async def _load_named(self, imports: Sequence[Import]) -> None:
        groups: dict[tuple[str, bool], set[str]] = {}
        for one in imports:
            group = groups.setdefault((one.catalog_id, not one.given_catalog), set())
            if one.identifier is not None:
                group.add(one.identifier)
        for (catalog_id, anywhere), identifiers in groups.items():
            turn = self.turn
            named = await named_products.find(
                turn.caller, turn.database, identifiers, catalog_id, ids_anywhere=True, session=turn.session
            )
            missing = identifiers - named.products.keys() - named.ambiguous.keys() if anywhere else ()
            if missing:
                elsewhere = await named_products.find_elsewhere(turn.caller, turn.database, missing, turn.session)
                for products, ambiguous in map(elsewhere.choose, missing):
                    named.products.update(products)
                    named.ambiguous.update(ambiguous)
            self._named[catalog_id, anywhere] = named

    def _known(self, one: Import) -> ProductDocument | None:
        return None if one.identifier is None else self.named(one).products.get(one.identifier)

    async def _within(self, places: Sequence[Identity | None], max_bytes: float) -> Sequence[Identity | None]:
        """Return the first places whose releases take at most `max_bytes` together, or one."""
        known = {place for place in places if place}
        sizes, total = await self.sizes(known) if known else {}, 0
        for at, place in enumerate(places):
            total += sizes.pop(place, 0) if place else 0
            if at and total > max_bytes:
                return places[:at]
        return places


def _are_independent(imports: Sequence[Import]) -> bool:
    """Return whether the product of the last import can be found before any of the others is stored.

    Without a catalog, an identifier may name a product that an earlier import creates in another catalog.
    """
    *earlier, last = imports
    return bool(last.given_catalog) or all(
        one.identifier != last.identifier for one in earlier if one.given_catalog
    )


def decide(batch: ImportBatch, one: Import) -> Decision:
    """Return the result of an import, and its writes unless it is refused."""
    fields, caller, violations, own_id = one.fields, batch.turn.caller, one.violations, one.given_id
    product, is_new = _product(batch, one)
    before = None
    if product:
        if refused := unit_of_work.check_product_scope(caller, product["id"]):
            return refused, None
        fields["name"] = fields["name"] or product["name"]
        before = batch.by_identity.get(one.identity(product))
        if before is None:
            # The product may have got another scheme after the release.
            named_products.check_version(one.document, fields["version"], product["versionScheme"])
    fields["id"] = before["id"] if before else own_id or ids.new()
    release_update.check_references(one.document, fields, batch.referenced, fields)
    messages = release_writes.complete_delivery(
        one.delivery, fields, before["delivery"] if before else None, batch.delivery
    )
    if violations or product is None:
        return errors.ValidationProblem(violations=violations), None
    if before and (before["status"] != "DRAFT" or one.values["onConflict"] == "FAIL"):
        return _in_the_way(before), None
    if before and own_id not in {None, before["id"]}:
        return _under_another_id(before), None
    made = _made(caller, product, fields, before)
    verification_jobs.set_verification(made, one.values["verification"], one.looked)
    new = _new(batch, one, before, made)
    if refused := release_batch.too_large(new) or (None if before else batch.in_the_way(made)):
        return refused, None
    return _result(batch, one, product, new, messages, is_new=is_new)


def _new(batch: ImportBatch, one: Import, before: ReleaseDocument | None, made: ReleaseDocument) -> NewRelease:
    """Return the writes for a release, with its events."""
    if before:
        new = batch.changed(before, made, "release.imported", dry=bool(one.values.get("dryRun")))
    else:
        new = batch.created(made, "release.imported", has_given_id=one.given_id is not None)
    new.events += verification_jobs.new_events(batch.turn.caller, new.release, one.looked)
    new.schedules = True
    return new


def _result(
    batch: ImportBatch,
    one: Import,
    product: ProductDocument,
    new: NewRelease,
    messages: list[str],
    *,
    is_new: bool,
) -> Decision:
    """Return the answer, and the writes with the product and the catalog that do not exist yet."""
    catalog_id = product["catalogId"]
    catalog = batch.catalogs.get(catalog_id) or bulk_load.new_catalog(batch.turn.caller, catalog_id)
    if new.before is None:
        new.catalog = None if catalog_id in batch.catalogs else catalog
        new.product = product if is_new else None
    warnings = [_created(product)] if is_new else []
    warnings += _unresolved(batch, new.release)
    answer = _answer(new.release, new.before, messages, warnings)
    if one.values.get("dryRun"):
        # The references of a dry run's release may exist only together with it.
        answer["wouldBe"] = [(PRODUCTS, product), (CATALOGS, catalog)]
    return answer, new


def _product(batch: ImportBatch, one: Import) -> tuple[ProductDocument | None, bool]:
    """Return the product of an identifier, and whether it is new (S1); the document must mean the same product."""
    checks, identifier, project = one.checks, one.identifier, one.fields["project"]
    if one.given_catalog and one.given_catalog not in batch.catalogs:
        checks.refuse("catalogId", "UNKNOWN", f"The catalog {one.given_catalog!r} does not exist: save it first.")
    if identifier is None:
        return None, False
    named, before = batch.named(one), len(checks.found)
    product = named.products.get(identifier) or batch.new_products.get((one.catalog_id, identifier))
    product = product or named_products.check(
        checks, "projectIdentifier", identifier, named, create=checks.fields.get("createProduct", True)
    )
    is_new = product is None
    if product and one.given_catalog and product["catalogId"] != one.catalog_id:
        # It was found by its id, which is of no other product.
        message = f"The product is in the catalog {product['catalogId']!r}: give this catalog, or none."
        checks.refuse("catalogId", "CONTRADICTORY_REFERENCE", message)
    if product is None:
        if len(checks.found) > before:
            return None, False
        scheme = checks.fields.get("versionScheme", "ANY")
        product = bulk_load.product(batch.turn.caller, one.catalog_id, identifier, scheme)
    if project is not None and project not in {product["id"], product["key"], product["name"]}:
        message = (
            f"The document is of the product {project!r}, but the request names {identifier!r}: give "
            "the same product in both."
        )
        checks.found.append(Violation("input.release.project", message, "ANOTHER_PROJECT"))
    return product, is_new


def _in_the_way(before: ReleaseDocument) -> Problem:
    detail = (
        f"The version {before['version']} of this product exists and is {before['status']}. Import another "
        "version, or replace a draft with onConflict UPDATE."
    )
    return errors.Conflict(detail=detail, conflicting_id=before["id"])


def _under_another_id(before: ReleaseDocument) -> Problem:
    detail = (
        f"The version {before['version']} of this product is the draft {before['id']!r}: give this id, or none, "
        "or discard the draft first."
    )
    return errors.Conflict(detail=detail, conflicting_id=before["id"])


def _made(
    caller: Caller, product: ProductDocument, fields: Values, before: ReleaseDocument | None
) -> ReleaseDocument:
    attributes = {name: value for name, value in fields.items() if name != "project"}
    if before is None:
        now = fields["importedAt"]
        return release.document(caller.tenant, product, now=now, createdBy=caller.subject, **attributes)
    files = release_update.artifacts(before["artifacts"], fields["artifacts"], fields["importedAt"])
    made: Values = {**before, "trial": False, **release.default_fields(), **attributes, "artifacts": files}
    return cast("ReleaseDocument", made | release.derived_fields(made))


def _created(product: ProductDocument) -> ReleaseWarning:
    return verification_jobs.general_warning(
        f"The product {product['key']!r} did not exist: it was created with the version scheme "
        f"{product['versionScheme']}."
    )


def _unresolved(batch: ImportBatch, made: ReleaseDocument) -> list[ReleaseWarning]:
    """Return a warning for each dependency that leads to no release which the caller may see."""
    return [
        verification_jobs.general_warning(
            f"The dependency {_title(one)} does not exist yet: save it, or correct the reference."
        )
        for one in made["dependencies"]
        if not batch.resolves(one["reference"])
    ]


def _title(dependency: DependencyDocument) -> str:
    """Return the name and version of a dependency for people, or its id if they are hidden."""
    return f"{dependency['name']} {dependency['version']}".strip() or repr(dependency["releaseId"])


def _answer(
    made: ReleaseDocument, before: ReleaseDocument | None, messages: list[str], warnings: list[ReleaseWarning]
) -> Payload:
    wrong = verification_jobs.warnings(made)
    told = [f"{'Updated' if before else 'Created'} the draft {made['name']} {made['version']}.", *messages]
    if wrong:
        told.append(f"{len(wrong)} of {len(made['artifacts'])} files could not be verified: see warnings.")
    return {
        "created": before is None,
        "catalogId": made["id"],
        "name": made["name"],
        "version": made["version"],
        "status": made["status"],
        "message": " ".join(told),
        "warnings": [*wrong, *warnings],
        "release": made,
    }
