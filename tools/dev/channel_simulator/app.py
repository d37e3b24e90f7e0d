"""The simulator's HTTP server: the vendors' paths, and `/simulator/…` for the person or test that
drives it.
"""

import asyncio
import json
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any, Self

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tools.dev.channel_simulator.books import WORDS, Books
from tools.dev.channel_simulator.switches import VENDORS, Switches
from tools.dev.channel_simulator.ttd import CtripTtd
from tools.dev.channel_simulator.vendors import (
    KINDS,
    Call,
    Handle,
    RefusedError,
    SimulatedVendor,
    new_keys,
)

MINUTE = 60.0
KEYS_FILE = "keys.json"


class _BrokenAnswer(Response):
    """The connection breaks before the answer is there, or within it."""

    def __init__(self, beginning: bytes) -> None:
        super().__init__()
        self._beginning = beginning

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"100000"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self._beginning, "more_body": True})


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class ChannelSimulator:
    """The vendors on one loopback port.

    Args:
        folder: keys and books; what is there is taken up again.
        switches: what goes wrong from the start; may be changed at any time.

    Attributes:
        url: where it is, once it is started.
        ttd: Ctrip's attractions channel, which calls us, and is called.
    """

    url: str

    def __init__(self, folder: Path, switches: Switches | None = None) -> None:
        self.switches = switches or Switches()
        self.books = Books(folder)
        keys = _keys(folder)
        self.vendors: dict[str, SimulatedVendor] = {
            kind.name: kind(self.books, self.switches, self._now, keys[kind.name]) for kind in KINDS
        }
        self.ttd = CtripTtd(folder)
        self._folder = folder
        self._serving: asyncio.Task[None]

    async def start(self, port: int = 0) -> Self:
        """Serves on 127.0.0.1; port 0 takes a free one. Raises OSError for a port that is taken."""
        listener = socket.create_server(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            self._application(),
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            date_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        return self

    async def stop(self) -> None:
        """Ends it; what it knows stays in the folder."""
        self._server.should_exit = True
        await self._serving
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # transports close in a turn of their own
        self.books.close()

    def switch(self, **values: Any) -> None:
        """Sets switches. Raises ValidationError for one there is not, or a value it cannot have."""
        fresh = Switches(**{**self.switches.model_dump(), **values})
        for name in values:
            setattr(self.switches, name, getattr(fresh, name))

    def rotate(self, vendor: str) -> dict[str, str]:
        """New secrets; what was signed with the old ones, and tokens had for them, is refused."""
        fresh = new_keys(vendor)
        keys = self.vendors[vendor].keys
        keys.update({name: fresh[name] for name in keys if name.endswith("secret")})
        self.books.revoke_tokens(vendor)
        _save(self._folder, {name: each.keys for name, each in self.vendors.items()})
        return keys

    def announced(self) -> dict[str, Any]:
        """Where each vendor is, who we are to it, and its words for the states of a booking."""
        return {
            name: {
                "base_url": self.url + vendor.base,
                "credentials": vendor.keys,
                "statuses": WORDS[name],
            }
            for name, vendor in self.vendors.items()
        }

    def _now(self) -> float:
        return time.time() + self.switches.clock_ahead_seconds

    def _application(self) -> Starlette:
        routes = [
            Route(
                vendor.base + path,
                self._serve(vendor, operation, handle),
                methods=[method],
            )
            for vendor in self.vendors.values()
            for method, path, operation, handle in vendor.routes()
        ]
        return Starlette(
            routes=[
                *routes,
                *self.ttd.routes(),
                Route("/simulator", self._show, methods=["GET"]),
                Route("/simulator/switches", self._switches, methods=["GET", "PUT"]),
                Route("/simulator/{vendor}/{what}", self._see, methods=["GET"]),
                Route("/simulator/{vendor}/bookings", self._book, methods=["POST"]),
                Route("/simulator/{vendor}/bookings/{id}", self._change, methods=["PUT"]),
                Route("/simulator/{vendor}/rotate", self._rotate, methods=["POST"]),
                Route("/simulator/{vendor}/revoke-tokens", self._revoke, methods=["POST"]),
            ]
        )

    def _serve(
        self, vendor: SimulatedVendor, operation: str, handle: Handle
    ) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            call = Call(
                method=request.method,
                path=request.url.path.removeprefix(vendor.base),
                query=dict(request.query_params),
                headers=dict(request.headers),
                body=await request.body(),
                booking_id=request.path_params.get("id", ""),
            )
            response = self._answer(vendor, operation, handle, call)
            await asyncio.sleep(self.switches.delay(vendor.name, operation))
            response.headers["date"] = formatdate(self._now(), usegmt=True)
            return response

        return serve

    def _answer(
        self, vendor: SimulatedVendor, operation: str, handle: Handle, call: Call
    ) -> Response:
        switches, name = self.switches, vendor.name
        per_minute = switches.calls_per_minute
        is_over = per_minute and self.books.recent(name, time.time() - MINUTE) >= per_minute
        if is_over or switches.spend(switches.limited, name, operation):
            self.books.note(name, operation, 429, "")
            headers = {"retry-after": str(switches.retry_after_seconds)}
            return JSONResponse({"error": "too many requests"}, 429, headers)
        if switches.spend(switches.down, name, operation):
            self.books.note(name, operation, 503, "")
            return Response("Service Unavailable", 503)
        fault = ""
        try:
            vendor.admit(call, operation)
            if switches.spend(switches.refused, name, operation):
                raise RefusedError(422, "refused by a switch", switches.refused_code)
            status, content = vendor.answer(handle(call))
        except RefusedError as error:
            fault = str(error)
            status, content = vendor.refusal(error)
        self.books.note(name, operation, status, fault)
        return self._sent(name, operation, JSONResponse(content, status))

    def _sent(self, vendor: str, operation: str, response: Response) -> Response:
        """The answer, or what becomes of it on its way."""
        switches = self.switches
        if switches.spend(switches.lost_answers, vendor, operation):
            return _BrokenAnswer(b"")
        if switches.spend(switches.cut_answers, vendor, operation):
            return _BrokenAnswer(bytes(response.body)[: len(response.body) // 2])
        if switches.spend(switches.failed_answers, vendor, operation):
            return Response("Internal Server Error", 500)
        if switches.spend(switches.garbled_answers, vendor, operation):
            return Response("<html>welcome</html>", 200)
        return response

    async def _show(self, _request: Request) -> Response:
        return JSONResponse(self.announced())

    async def _switches(self, request: Request) -> Response:
        if request.method == "PUT":
            try:
                self.switch(**json.loads(await request.body()))
            except (ValidationError, ValueError, TypeError) as error:
                return JSONResponse({"message": str(error)}, 400)
        return JSONResponse(
            {"switches": self.switches.model_dump(), "descriptions": self.switches.described()}
        )

    async def _see(self, request: Request) -> Response:
        vendor, what = request.path_params["vendor"], request.path_params["what"]
        if vendor not in VENDORS:
            return JSONResponse({"message": f"no vendor {vendor}"}, 404)
        if what == "bookings":
            return JSONResponse(self.books.all_bookings(vendor))
        if what == "requests":
            return JSONResponse(self.books.requests(vendor))
        return JSONResponse([each.content for each in self.books.pushed(vendor, what)])

    async def _book(self, request: Request) -> Response:
        content = json.loads(await request.body())
        self.books.book(request.path_params["vendor"], content, self._now())
        return JSONResponse(content)

    async def _change(self, request: Request) -> Response:
        content = json.loads(await request.body())
        self.books.change(request.path_params["vendor"], request.path_params["id"], content)
        return JSONResponse({})

    async def _rotate(self, request: Request) -> Response:
        return JSONResponse(self.rotate(request.path_params["vendor"]))

    async def _revoke(self, request: Request) -> Response:
        self.books.revoke_tokens(request.path_params["vendor"])
        return JSONResponse({})


def _keys(folder: Path) -> dict[str, dict[str, str]]:
    path = folder / KEYS_FILE
    if path.exists():
        found: dict[str, dict[str, str]] = json.loads(path.read_text())
        return found
    keys = {kind.name: new_keys(kind.name) for kind in KINDS}
    _save(folder, keys)
    return keys


def _save(folder: Path, keys: dict[str, dict[str, str]]) -> None:
    fresh = folder / f"{KEYS_FILE}.new"
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(keys, file)
    fresh.replace(folder / KEYS_FILE)
