"""Options that several commands have, and the output of programs and people."""

import re
from collections.abc import Sequence
from typing import Annotated, Any

import orjson
import typer

from release_catalog.console import printable, printable_json
from release_catalog.errors import Problem, ValidationProblem, Violation

Tenant = Annotated[str | None, typer.Option(help="Tenant. Defaults to the tenant in the settings.")]
Json = Annotated[
    bool, typer.Option("--json", help="Print JSON on standard output: one document a line, for programs.")
]
NewCatalog = Annotated[
    bool, typer.Option("--new-catalog", help="Create the catalog if the database has none yet.")
]


def print_json(document: Any, *, err: bool = False) -> None:
    """Print a document as one line of JSON; programs read it while the command goes on."""
    # A document that somebody has changed may hold values of any type.
    line = orjson.dumps(document, default=str, option=orjson.OPT_UTC_Z)
    typer.echo(printable_json(line).decode(), err=err)


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns, without colours and control sequences."""
    cells = [[printable(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def problem_text(problem: Problem) -> str:
    """Return the reasons of a refusal, one a line."""
    if isinstance(problem, ValidationProblem):
        return "\n".join(violation.message for violation in problem.violations)
    return problem.detail


def failure_text(error: Exception) -> str:
    """Return the message of an error without all that the driver knows of timeouts and servers."""
    return re.split(r" \(configured|, Timeout: |, full error: ", str(error))[0]


def problem_json(problem: Problem) -> dict[str, Any]:
    """Return a problem as a document; `violations` is empty unless the input is invalid."""
    found = problem.violations if isinstance(problem, ValidationProblem) else []
    return {
        "status": problem.status,
        "detail": problem.detail,
        "violations": violations_json(found),
    }


def violations_json(violations: Sequence[Violation]) -> list[dict[str, str]]:
    """Return violations as documents."""
    return [{"field": v.field, "code": v.code, "message": v.message} for v in violations]
