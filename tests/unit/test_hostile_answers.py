"""Texts from other servers, which a caller may run: redirects, Retry-After. Headers there have up to 64 KiB."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from release_catalog.domain import timestamps, webhooks
from release_catalog.files import address_guard, http_client, verifier
from release_catalog.webhooks import sender
from support import hostile_requests as hostile
from support.effort import bounded

SIZES = (253, 1_000, 2_048, 200_000)
HERE = http_client.target("https://files.example/a")
READERS: dict[str, Callable[[str], Any]] = {
    "Retry-After": lambda text: webhooks.retry_after(text, timestamps.now()),
    "Retry-After with a day": lambda text: webhooks.retry_after(f"Wed, 21 Oct 2015 {text}", timestamps.now()),
    "URL": http_client.target,
    "host of a URL": lambda text: http_client.target(f"https://{text}/a"),
    "Location": lambda text: verifier._redirected(HERE, "https://files.example/a", text),
    "Location after slashes": lambda text: verifier._redirected(HERE, "https://files.example/a", f"//{text}"),
    "URL of a webhook": lambda text: sender.url_rejection_reason(text, address_guard.Allowed()),
    "host of a webhook": lambda text: sender.url_rejection_reason(f"https://{text}", address_guard.Allowed()),
}


@pytest.mark.parametrize("reader", READERS)
def test_no_answer_takes_long_to_read(reader: str) -> None:
    for family, text in hostile.FAMILIES.items():
        for size in SIZES:
            with bounded(f"{family} x {size:,}"), contextlib.suppress(address_guard.Unreachable):
                READERS[reader](text(size))
