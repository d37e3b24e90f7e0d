"""The methods of AdminService that find and show orders and tickets of all channels."""

from datetime import datetime

from deeptravel.admin.v1 import order_pb2
from sqlalchemy.ext.asyncio import AsyncConnection

from server.api import calls, convert
from server.api.admin import order_messages as messages
from server.api.admin.table import AdminMethods
from server.api.calls import Context
from server.api.paging import Page, paged
from server.audit.trail import AuditedChange, audit
from server.identity.accounts import ADMINISTRATOR, SUPPORT
from server.identity.callers import Admin
from server.orders import documents, order_search, search_terms, ticket_search
from server.orders.order_search import OrderQuery
from server.orders.passengers import PassengerSeals
from server.platform import clock
from server.platform.errors import DomainError, Reason, invalid
from server.platform.phones import read_phone_number
from server.platform.statements import run
from server.reports import order_history

TICKETS_SHOWN = 200
"""Of an order; a search has them all."""


class OrderMethods(AdminMethods):
    """A part of AdminServicer; the contract documents each method."""

    _seals: PassengerSeals

    @paged
    async def SearchOrders(
        self, request: order_pb2.SearchOrdersRequest, page: Page[Admin, tuple[datetime, int]]
    ) -> order_pb2.SearchOrdersResponse:
        wanted = _wanted(request.search, page.caller)
        async with self._db.report(page.caller.key) as tx:
            found, page.next_after = await order_search.search(
                tx, self._seals, wanted, before=page.after, limit=page.size
            )
            await self._note_search(tx, page.caller, "order", wanted, len(found))
        shows = _shows_persons(page.caller)
        return order_pb2.SearchOrdersResponse(
            orders=[messages.overview(each, self._seals, persons=shows) for each in found]
        )

    @paged
    async def SearchTickets(
        self, request: order_pb2.SearchTicketsRequest, page: Page[Admin, ticket_search.Cursor]
    ) -> order_pb2.SearchTicketsResponse:
        wanted = _wanted(request.search, page.caller)
        async with self._db.report(page.caller.key) as tx:
            found, page.next_after = await ticket_search.search(
                tx, self._seals, wanted, after=page.after, limit=page.size
            )
            await self._note_search(tx, page.caller, "ticket", wanted, len(found))
        shows = _shows_persons(page.caller)
        return order_pb2.SearchTicketsResponse(
            tickets=[messages.ticket(each, persons=shows) for each in found]
        )

    async def GetOrder(
        self,
        request: order_pb2.GetOrderRequest,
        context: Context[order_pb2.GetOrderRequest, order_pb2.GetOrderResponse],
    ) -> order_pb2.GetOrderResponse:
        admin = calls.caller(Admin)
        async with self._db.transaction() as tx:
            found = await order_search.get(tx, request.order_code)
            tickets = await ticket_search.of_order(tx, found.order_id, limit=TICKETS_SHOWN)
            ids = [each.ticket_id for each in tickets]
            history = await order_history.of_order(tx, found.order_id, ids)
            await _note_read(tx, admin, "order", request.order_code)
        shows = _shows_persons(admin)
        return messages.whole_order(found, tickets, history, self._seals, persons=shows)

    async def GetTicket(
        self,
        request: order_pb2.GetTicketRequest,
        context: Context[order_pb2.GetTicketRequest, order_pb2.GetTicketResponse],
    ) -> order_pb2.GetTicketResponse:
        admin = calls.caller(Admin)
        async with self._db.transaction() as tx:
            found = await ticket_search.get(tx, request.ticket_code)
            history = await order_history.of_ticket(tx, found.ticket_id)
            uses = await run(tx, order_history.uses(found.ticket_id))
            changed = await order_history.changed(tx, found.ticket_id)
            await _note_read(tx, admin, "ticket", request.ticket_code)
        shows = _shows_persons(admin)
        return messages.whole_ticket(found, uses, changed, history, persons=shows)

    async def _note_search(
        self, tx: AsyncConnection, admin: Admin, resource: str, wanted: OrderQuery, found: int
    ) -> None:
        """Audits a search: of what was searched for its kind and a keyed hash alone, by which two
        searches for the same are known.
        """
        looked = {
            "searched_by": [*(["code"] if wanted.code else []), *wanted.kinds],
            "fingerprint": self._seals.fingerprint(wanted.text),
            "found": found,
        }
        change = AuditedChange(admin.key, "search", resource, "", None, looked)
        await run(tx, audit(change, now=clock.now()))


async def _note_read(tx: AsyncConnection, admin: Admin, resource: str, name: str) -> None:
    change = AuditedChange(admin.key, "read", resource, name, None, None)
    await run(tx, audit(change, now=clock.now()))


def _shows_persons(admin: Admin) -> bool:
    return not admin.admin_roles.isdisjoint({ADMINISTRATOR, SUPPORT})


def _wanted(search: order_pb2.OrderSearch, admin: Admin) -> OrderQuery:
    """What is searched for, as it is compared. Raises INVALID_FIELD and, for whoever may see no
    personal data, ROLE_NOT_ALLOWED.
    """
    wanted = OrderQuery(
        code=search.code,
        name=search.name.strip(),
        document_number=_document(search.document_number),
        contact_phone=_phone(search.contact_phone),
        time_from=convert.moment(search, "time_from"),
        time_until=convert.moment(search, "time_until"),
    )
    if wanted.name and (fault := search_terms.name_fault(wanted.name)):
        raise invalid("search.name", fault)
    if wanted.kinds and not _shows_persons(admin):
        raise DomainError(
            Reason.ROLE_NOT_ALLOWED,
            "who may see no personal data searches by code and time alone",
            role=",".join(sorted(admin.admin_roles)),
            allowed=f"{ADMINISTRATOR},{SUPPORT}",
        )
    return wanted


def _document(text: str) -> str:
    number = documents.document_number(text)
    if text and len(number) < search_terms.LAST_CHARACTERS:
        raise invalid("search.document_number", "is too short; send it whole, or its last four")
    return number


def _phone(text: str) -> str:
    digits = documents.document_number(text)
    if not text or (len(digits) == search_terms.LAST_CHARACTERS and digits.isdecimal()):
        return digits
    try:
        return read_phone_number(text)
    except ValueError as error:
        raise invalid("search.contact_phone", f"{error}; or its last four digits") from None
