"""docs/settings.md has all settings, as the code has them."""

from release_catalog import settings
from release_catalog.settings import Settings
from support import settings_table


def test_the_table_is_that_of_the_settings() -> None:
    page = settings_table.PAGE.read_text()
    assert page == settings_table.page_with_table(page), "run: PYTHONPATH=tests python -m support.settings_table"


def test_every_setting_has_a_meaning() -> None:
    table = settings_table.table()
    assert all(field.description for field in Settings.model_fields.values())
    assert all(f"`{variable}`" in table for variable in settings.variables())
    assert "| `RELEASE_CATALOG_PORT` | `8000` | at least `0`, at most `65535` | Port to listen at." in table
    assert "`auto` or `json` or `text`" in table


def test_no_default_is_that_of_this_machine() -> None:
    assert "/home/" not in settings_table.table()
    assert "/root/" not in settings_table.table()
