"""Places of webhook deliveries: shares of tenants, hosts and slow receivers, and turns."""

import collections
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from release_catalog.domain.webhooks import WebhookDocument
from release_catalog.webhooks import delivery_slots
from release_catalog.webhooks.delivery_slots import Places


def hook(tenant: str, number: int, host: str | None = None) -> Any:
    """A webhook with the fields that matter here."""
    id_ = f"{tenant}/{number}"
    return {"_id": id_, "tenantId": tenant, "url": f"https://{host or f'{number}.{tenant}.example'}:1/hook"}


def hooks(tenant: str, count: int, host: str | None = None) -> list[WebhookDocument]:
    return [hook(tenant, number, host) for number in range(count)]


def tenants(chosen: list[WebhookDocument]) -> collections.Counter[str]:
    return collections.Counter(webhook["tenantId"] for webhook in chosen)


def deliver(free: Places, due: list[WebhookDocument], seconds: float) -> None:
    """Deliver to all of these webhooks, each message taking so long."""
    for webhook in due:
        assert free.choose([webhook]) == [webhook]
        assert free.admit(webhook)
        free.give_back(webhook["_id"], seconds)


def test_one_tenant_with_many_webhooks_leaves_places_to_the_others() -> None:
    free = Places()
    flood = hooks("a", 1_000)
    assert tenants(free.choose(flood)) == {"a": delivery_slots.OF_TENANT}
    assert free.choose(flood) == []
    assert tenants(free.choose(flood + hooks("b", 1))) == {"b": 1}


def test_there_is_a_place_for_another_tenant_whatever_several_hold() -> None:
    free = Places()
    for tenant in "abcde":
        assert free.choose(hooks(tenant, 100))
    assert tenants(free.choose([webhook for tenant in "abcde" for webhook in hooks(tenant, 100)])) == {}
    assert tenants(free.choose(hooks("f", 5)))["f"] >= 1


def test_a_place_that_becomes_free_goes_to_whom_it_was_given_least_recently(monkeypatch: Any) -> None:
    monkeypatch.setattr(delivery_slots, "AT_ONCE", 1)
    free = Places()
    due, order = [webhook for tenant in "abc" for webhook in hooks(tenant, 50)], []
    for _ in range(30):
        [webhook] = free.choose(due)
        order.append(webhook["tenantId"])
        free.give_back(webhook["_id"])
    assert sorted(order[:3]) == ["a", "b", "c"]
    assert order == order[:3] * 10


def test_receivers_that_were_slow_have_a_small_share_until_they_are_fast_again() -> None:
    free = Places()
    slow, fast = hooks("a", 40), [hook("a", number) for number in range(40, 60)]
    deliver(free, slow, 15)
    chosen = free.choose(slow + fast)
    assert len([webhook for webhook in chosen if webhook in slow]) <= delivery_slots.OF_SLOW_OF_TENANT
    assert len(chosen) == delivery_slots.OF_TENANT
    for webhook in chosen:
        free.admit(webhook)
        free.give_back(webhook["_id"], 0.1)
    better = [webhook for webhook in chosen if webhook in slow]
    assert {webhook["_id"] for webhook in free.choose(better)} == {webhook["_id"] for webhook in better}


def test_the_slow_receivers_of_all_tenants_leave_most_places_free() -> None:
    free = Places()
    slow = [webhook for number in range(20) for webhook in hooks(f"t{number}", 10)]
    deliver(free, slow, 15)
    assert len(free.choose(slow)) <= delivery_slots.OF_SLOW
    assert free.free >= delivery_slots.AT_ONCE - delivery_slots.OF_SLOW


def test_the_receiver_of_many_tenants_has_a_share_too() -> None:
    free = Places()
    due = [webhook for number in range(20) for webhook in hooks(f"t{number}", 3, "hooks.example")]
    admitted = [webhook for webhook in free.choose(due) if free.admit(webhook)]
    assert len(admitted) == delivery_slots.OF_HOST
    # By now it is known where they lead to.
    for _ in range(5):
        assert not [webhook for webhook in free.choose(due) if free.admit(webhook)]
    assert free.free == delivery_slots.AT_ONCE - delivery_slots.OF_HOST
    one = free.choose(hooks("a", 100, "own.example"))
    assert sum(free.admit(webhook) for webhook in one) == delivery_slots.OF_TENANT_AT_HOST


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["choose", "give back"]),
        st.sampled_from("abcd"),
        st.integers(0, 40),
        st.sampled_from([None, 0.1, 15.0]),
    ),
    max_size=40,
)


@given(STEPS)
def test_any_order_of_steps_keeps_the_shares_and_loses_no_place(steps: list[Any]) -> None:
    free, held = Places(), list[WebhookDocument]()
    for step, tenant, number, seconds in steps:
        if step == "choose":
            due = hooks(tenant, number, "one.example" if number % 2 else None)
            chosen = [webhook for webhook in free.choose(due) if free.admit(webhook)]
            assert not {webhook["_id"] for webhook in chosen} & {webhook["_id"] for webhook in held}
            held += chosen
        elif held:
            webhook = held.pop(number % len(held))
            free.give_back(webhook["_id"], seconds)
        counted = tenants(held)
        assert free.free == delivery_slots.AT_ONCE - counted.total() >= 0
        assert all(count <= delivery_slots.OF_TENANT for count in counted.values())
        at_host = tenants([webhook for webhook in held if "one.example" in webhook["url"]])
        assert at_host.total() <= delivery_slots.OF_HOST
    for webhook in held:
        free.give_back(webhook["_id"])
    assert free.free == delivery_slots.AT_ONCE
    assert free._hosts.used == free._slow.used == 0


def test_remembered_receivers_are_bounded(monkeypatch: Any) -> None:
    monkeypatch.setattr(delivery_slots, "MAX_KNOWN", 10)
    free = Places()
    for number in range(50):
        deliver(free, [hook(f"t{number}", number)], 15)
    assert len(free._receivers) <= 10
    assert len(free._turns) <= 10
