"""The report at the end of a run."""

import pytest

from faults.report import Figures, table

ROWS = pytest.StashKey[list[Figures]]()


@pytest.fixture
def report(request: pytest.FixtureRequest) -> list[Figures]:
    """The figures of this run, which the test adds its own to."""
    return request.config.stash.setdefault(ROWS, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table of all scenarios that passed."""
    if rows := config.stash.get(ROWS, []):
        terminalreporter.section("faults")
        for line in table(rows):
            terminalreporter.write_line(line)
