"""A reseller's system that speaks OCTO, and what it sells: trains, a ferry and a package, of which
the partner CP has an allotment.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Self
from uuid import uuid4

import httpx2
import psycopg

from server.platform import clock
from server.tickets import keys
from tests.support import octo_description, timetable
from tests.support.gate_server import gate_server
from tests.support.partner_client import CP, KEY, PARTNERS
from tests.support.rpc_server import SECRET_KEY
from tests.support.timetable import tomorrow

ALLOTTED = 12
ALLOT = """
INSERT INTO stocks (stock_id, product_id, partner_id, departure_id, fare_class, use_date, total,
  update_time)
SELECT stock_id | 1, product_id, 1, departure_id, fare_class, use_date, %s, now() FROM stocks
WHERE partner_id = 0 AND promotion_id IS NULL AND fare_class IS DISTINCT FROM 'FIRST'
"""
TRAIN = {"productId": "201", "optionId": "11-0-0-2"}
FERRY = {"productId": "202", "optionId": "12-0-0-1"}
PACKAGE = {"productId": "106", "optionId": "DEFAULT"}
NAMED = {"contact": {"fullName": "Ada Wong"}}
Json = Any


class OctoClient:
    """Calls with the partner's key, as the bearer of it."""

    def __init__(self, url: str, key: str = CP.api_key, **headers: str) -> None:
        given = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
            **headers,
        }
        self.http = httpx2.AsyncClient(base_url=f"{url}/octo", headers=given, timeout=60)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def ask(
        self, verb: str, path: str, body: Json = None, status: int = 200, request_id: str = ""
    ) -> Json:
        """The answer of a call, which has this status and is as OCTO describes it."""
        content = None if body is None else json.dumps(body)  # which escapes what is no Unicode
        named = {"X-Request-Id": request_id} if request_id else {}
        answer = await self.http.request(verb, path, content=content, headers=named)
        assert answer.status_code == status, answer.text
        octo_description.check_answer(verb, path, status, answer.json())
        return answer.json()

    async def refused(
        self, verb: str, path: str, body: Json = None, status: int = 400, request_id: str = ""
    ) -> str:
        """The code that a call is refused with."""
        content = await self.ask(verb, path, body, status, request_id)
        assert content["errorMessage"]
        return str(content["error"])

    async def hold(self, what: Json, *units: str, **more: Any) -> Json:
        """A booking that is held, of two adults tomorrow unless something else is said."""
        return await self.ask("POST", "/bookings", await self.wanted(what, *units, **more))

    async def wanted(self, what: Json, *units: str, days: int = 1, **more: Any) -> Json:
        """What a reservation is asked with."""
        slots = await self.slots(what, days)
        items = [{"unitId": unit} for unit in units or ("ADULT", "ADULT")]
        return {
            **what,
            "uuid": str(uuid4()),
            "availabilityId": slots[0]["id"],
            "unitItems": items,
            **more,
        }

    async def slots(self, what: Json, days: int = 1) -> list[Json]:
        """The availability of a day so many days ahead."""
        day = (tomorrow() + timedelta(days=days - 1)).isoformat()
        found: list[Json] = await self.ask("POST", "/availability", {**what, "localDate": day})
        return found

    async def left(self, what: Json, days: int = 1) -> int:
        """What the partner has left of the first departure of a day, or of the day."""
        return int((await self.slots(what, days))[0]["vacancies"])


@asynccontextmanager
async def octo_server(database_url: str, redis_url: str) -> AsyncIterator[str]:
    """The address of a server of that world."""
    async with timetable.database(database_url) as db:
        await timetable.build(db)
        async with db.transaction() as tx:
            await keys.create_first_key(tx, SECRET_KEY, clock.now())
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(PARTNERS)
        connection.execute(KEY, (CP.key_id, 1, CP.secret_hash))
        connection.execute(ALLOT, (ALLOTTED,))
    async with gate_server(database_url, redis_url) as server:
        yield f"http://127.0.0.1:{server.app.http_port}"
