"""Callers of the product in JSON who search, look and scan, give up, read half, or write nonsense.

What they call is the demo data; the gateway serves them through the transport inside the process.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx2
import orjson

from tests.support.server_process import ServerProcess

MAX_PAUSE_SECONDS = 0.02
FUNCTION = "ferry"
CITIES = ("SZX", "HKG")
STREAM = "/ota/batches/{}/tickets:stream?with_qr=true"
LARGE_BYTES = 3_000_000


@dataclass(frozen=True)
class Gate:
    """Where callers call, as whom, and with whose QR codes.

    Attributes:
        travel_dates: days that have departures, as ISO texts.
        batch_id: of all the QR codes' tickets.
    """

    url: str
    operator: dict[str, str]
    partner: dict[str, str]
    terminal: str
    travel_dates: Sequence[str]
    batch_id: str
    tokens: Sequence[str]


async def a_gate(server: ServerProcess, travel_dates: Sequence[str], *, tickets: int) -> Gate:
    """So many active tickets in a batch, with their QR codes."""
    credentials = server.credentials
    partner = {"x-api-key": credentials["partner_api_key"]}
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as http:
        made = await http.post(
            "/ota/tickets/bulk-generate",
            headers=partner,
            json={
                "product_id": 106,
                "quantity": tickets,
                "request_id": "soak",
                "activation": {
                    "customer": {"name": "Soak", "type": "adult"},
                    "payment": {
                        "reference": "soak",
                        "amount_minor": 29_800 * tickets,
                        "currency_code": "CNY",
                    },
                },
            },
        )
        made.raise_for_status()
        batch: str = made.json()["batch_id"]
        listed = await http.get(STREAM.format(batch), headers=partner)
        listed.raise_for_status()
        login = await http.post(
            "/operators/login",
            json={
                **credentials["operator"],
                "terminal_device_id": credentials["terminal_device_id"],
            },
        )
        login.raise_for_status()
    return Gate(
        server.url,
        {"authorization": f"Bearer {login.json()['access_token']}"},
        partner,
        credentials["terminal_device_id"],
        travel_dates,
        batch,
        [orjson.loads(line)["encrypted_data"] for line in listed.text.splitlines()],
    )


class JsonLoad:
    """Callers of all kinds, each of whom does what chance says.

    Attributes:
        calls: what was done so far, by its name.
        faults: what should never have been, in words.
    """

    def __init__(self, gate: Gate, chance: random.Random, *, pause_seconds: float) -> None:
        self.calls: Counter[str] = Counter()
        self.faults: list[str] = []
        self._gate = gate
        self._chance = chance
        self._pause_seconds = pause_seconds
        self._made = 0

    async def call_until(self, end: float) -> None:
        """One caller with a connection of its own, until `time.monotonic()` is `end`."""
        doings = [
            self.search,
            self.look,
            self.scan,
            self.scan,
            self.given_up,
            self.half_read,
            self.nonsense,
            self.too_large,
        ]
        async with self._client() as http:
            while time.monotonic() < end:
                doing = self._chance.choice(doings)
                try:
                    await doing(http)
                except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault
                    self.faults.append(f"{doing.__name__}: {error!r}")
                self.calls[doing.__name__] += 1
                await asyncio.sleep(self._chance.random() * self._pause_seconds)

    def _client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=self._gate.url, trust_env=False, timeout=30)

    def _expect(self, answer: httpx2.Response, *statuses: HTTPStatus) -> None:
        if answer.status_code not in statuses:
            self.faults.append(f"{answer.request.url.path}: {answer.status_code} {answer.text}")

    def _searched(self) -> dict[str, Any]:
        origin, destination = self._chance.sample(CITIES, 2)
        return {
            "origin_city_code": origin,
            "destination_city_code": destination,
            "travel_date": self._chance.choice(self._gate.travel_dates),
            "passengers": ["adult"] * self._chance.randrange(1, 4),
        }

    def _scanned(self) -> dict[str, Any]:
        self._made += 1
        return {
            "qr_token": self._chance.choice(self._gate.tokens),
            "function_code": FUNCTION,
            "terminal_device_id": self._gate.terminal,
            "request_id": f"soak-{self._made}",
        }

    async def search(self, http: httpx2.AsyncClient) -> None:
        """Offers of a day."""
        self._expect(await http.get("/offers", params=self._searched()), HTTPStatus.OK)

    async def look(self, http: httpx2.AsyncClient) -> None:
        """A QR code is looked at."""
        body = {"encrypted_data": self._chance.choice(self._gate.tokens)}
        answer = await http.post("/qr/decrypt", json=body, headers=self._gate.operator)
        self._expect(answer, HTTPStatus.OK)

    async def scan(self, http: httpx2.AsyncClient) -> None:
        """A scan: the first of a ticket is admitted, later ones are refused."""
        answer = await http.post("/venue/scan", json=self._scanned(), headers=self._gate.operator)
        self._expect(answer, HTTPStatus.OK, HTTPStatus.UNPROCESSABLE_ENTITY)

    async def given_up(self, _http: httpx2.AsyncClient) -> None:
        """The connection goes away under a search or a scan."""
        async with self._client() as other:
            if self._chance.random() < 0.5:
                sent = other.get("/offers", params=self._searched())
            else:
                sent = other.post("/venue/scan", json=self._scanned(), headers=self._gate.operator)
            call = asyncio.create_task(sent)
            await asyncio.sleep(self._chance.random() * MAX_PAUSE_SECONDS)
            call.cancel()
            await asyncio.wait({call})

    async def half_read(self, _http: httpx2.AsyncClient) -> None:
        """A stream of all tickets, of which a few are read; the partner's limit may refuse it."""
        async with (
            self._client() as other,
            other.stream(
                "GET",
                STREAM.format(self._gate.batch_id),
                headers=self._gate.partner,
            ) as answer,
        ):
            if answer.status_code not in {HTTPStatus.OK, HTTPStatus.TOO_MANY_REQUESTS}:
                self.faults.append(f"stream: {answer.status_code}")
            async for _ in answer.aiter_lines():
                if self._chance.random() < 0.05:
                    break

    async def nonsense(self, http: httpx2.AsyncClient) -> None:
        """A body that is no JSON, and a caller who does not say who he is."""
        headers = {**self._gate.operator, "content-type": "application/json"}
        answer = await http.post("/venue/scan", content=b'{"qr_token": ', headers=headers)
        self._expect(answer, HTTPStatus.BAD_REQUEST)
        answer = await http.post("/venue/scan", json=self._scanned())
        self._expect(answer, HTTPStatus.UNAUTHORIZED)

    async def too_large(self, _http: httpx2.AsyncClient) -> None:
        """A body that the server does not take: it may close before it has read all of it."""
        async with self._client() as other:
            try:
                answer = await other.post(
                    "/venue/scan", content=bytes(LARGE_BYTES), headers=self._gate.operator
                )
            except (httpx2.WriteError, httpx2.ReadError, httpx2.RemoteProtocolError):
                return
            self._expect(
                answer,
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                HTTPStatus.BAD_REQUEST,
                HTTPStatus.TOO_MANY_REQUESTS,
            )
