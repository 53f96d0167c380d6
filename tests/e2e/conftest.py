"""One real server for all tests that only read from it."""

from collections.abc import Iterator

import pytest

from release_catalog.query_engine import executor
from support.processes import Server, serving

NOT_COMPILED = "not answered by a compiled query"


@pytest.fixture(scope="session")
def sample_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve the sample; no query of any test may be one that can't be compiled."""
    with serving(tmp_path_factory.mktemp("served"), "--sample") as server:
        yield server
        reasons = [entry["reason"] for entry in server.entries(NOT_COMPILED)]
        assert not [reason for reason in reasons if reason.startswith(executor.UNSUPPORTED)]
        assert server.stop() == 0


@pytest.fixture(scope="session")
def server_url(sample_server: Server) -> str:
    """Return the address at which the sample is served, without a slash at the end."""
    return sample_server.url
