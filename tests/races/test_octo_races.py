"""Bookings of OCTO that meet their end: confirmed, extended, changed and cancelled while their hold
expires. Each has one outcome, that of all that it is made of.

"Seen red" in a test says which guard was taken out, and that the test then failed.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from server.partners.reservation_expiry import ReservationExpiry
from server.platform.config import load_settings
from server.platform.database import Database
from tests.support.databases import connected
from tests.support.invariants import assert_invariants
from tests.support.octo_client import FERRY, NAMED, OctoClient, octo_server
from tests.support.waiting import WAIT_SECONDS, until

ROUNDS, HELD = 5, 12
END = """
UPDATE reservations SET expire_time = clock_timestamp(), warn_time = NULL
WHERE state = 'OPEN' AND reservation_id =
  (SELECT reservation_id FROM partner_bookings WHERE booking_id = %s)
"""
CALLS: dict[str, tuple[str, str, Any]] = {
    "confirm": ("POST", "/confirm", NAMED),
    "confirm too": ("POST", "/confirm", NAMED),
    "cancel": ("POST", "/cancel", {}),
    "extend": ("POST", "/extend", {"expirationMinutes": 5}),
    "change": ("PATCH", "", {"unitItems": [{"unitId": "CHILD"}]}),
}
MEETINGS = (
    *(("confirm",), ("confirm", "cancel"), ("confirm", "confirm too"), ("extend", "confirm")),
    *(("extend",), ("cancel", "confirm"), ("change", "confirm"), ("cancel", "extend")),
)


@pytest.fixture(scope="module")
async def octo(module_database_url: str, module_redis_url: str) -> AsyncIterator[OctoClient]:
    async with (
        octo_server(module_database_url, module_redis_url) as url,
        OctoClient(url) as client,
    ):
        yield client


async def test_bookings_at_their_end(octo: OctoClient, module_database_url: str) -> None:
    """Twelve bookings at a time take all that there is, and come to their end while they are
    confirmed, cancelled, extended and changed, by two calls at once.

    Seen red: without `require_open` in `release` a hold that had ended was cancelled as well.
    """
    chance = random.Random(1)
    seen: Counter[str] = Counter()
    async with _expiry(module_database_url):
        for number in range(ROUNDS):
            began = time.monotonic()
            held = [await octo.hold(FERRY, "ADULT", days=12) for _ in range(HELD)]
            pace = (time.monotonic() - began) / HELD  # of a call, on whatever machine this is
            asked = [chance.choice(MEETINGS) for _ in held]
            met = [
                _meet(octo, module_database_url, booking, calls, pace * chance.uniform(0, 8))
                for booking, calls in zip(held, asked, strict=True)
            ]
            for booking, done in zip(held, await asyncio.gather(*met), strict=True):
                final = (await octo.ask("GET", f"/bookings/{booking['uuid']}"))["status"]
                assert final in _possible(done), (number, done, final)
                seen[final] += 1
                if final == "CONFIRMED":
                    await octo.ask("POST", f"/bookings/{booking['uuid']}/cancel", {})
            await _all_back(octo)
    assert_invariants(module_database_url)
    assert seen.keys() == {"CONFIRMED", "EXPIRED", "CANCELLED"}, seen


@pytest.mark.parametrize("call", ["confirm", "extend", "change", "cancel"])
async def test_who_waits_past_the_end_comes_too_late(
    octo: OctoClient, module_database_url: str, call: str
) -> None:
    """A call that waits for the booking's row while its hold ends is refused, however early it was
    sent.

    Seen red: without the lock of the booking's row nobody waits; with the time of the call's
    beginning in `activate`, or without `refusal` there, it was confirmed after its end.
    """
    booking = await octo.hold(FERRY, days=13)
    with psycopg.connect(module_database_url) as holder, connected(module_database_url) as looker:
        holder.execute("SELECT FROM partner_bookings FOR UPDATE")
        calling = asyncio.ensure_future(_call(octo, booking["uuid"], call))
        await until(lambda: _waits(looker))
        _end(module_database_url, booking)
        holder.rollback()
        assert await calling == (400, "INVALID_BOOKING_UUID")
    assert (await octo.ask("GET", f"/bookings/{booking['uuid']}"))["status"] == "EXPIRED"
    await _all_back(octo, 13)
    assert_invariants(module_database_url)


def _possible(done: dict[str, tuple[int, str]]) -> set[str]:
    """What may have become of a booking whose hold has ended, by the answers to its calls: status,
    and what it then was or the code of the refusal.
    """
    codes = {answer for http_status, answer in done.values() if http_status != 200}
    assert codes <= {"INVALID_BOOKING_UUID", "UNPROCESSABLE_ENTITY"}, done
    was = {answer for http_status, answer in done.values() if http_status == 200}
    return {next((each for each in ("CANCELLED", "CONFIRMED") if each in was), "EXPIRED")}


async def _meet(
    octo: OctoClient, database_url: str, booking: Any, calls: Sequence[str], seconds: float
) -> dict[str, tuple[int, str]]:
    """The answers to calls whose booking's hold ends about so many seconds later, if it has not
    been used by then.
    """

    async def end() -> None:
        await asyncio.sleep(seconds)
        await asyncio.to_thread(_end, database_url, booking)

    made = asyncio.gather(*[_call(octo, booking["uuid"], call) for call in calls])
    _, answers = await asyncio.gather(end(), made)
    return dict(zip(calls, answers, strict=True))


async def _call(octo: OctoClient, booking_id: str, call: str) -> tuple[int, str]:
    verb, path, body = CALLS[call]
    answer = await octo.http.request(verb, f"/bookings/{booking_id}{path}", json=body)
    content = answer.json()
    return answer.status_code, content.get("error") or content["status"]


def _end(database_url: str, booking: Any) -> None:
    """Has the hold of a booking end now, if it is held."""
    with connected(database_url) as connection:
        connection.execute(END, (booking["uuid"],))


def _waits(looker: psycopg.Connection[Any]) -> bool:
    found = looker.execute("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted").fetchone()
    return found == (True,)


async def _all_back(octo: OctoClient, days: int = 12) -> None:
    """Waits until all that was held is left again."""
    async with asyncio.timeout(WAIT_SECONDS):
        while await octo.left(FERRY, days) < HELD:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)


@asynccontextmanager
async def _expiry(database_url: str) -> AsyncIterator[None]:
    """Another process that looks for what has expired, all the time."""
    db = Database(load_settings(), database_url)
    expiry = ReservationExpiry(db)

    async def looks() -> None:
        while True:
            await expiry.look()

    looking = asyncio.ensure_future(looks())
    yield
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    await db.close()
