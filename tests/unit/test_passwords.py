"""Guesses at passwords delay nobody who knows one."""

import asyncio
import threading

import pytest

from release_catalog.auth import failed_attempts, passwords
from release_catalog.auth.errors import AuthenticationError
from release_catalog.auth.passwords import Passwords
from support.waiting import eventually, loop_turns

HERE, THERE = "192.0.2.1", "198.51.100.1"


class Verifier:
    """Stands for Argon2: it tells what is verified, in its order, and waits while it is `held`."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.verified: list[str] = []
        self.at_once = self.most = 0
        self.held = threading.Event()
        self.held.set()
        self._lock = threading.Lock()

    def __call__(self, known: str, password: str) -> bool:
        with self._lock:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            self.begun.append(known)
        self.held.wait(30)
        with self._lock:
            self.at_once -= 1
            self.verified.append(known)
        return password == "good"


@pytest.fixture
def verifier(monkeypatch: pytest.MonkeyPatch) -> Verifier:
    made = Verifier()
    monkeypatch.setattr(passwords, "matches", made)
    return made


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_attempts, "FIRST_SECONDS", 0.001)
    monkeypatch.setattr(failed_attempts, "MAX_SECONDS", 0.002)


async def guess(
    held: Passwords, name: str, network: str = HERE, password: str = "bad", exists: bool = True
) -> bool:
    return await held.verify(name, network, name, password, exists=exists)


async def test_a_name_that_is_guessed_at_delays_no_other_name(verifier: Verifier) -> None:
    held = Passwords()
    for _ in range(5):
        await guess(held, "ci")
    verifier.held.clear()
    flood = [asyncio.create_task(guess(held, name)) for name in ("a", "b", "c", "d", "e") for _ in range(4)]
    await loop_turns()
    late = asyncio.create_task(guess(held, "deploy", THERE, "good"))
    await eventually(lambda: verifier.at_once == 2)
    verifier.held.set()
    assert await late
    await asyncio.gather(*flood)
    # The flood's network has a slot of its own, since it has failed: the other one had not to wait at all. Which
    # of the two threads ends first is chance.
    assert verifier.begun[5:].index("deploy") <= 1
    assert verifier.most <= passwords.AT_ONCE + 1


async def test_names_of_one_network_take_turns(verifier: Verifier) -> None:
    held = Passwords()
    for name in ("ci", "deploy"):
        for _ in range(4):
            await guess(held, name)
    verifier.held.clear()
    flood = [asyncio.create_task(guess(held, f"name {n}")) for n in range(3) for _ in range(5)]
    await loop_turns()
    late = asyncio.create_task(guess(held, "other", HERE, "good"))
    await loop_turns()
    verifier.held.set()
    assert await late
    await asyncio.gather(*flood)
    assert verifier.verified[8:].index("other") <= 3
    assert verifier.most == 1


async def test_guesses_at_one_name_wait_within_a_bound(verifier: Verifier) -> None:
    held = Passwords()
    verifier.held.clear()
    flood = [asyncio.create_task(guess(held, "ci")) for _ in range(50)]
    await eventually(lambda: sum(task.done() for task in flood) == 50 - 1 - passwords.MAX_WAITING)
    refused = [task.exception() for task in flood if task.done()]
    assert {(type(error), error.status) for error in refused if isinstance(error, AuthenticationError)} == {
        (AuthenticationError, 429)
    }
    assert len(refused) == 45
    # The same name from elsewhere does not wait for them.
    verifier.held.set()
    assert await guess(held, "ci", THERE, "good")
    await asyncio.gather(*flood, return_exceptions=True)


async def test_names_that_do_not_exist_take_no_slot_and_as_long_as_others(verifier: Verifier) -> None:
    held = Passwords()
    assert not await guess(held, "nobody", exists=False)
    assert len(verifier.verified) == 1, "the first one shows how long it takes"
    assert not await guess(held, "nobody", password="good", exists=False)
    verifier.held.clear()
    real = [asyncio.create_task(guess(held, f"name {n}")) for n in range(2)]
    await eventually(lambda: verifier.at_once == 2)
    unknown = [asyncio.create_task(guess(held, f"nobody {n}", exists=False)) for n in range(500)]
    assert not any(await asyncio.gather(*unknown))
    assert not any(task.done() for task in real)
    verifier.held.set()
    await asyncio.gather(*real)
    assert len(verifier.verified) == 3
    assert len(held.failures) <= failed_attempts.MAX_KEYS


async def test_a_good_password_ends_the_delay(verifier: Verifier) -> None:
    held = Passwords()
    for _ in range(5):
        await guess(held, "ci")
    pair = (HERE, "ci")
    assert held.failures.many(pair)
    assert await guess(held, "ci", password="good")
    assert not held.failures.many(pair)
    assert held.failures.many("ci"), "others guess at it still"
