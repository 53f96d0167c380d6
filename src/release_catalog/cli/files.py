"""Import releases and verify their files from a terminal, with a progress bar of the bytes."""

import sys
from collections.abc import Sequence
from typing import Any, Self

import rich.progress

from release_catalog.cli.options import print_json, problem_json
from release_catalog.console import errors, printable
from release_catalog.domain import release_document, timestamps
from release_catalog.domain.caller import Caller
from release_catalog.domain.release_parts import file_title
from release_catalog.errors import Problem, ValidationProblem
from release_catalog.files import verification
from release_catalog.files.verifier import Fetcher
from release_catalog.storage import records, releases
from release_catalog.storage import verification_jobs as jobs
from release_catalog.storage.collection_names import PRODUCTS
from release_catalog.storage.database import Database
from release_catalog.storage.idempotency import Answer, MutationInput


class Bar:
    """A progress bar of fetched bytes, drawn on terminals only, and the outcome of each release."""

    def __init__(self, *, json: bool = False, dry_run: bool = False) -> None:
        """With `json`, the outcomes are documents on standard output, otherwise lines on standard error."""
        self.json, self.dry_run = json, dry_run
        self.console = errors()
        columns = (
            rich.progress.TextColumn("{task.description}", markup=False),
            rich.progress.BarColumn(),
            rich.progress.DownloadColumn(binary_units=True),
            rich.progress.TransferSpeedColumn(),
        )
        self._bar = rich.progress.Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self._task = self._bar.add_task("", total=None)
        self._total = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def expect(self, name: str, files: Any) -> None:
        """Announce the files of the next release, as it declares them."""
        entries = files if isinstance(files, list) else []
        sizes = (entry.get("size") for entry in entries if isinstance(entry, dict))
        self._total += sum(size for size in sizes if isinstance(size, int))
        self._bar.update(self._task, total=self._total, description=printable(name))

    def came(self, count: int) -> None:
        """Count fetched bytes; called from the fetching threads."""
        self._bar.advance(self._task, count)

    def tell(self, name: str, answer: Answer) -> None:
        """Print the outcome of a release: a line, and one for each fault."""
        if self.json:
            print_json({"name": name, **_outcome(answer), **({"dryRun": True} if self.dry_run else {})})
            return
        if isinstance(answer, ValidationProblem):
            lines = [f"{name}: refused", *(f"  {v.field}: {v.message}" for v in answer.violations)]
        elif isinstance(answer, Problem):
            lines = [f"{name}: {answer.detail}"]
        else:
            wrong = answer["warnings"]
            count = len(answer["release"]["artifacts"])
            lines = [
                answer.get("message") or f"{name}: {count - len(wrong)} of {count} files match their declaration."
            ]
            for warning in wrong:
                title = file_title({"name": warning["artifactName"], "platform": warning["platform"]})
                about = f"{title}: " if title else ""
                lines.append(f"  {about}{warning['message']}")
        self.say(*lines)

    def say(self, *lines: str) -> None:
        """Print lines for people."""
        if not self.json:
            self.console.print("\n".join(map(printable, lines)), soft_wrap=True)


def _outcome(answer: Answer) -> dict[str, Any]:
    """Return the outcome of a release as a document."""
    if isinstance(answer, Problem):
        return {"release": None, "problem": problem_json(answer), "warnings": []}
    release = answer["release"]
    about = {name: release[name] for name in ("id", "name", "version", "revision", "channel", "status")}
    about["files"] = len(release["artifacts"])
    return {"release": about, "problem": None, "warnings": answer["warnings"]}


async def import_all(
    documents: Sequence[Any], options: MutationInput, caller: Caller, database: Database, files: Fetcher, bar: Bar
) -> bool:
    """Import documents one after the other; return whether none was refused.

    A fault of a file is only a warning.
    """
    good = True
    for number, document in enumerate(documents, start=1):
        source = document if isinstance(document, dict) else {}
        name = f"{source.get('name') or f'document {number}'} {source.get('version') or ''}".strip()
        bar.expect(name, source.get("artifacts"))
        answer: Answer
        if source is document:
            project = options["projectIdentifier"] or source.get("project")
            input_ = {**options, "release": source, "projectIdentifier": project}
            answer = await verification.import_release(caller, database, files, input_)
        else:
            answer = ValidationProblem(
                violations=release_document.read(document, "input.release", timestamps.now())[1]
            )
        good = good and not isinstance(answer, Problem)
        bar.tell(name, answer)
    if options["dryRun"]:
        bar.say("Dry run: nothing was stored.")
    return good


async def verify_all(
    ids: Sequence[str], product: str | None, caller: Caller, database: Database, files: Fetcher, bar: Bar
) -> bool:
    """Verify files again: of these releases, else of a product, else of all; return whether all match."""
    good = True
    if not ids:
        products = None if product is None else await _products(caller, database, product)
        if products == []:
            sys.exit(f"The product {product!r} does not exist: check its id or key.")
        ids = await jobs.with_files(caller, database, products)
        bar.say(f"Releases with files: {len(ids)}.")
    for id_ in ids:
        release = (await releases.by_ids(caller, database, [id_])).get(id_)
        name = f"{release['name']} {release['version']}" if release else id_
        bar.expect(name, release and release["artifacts"])
        input_ = {"releaseId": id_, "verification": "WAIT"}
        answer = await verification.verify_artifacts(caller, database, files, input_)
        good = good and isinstance(answer, dict) and not answer["warnings"]
        bar.tell(name, answer)
    return good


async def _products(caller: Caller, database: Database, name: str) -> list[str]:
    """Return the ids of the products with this id or key."""
    by_key = await records.products_by_key(caller, database, name)
    by_id = await records.by_ids(caller, database, PRODUCTS, [name])
    return list({product["id"] for product in (*by_key, *by_id.values())})
