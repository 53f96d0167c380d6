"""The table of all settings in docs/settings.md, made from the settings themselves.

`PYTHONPATH=tests python -m support.settings_table` writes the table into the page.
"""

import typing
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from release_catalog import secret_files
from release_catalog.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
BEGIN, END = "<!-- settings: begin -->\n", "<!-- settings: end -->\n"


def table() -> str:
    """Return the table: a row for each setting, in the order of their names."""
    rows = ["| variable | default | limits | meaning |", "|---|---|---|---|"]
    for name, field in sorted(Settings.model_fields.items()):
        variable = f"`RELEASE_CATALOG_{name.upper()}`"
        if secret_files.is_secret(field):
            variable += f", or its file: `RELEASE_CATALOG_{name.upper()}_FILE`"
        cells = (variable, _default(field), _limits(field), field.description or "")
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows) + "\n"


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "the user's data folder"
    if field.default in {None, ""}:
        return ""
    return f"`{_number(field.default)}`{_in_units(field.default)}"


def _limits(field: FieldInfo) -> str:
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    bounds = [
        f"{word} `{_number(value)}`"
        for rule in field.metadata
        for name, word in words.items()
        if (value := getattr(rule, name, None)) is not None
    ]
    kinds = (field.annotation, *typing.get_args(field.annotation))
    values = [f"`{value}`" for kind in kinds for value in typing.get_args(kind) if isinstance(value, str)]
    return ", ".join(bounds + ([" or ".join(values)] if values else []))


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _in_units(value: Any) -> str:
    """Return a large number of bytes in binary units besides."""
    if isinstance(value, int):
        for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20)):
            if value >= size and value % size == 0:
                return f" ({value // size} {unit})"
    return ""


def page_with_table(text: str) -> str:
    """Return the page with today's table."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + "\n" + table() + "\n" + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(page_with_table(PAGE.read_text()))
