"""One real server for all tests that only read from it."""

from collections.abc import Iterator

import pytest

from support.processes import serving


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the sample is served, without a slash at the end."""
    with serving(tmp_path_factory.mktemp("served"), "--sample") as server:
        yield server.url
        assert server.stop() == 0
