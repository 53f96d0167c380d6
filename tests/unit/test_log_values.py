"""MongoDB's refusals quote what was sent: no line of the log has their messages."""

import asyncio
import gc
import logging

import pytest
import structlog
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    DuplicateKeyError,
    OperationFailure,
    ServerSelectionTimeoutError,
)

from release_catalog.storage import outages
from support import logs

QUOTED = """E11000 duplicate key: { name: "5ecret 'name'" }"""
# Here, so that no traceback in this file shows the text.
REFUSALS = (
    DuplicateKeyError(QUOTED, 11000, {"keyValue": {"name": "5ecret"}, "codeName": "DuplicateKey"}),
    BulkWriteError({"writeErrors": [{"errmsg": QUOTED, "op": {"name": "5ecret"}}]}),
    OperationFailure(QUOTED, 121),
)
each_refusal = pytest.mark.parametrize("refusal", REFUSALS, ids=lambda error: type(error).__name__)
each_form = pytest.mark.parametrize("form", ["json", "text"])


@each_form
@each_refusal
def test_an_exception_that_nobody_awaits_quotes_nothing(form: str, refusal: OperationFailure) -> None:
    async def fail() -> None:
        raise refusal

    async def main() -> None:
        task = asyncio.create_task(fail())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task
        gc.collect()

    with logs.captured(form=form) as log:
        asyncio.run(main())
    assert "never retrieved" in log.getvalue()
    assert f"MongoDB's error {refusal.code}" in log.getvalue()
    assert "5ecret" not in log.getvalue()


@each_form
@each_refusal
def test_an_error_with_the_message_of_another_quotes_nothing(form: str, refusal: OperationFailure) -> None:
    with logs.captured(form=form) as log:
        for text in (str(refusal), repr(refusal), [str(refusal)]):
            try:
                try:
                    raise refusal
                except OperationFailure:
                    raise RuntimeError(text) from None
            except RuntimeError:
                structlog.get_logger().exception("failed")
                logging.getLogger("library").exception("failed with %s", text)
    assert log.getvalue().count("RuntimeError") >= 6
    assert "5ecret" not in log.getvalue()


def test_a_refusal_without_a_message_leaves_the_rest_as_it_is() -> None:
    with logs.captured() as log:
        structlog.get_logger().error("failed", exc_info=OperationFailure(""), more="text")
    [entry] = logs.entries(log)
    assert (entry["event"], entry["more"]) == ("failed", "text")


@each_refusal
def test_the_reason_of_a_refusal_is_its_code(refusal: OperationFailure) -> None:
    assert "5ecret" not in outages.reason(refusal)
    assert f"MongoDB's error {refusal.code}" in outages.reason(refusal)


def test_other_reasons_say_what_is_wrong() -> None:
    assert outages.reason(REFUSALS[0]) == "MongoDB's error 11000 (DuplicateKey)"
    assert outages.reason(AutoReconnect("connection closed")) == "connection closed"
    assert len(outages.reason(ServerSelectionTimeoutError("x" * 9_999))) == outages.MAX_REASON
