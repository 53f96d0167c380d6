"""The meaning of database errors that only newer versions of MongoDB send."""

import pytest
from pymongo.errors import OperationFailure

from release_catalog.storage import outages
from release_catalog.storage.outages import NothingWritten


@pytest.mark.parametrize("code", [402, 407, 412, 433, 449, 450, 453, 462, 91331, 10045600])
def test_an_overload_or_an_upgrade_of_the_cluster_passes(code: int) -> None:
    assert outages.outage(OperationFailure("refused", code)) is outages.UNAVAILABLE


def test_any_overload_passes_by_its_label() -> None:
    for label in ("SystemOverloadedError", "RetryableError"):
        assert (
            outages.outage(OperationFailure("refused", 999_999, {"errorLabels": [label]})) is outages.UNAVAILABLE
        )
    assert outages.outage(OperationFailure("refused", 999_999)) is None


def test_a_transaction_that_never_fits_in_the_cache_has_to_become_smaller() -> None:
    error = OperationFailure("too large", 388, {"codeName": "TransactionTooLargeForCache"})
    assert outages.outage(error) is outages.TIMEOUT
    assert outages.left_no_trace(error)
    undone = NothingWritten("not written")
    undone.__cause__ = error
    assert outages.outage(undone) is outages.SLOW_CHANGE
