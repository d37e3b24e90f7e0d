"""OCTO 1.0, the open protocol of tours, activities and attractions, below /octo: what a reseller's
system calls with a partner's key.

Requests become calls of the use cases of partners, in the words of `bodies`, and their outcome
becomes JSON again. Rights, limits, shares of the work, log and metrics are those of every call.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote

import orjson
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from server.api import calls
from server.api.http import protojson
from server.api.http.answers import ANSWER_HEADERS, ClientGone
from server.api.http.application import (
    RefusedRequest,
    address_of,
    read_body,
    request_id_of,
    wrong_verb,
)
from server.api.interceptor import Interceptor
from server.api.methods import Method, of_partners
from server.api.octo import availability, bodies, booking_messages, products
from server.api.octo.bodies import Fields
from server.api.octo.errors import bad_request, octo_error
from server.api.repeats import ChangingCall, begin
from server.catalog.catalogue import Catalogue, Catalogues
from server.identity.callers import Partner
from server.partners import sellable
from server.partners.booking_rows import PartnerBooking
from server.partners.booking_rules import SOLD
from server.partners.bookings import Booker
from server.platform.crypto import digest
from server.platform.database import Database
from server.platform.errors import DomainError, Reason, invalid, not_found
from server.platform.proxies import Proxies
from server.tickets.issuing import Issuer

PATH = "/octo"
MAX_BODY_BYTES = 256 * 1024
WITHOUT_KEY = "no API key that is live; send one as `Authorization: Bearer KEY`"
"""Alike for one that is missing, unknown or revoked."""
BEARER = re.compile(r"bearer +(\S+)", re.IGNORECASE)
T = TypeVar("T")
log = structlog.get_logger()


class OctoDomain(NamedTuple):
    """What the protocol works with."""

    db: Database
    booker: Booker
    catalogues: Catalogues
    issuer: Issuer


@dataclass(frozen=True, slots=True)
class Ask:
    """A request: the id in its path, its body or query, and the capabilities it is made with."""

    name: str
    body: bytes
    query: Mapping[str, str]
    active: frozenset[str]
    endpoint: str

    def fields(self) -> Fields:
        """The body; none is an empty one. Raises INVALID_FIELD."""
        return Fields(self._content())

    def content_hash(self) -> bytes:
        """What tells this body from another one, however it is written. Raises INVALID_FIELD."""
        try:  # not by orjson: what has no place in OCTO may hold numbers and texts of any kind
            return digest(json.dumps(self._content(), sort_keys=True).encode())
        except RecursionError:
            raise invalid("body", "is nested too deeply") from None

    def require_currency(self, sold_in: str) -> None:
        """Raises INVALID_FIELD where prices are asked for in another currency."""
        if products.PRICING in self.active:
            bodies.require_currency(self.fields(), sold_in)

    def _content(self) -> Any:
        try:
            return protojson.loads(self.body or b"{}")
        except protojson.MalformedJsonError as error:
            raise invalid("body", str(error)) from None


Handler = Callable[["Octo", Ask], Awaitable[Any]]


class Octo:
    """The ASGI application."""

    def __init__(self, interceptor: Interceptor, domain: OctoDomain, proxies: Proxies) -> None:
        self._interceptor = interceptor
        self._db, self._booker, self._catalogues, self._issuer = domain
        self._proxies = proxies

    def before(self, gateway: ASGIApp) -> ASGIApp:
        """An application that serves what is below /octo itself, and leaves the rest to another."""

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            is_ours = f"{scope['path']}/".startswith(f"{PATH}/")
            await (self if is_ours else gateway)(scope, receive, send)

        return application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, by the ASGI protocol."""
        request = Request(scope, receive)
        request_id = request_id_of(request.headers)
        active = _active(request)
        headers = {"x-request-id": request_id, "octo-capabilities": ", ".join(sorted(active))}
        ask_id, content = "", None
        try:
            route, ask_id = _route(request.method, scope["raw_path"].decode("latin-1"))
            content = await self._serve(request, route, ask_id, active, request_id)
            http_status = 200
        except ClientGone:
            http_status = 499
        except RefusedRequest as refusal:
            http_status, content = refusal.http_status, bad_request(refusal.error)
            headers |= refusal.headers
        except Exception as refused:  # noqa: BLE001 - every fault is answered here
            if isinstance(refused, DomainError) and refused.reason is Reason.UNAUTHENTICATED:
                refused = DomainError(Reason.UNAUTHENTICATED, WITHOUT_KEY)
            if not isinstance(refused, DomainError):
                words = f"a fault of the server, logged as request {request_id}"
                refused = DomainError(Reason.INTERNAL, words)
            http_status, content = octo_error(refused, ask_id)
            if refused.retry_seconds is not None:
                headers["retry-after"] = str(max(1, round(refused.retry_seconds)))
        body = orjson.dumps(content)
        made = Response(body, http_status, ANSWER_HEADERS | headers, "application/json")
        await made(scope, receive, send)

    async def _serve(
        self, request: Request, route: "_Route", name: str, active: frozenset[str], request_id: str
    ) -> Any:
        body = await read_body(request, MAX_BODY_BYTES)
        base = str(request.base_url).rstrip("/")
        ask = Ask(name, body, dict(request.query_params), active, f"{base}{PATH}")
        metadata: dict[str, str | bytes] = {"x-request-id": request_id}
        if found := BEARER.fullmatch(request.headers.get("authorization", "").strip()):
            metadata["x-api-key"] = found[1]
        return await self._interceptor.serve(
            route.method,
            metadata,
            address_of(request, self._proxies),
            lambda: route.handler(self, ask),
        )

    async def supplier(self, ask: Ask) -> Any:  # noqa: D102 - named as what they answer
        return products.supplier(ask.endpoint)

    async def capabilities(self, ask: Ask) -> Any:  # noqa: D102
        del ask
        return products.capabilities()

    async def products(self, ask: Ask) -> Any:  # noqa: D102
        catalogue = await self._catalogues.get()
        async with self._db.transaction() as tx:
            found = await sellable.products(tx, catalogue, _partner().partner_id)
        return [products.product(each, ask.active) for each in found]

    async def product(self, ask: Ask) -> Any:  # noqa: D102
        catalogue = await self._catalogues.get()
        async with self._db.transaction() as tx:
            found = await sellable.product(tx, catalogue, _partner().partner_id, ask.name)
        return products.product(found, ask.active)

    async def availability(self, ask: Ask) -> Any:  # noqa: D102
        asked = bodies.asked(ask.fields(), by_id=True)
        option, found = await self._slots(ask, asked)
        for each in bodies.repeated(asked.party):
            if each not in option.customer_types:
                raise not_found("unit", each)
        now = _partner().now()
        return [availability.availability(each, asked.party, ask.active, now) for each in found]

    async def calendar(self, ask: Ask) -> Any:  # noqa: D102
        asked = bodies.asked(ask.fields(), by_id=False)
        option, found = await self._slots(ask, asked)
        assert asked.days is not None, "there is no other way to ask"
        return availability.calendar(
            option, found, *asked.days, active=ask.active, now=_partner().now()
        )

    async def _slots(
        self, ask: Ask, asked: bodies.AskedAvailability
    ) -> tuple[sellable.SaleOption, list[sellable.Slot]]:
        catalogue, partner_id = await self._catalogues.get(), _partner().partner_id
        async with self._db.transaction() as tx:
            sold = await sellable.product(tx, catalogue, partner_id, asked.product_id)
            option = sold.option(asked.option_id)
            ask.require_currency(sold.product.currency_code)
            of = tx, catalogue, partner_id, option
            if asked.days:
                first, last = asked.days
                return option, await sellable.slots(*of, first=first, last=last)
            return option, await sellable.slots_by_id(*of, asked.slot_ids or [])

    async def reserve(self, ask: Ask) -> Any:  # noqa: D102
        wanted = bodies.wanted(ask.fields(), ask.content_hash())
        if calls.current().expires_now:
            wanted = replace(wanted, hold_seconds=1)

        async def work(call: ChangingCall[Partner], catalogue: Catalogue) -> PartnerBooking:
            held = await self._booker.hold(
                call.tx, call.caller, wanted, catalogue=catalogue, now=call.now
            )
            ask.require_currency(held.content.currency_code)
            return held

        return await self._changed(ask, work)

    async def confirm(self, ask: Ask) -> Any:  # noqa: D102
        booking_id = bodies.booking_uuid(ask.name)
        changes = bodies.changes(ask.fields(), words_alone=True)

        async def work(call: ChangingCall[Partner], catalogue: Catalogue) -> PartnerBooking:
            return await self._booker.confirm(
                *(call.tx, call.caller, booking_id, changes),
                content_hash=ask.content_hash(),
                catalogue=catalogue,
                now=call.now,
            )

        return await self._changed(ask, work)

    async def update(self, ask: Ask) -> Any:  # noqa: D102
        booking_id, changes = bodies.booking_uuid(ask.name), bodies.changes(ask.fields())

        async def work(call: ChangingCall[Partner], catalogue: Catalogue) -> PartnerBooking:
            return await self._booker.update(
                *(call.tx, call.caller, booking_id, changes), catalogue=catalogue, now=call.now
            )

        return await self._changed(ask, work)

    async def extend(self, ask: Ask) -> Any:  # noqa: D102
        booking_id = bodies.booking_uuid(ask.name)
        seconds = bodies.expiration_seconds(ask.fields())

        async def work(call: ChangingCall[Partner], _: Catalogue) -> PartnerBooking:
            return await self._booker.extend(
                *(call.tx, call.caller, booking_id),
                hold_seconds=seconds,
                now=call.now,
                expires_now=calls.current().expires_now,
            )

        return await self._changed(ask, work)

    async def cancel(self, ask: Ask) -> Any:  # noqa: D102
        booking_id = bodies.booking_uuid(ask.name)
        reason = ask.fields().text("reason", bodies.LONG) or ""

        async def work(call: ChangingCall[Partner], _: Catalogue) -> PartnerBooking:
            return await self._booker.cancel(call.tx, call.caller, booking_id, reason, now=call.now)

        return await self._changed(ask, work)

    async def booking(self, ask: Ask) -> Any:  # noqa: D102
        booking_id, partner = bodies.booking_uuid(ask.name), _partner()
        async with self._db.transaction() as tx:
            found = await self._booker.get(tx, partner, booking_id, now=partner.now())
        return (await self._shown([found], ask.active))[0]

    async def bookings(self, ask: Ask) -> Any:  # noqa: D102
        wanted, partner = bodies.booking_filter(ask.query), _partner()
        async with self._db.transaction() as tx:
            found = await self._booker.list_all(tx, partner, wanted, now=partner.now())
        return await self._shown(found, ask.active)

    async def _changed(
        self,
        ask: Ask,
        work: Callable[[ChangingCall[Partner], Catalogue], Awaitable[PartnerBooking]],
    ) -> Any:
        """What a transaction made of a booking; what its answer needs is there before it begins."""
        catalogue = await self._catalogues.get()

        async def attempt(tx: AsyncConnection) -> PartnerBooking:
            return await work(await begin(tx), catalogue)

        changed = await self._db.in_transaction(attempt)
        return (await self._shown([changed], ask.active))[0]

    async def _shown(self, found: list[PartnerBooking], active: frozenset[str]) -> list[Any]:
        """Bookings with the QR texts of what is sold."""
        claims = [
            claim for each in found if each.status in SOLD for claim in each.qr_claims() if claim
        ]
        issued = await self._issuer.issue(claims)
        tokens = dict(zip([claim.number for claim in claims], issued, strict=True))
        return [
            booking_messages.booking(
                each,
                [tokens.get(ticket.ticket_id, "") for ticket in each.tickets],
                active,
                is_test=_partner().is_test,
            )
            for each in found
        ]


class _Route(NamedTuple):
    method: Method
    handler: Handler


def _one(name: str, handler: Handler) -> _Route:
    return _Route(of_partners("Octo", name), handler)


_ID = r"([^/]+)"
ROUTES: dict[str, dict[str, _Route]] = {
    "/supplier": {"GET": _one("GetSupplier", Octo.supplier)},
    "/capabilities": {"GET": _one("ListCapabilities", Octo.capabilities)},
    "/products": {"GET": _one("ListProducts", Octo.products)},
    f"/products/{_ID}": {"GET": _one("GetProduct", Octo.product)},
    "/availability": {"POST": _one("CheckAvailability", Octo.availability)},
    "/availability/calendar": {"POST": _one("CheckCalendar", Octo.calendar)},
    "/bookings": {
        "POST": _one("ReserveBooking", Octo.reserve),
        "GET": _one("ListBookings", Octo.bookings),
    },
    f"/bookings/{_ID}": {
        "GET": _one("GetBooking", Octo.booking),
        "PATCH": _one("UpdateBooking", Octo.update),
        "DELETE": _one("CancelBooking", Octo.cancel),
    },
    f"/bookings/{_ID}/confirm": {"POST": _one("ConfirmBooking", Octo.confirm)},
    f"/bookings/{_ID}/extend": {"POST": _one("ExtendBooking", Octo.extend)},
    f"/bookings/{_ID}/cancel": {
        "POST": _one("CancelBooking", Octo.cancel),
        "DELETE": _one("CancelBooking", Octo.cancel),
    },
}
_PATTERNS = {re.compile(path): routes for path, routes in ROUTES.items()}


def _route(verb: str, raw_path: str) -> tuple[_Route, str]:
    """What serves a request, and the id in its path, which may hold whatever is percent-encoded.
    Raises NOT_FOUND, RefusedRequest.
    """
    path = raw_path.removeprefix(PATH).rstrip("/")
    for pattern, routes in _PATTERNS.items():
        if found := pattern.fullmatch(path):
            if verb not in routes:
                raise wrong_verb(verb, ", ".join(sorted(routes)))
            return routes[verb], unquote(found[1]) if found.groups() else ""
    raise not_found("path", bodies.shown(unquote(path)))


def _active(request: Request) -> frozenset[str]:
    """The capabilities that are asked for and that there are."""
    said = ",".join(request.headers.getlist("octo-capabilities"))
    return frozenset(each.strip() for each in said.split(",")) & frozenset(products.CAPABILITIES)


def _partner() -> Partner:
    return calls.caller(Partner)
