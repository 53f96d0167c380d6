"""Signatures, the schedule of attempts and the matching of types, as rules."""

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from release_catalog.domain import events, timestamps, webhooks
from release_catalog.files import address_guard
from release_catalog.webhooks import sender

NOW = timestamps.parse("2026-03-01T00:00:00Z")


@given(st.text(), st.sampled_from(["0000000000000001", "0000000000009999"]), st.integers(1, 3))
def test_another_implementation_accepts_every_signature(text: str, id_: str, count: int) -> None:
    body = text.encode(errors="replace")
    secrets = [webhooks.new_secret() for _ in range(count)]
    headers = webhooks.headers(id_, timestamps.now(), body, secrets)
    for secret in secrets:
        Webhook(secret).verify(body, headers, json_parse=False)
    changed: list[Any] = [(body + b"!", headers), (body, {**headers, "webhook-id": "0000000000000002"})]
    for wrong, told in [
        *changed,
        (body, {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) - 1)}),
    ]:
        with pytest.raises(WebhookVerificationError):
            Webhook(secrets[0]).verify(wrong, told)
    with pytest.raises(WebhookVerificationError):
        Webhook(webhooks.new_secret()).verify(body, headers)


def test_the_schemes_own_example() -> None:
    """https://www.standardwebhooks.com: its reference secret, message and signature."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    at = datetime.datetime.fromtimestamp(1614265330, datetime.UTC)
    headers = webhooks.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", at, body, [secret])
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.integers(1, 20), st.none() | st.floats(0, 1e9))
def test_a_delay_is_that_of_the_schedule_or_of_retry_after(attempts: int, asked: float | None) -> None:
    delay = webhooks.delay(attempts, asked)
    if attempts >= 10:
        assert delay is None
        return
    assert delay is not None
    least = [0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400][attempts]
    assert max(least, min(asked or 0, 86400)) <= delay <= max(least * 1.2, min(asked or 0, 86400))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("120", 120),
        (" 7 ", 7),
        ("99999999999999999999", 999_999_999),
        ("Sun, 01 Mar 2026 00:01:00 GMT", 60),
        ("Sun, 01 Mar 2026 00:01:00 -0000", 60),
        ("Sat, 28 Feb 2026 00:00:00 GMT", 0),
        ("Sun, 99 Mar 2026 00:01:00 GMT", None),
    ],
)
def test_retry_after_is_parsed(header: str | None, seconds: float | None) -> None:
    assert webhooks.retry_after(header, NOW) == seconds


def test_patterns_match_types_kinds_and_everything() -> None:
    assert events.matching(["*"]) == set(events.TYPES)
    assert events.matching(["promotion.*"]) == {
        "promotion.completed", "promotion.rejected", "promotion.rolled_back",
    }  # fmt: skip
    assert events.matching(["release.created", "artifact.*"]) == {
        "release.created", "artifact.verified", "artifact.mismatched",
    }  # fmt: skip
    for nothing in ("", ".*", "**", "rel*", "release.", "release.cre*", "release", "RELEASE.*", "x.*"):
        assert not events.matching([nothing]), nothing


@given(st.integers(0, 10**15))
def test_ids_are_cursors_in_the_order_of_their_numbers(number: int) -> None:
    assert events.sequence(events.id_of(number)) == number
    assert events.id_of(number) < events.id_of(number + 1)


@pytest.mark.parametrize(
    ("url", "allow", "usable"),
    [
        ("https://hooks.example/x?y=z", "", True),
        ("https://10.1.2.3/", "", True),  # its address is judged when it is connected to
        ("http://hooks.example/", "", False),
        ("http://hooks.example/", "hooks.example:80", True),
        ("http://HOOKS.example./", "hooks.example:80", True),
        ("http://hooks.example:81/", "hooks.example:80", False),
        ("http://hooks.example/", "10.0.0.0/8", False),
        ("http://10.1.2.3/", "10.0.0.0/8", True),
        ("http://[::ffff:10.1.2.3]/", "10.0.0.0/8", True),
        ("http://11.1.2.3/", "10.0.0.0/8", False),
        ("https://user@hooks.example/", "", False),
        ("https:///x", "", False),
    ],
)
def test_webhook_urls_are_https_or_allowed_by_the_operator(url: str, allow: str, usable: bool) -> None:
    assert (sender.url_rejection_reason(url, address_guard.parse(allow)) is None) == usable
