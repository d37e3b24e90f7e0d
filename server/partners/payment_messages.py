"""What a partner's payment webhook says, read from its JSON: names and codes as the contract has
them read in an activation by RPC. Pure.

Amounts are integers in minor units.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from server.platform.texts import read_name, read_ticket_code

SUCCEEDED = "payment.succeeded"
MAX_TICKETS = 1000
MAX_TEXT = 64
MAX_NAME = 100
MAX_AMOUNT = 1 << 53
CUSTOMER_TYPES = ("ADULT", "CHILD", "SENIOR", "STUDENT", "PET")


class UnreadableError(Exception):
    """A message that does not say what it should; the text names the field and what to send."""


class PaidTicket(NamedTuple):
    """A ticket and what was paid for it."""

    ticket_code: str
    amount_minor: int


class PartnerPayment(NamedTuple):
    """A payment: of `tickets`, or, if there are none, of all tickets of a batch together."""

    payment_reference: str
    amount_minor: int
    currency_code: str
    customer_type: str
    customer_name: str
    tickets: Sequence[PaidTicket]
    batch_id: str

    def of_tickets(self, ticket_codes: Sequence[str]) -> "PartnerPayment":
        """The same payment for these tickets, each an equal part of it. Raises UnreadableError."""
        if not ticket_codes or self.amount_minor % len(ticket_codes):
            raise UnreadableError(
                f"data.amount_minor: is no multiple of the {len(ticket_codes)} tickets; say what"
                " was paid for each in data.tickets"
            )
        each = self.amount_minor // len(ticket_codes)
        return self._replace(tickets=[PaidTicket(code, each) for code in ticket_codes])


def parse(body: bytes) -> PartnerPayment:
    """What a message says. Raises UnreadableError."""
    try:
        message = json.loads(body)
        json.dumps(message, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError):
        raise UnreadableError("body: is not JSON") from None
    if not isinstance(message, dict) or message.get("type") != SUCCEEDED:
        raise UnreadableError(f"type: must be {SUCCEEDED}")
    data = _object(message, "data", "data")
    customer = _object(data, "customer", "data.customer")
    customer_type = str(customer.get("type", "")).upper() or "ADULT"
    if customer_type not in CUSTOMER_TYPES:
        raise UnreadableError(f"data.customer.type: must be one of {', '.join(CUSTOMER_TYPES)}")
    payment = PartnerPayment(
        payment_reference=_text(data, "payment_reference", MAX_TEXT),
        amount_minor=_amount(data, "data.amount_minor"),
        currency_code=_text(data, "currency_code", 3),
        customer_type=customer_type,
        customer_name=_name(customer),
        tickets=_tickets(data),
        batch_id="",
    )
    return _whole(payment, data)


def _whole(payment: PartnerPayment, data: Mapping[str, Any]) -> PartnerPayment:
    given = [name for name in ("tickets", "ticket_codes", "batch_id") if data.get(name)]
    if len(given) != 1:
        raise UnreadableError("data: needs one of ticket_codes, tickets and batch_id")
    if given == ["batch_id"]:
        return payment._replace(batch_id=_text(data, "batch_id", MAX_TEXT))
    if given == ["ticket_codes"]:
        codes = data["ticket_codes"]
        if not isinstance(codes, list) or len(codes) > MAX_TICKETS:
            raise UnreadableError(f"data.ticket_codes: must be a list of up to {MAX_TICKETS}")
        if not all(isinstance(code, str) and len(code) <= MAX_TEXT for code in codes):
            raise UnreadableError("data.ticket_codes: must be codes of tickets")
        return payment.of_tickets([read_ticket_code(code) for code in codes])
    if sum(each.amount_minor for each in payment.tickets) != payment.amount_minor:
        raise UnreadableError("data.tickets: their amounts must be data.amount_minor together")
    return payment


def _tickets(data: Mapping[str, Any]) -> list[PaidTicket]:
    found = data.get("tickets") or []
    if not isinstance(found, list) or len(found) > MAX_TICKETS:
        raise UnreadableError(f"data.tickets: must be a list of up to {MAX_TICKETS}")
    tickets = []
    for index, each in enumerate(found):
        where = f"data.tickets[{index}]"
        if not isinstance(each, dict):
            raise UnreadableError(f"{where}: must be an object")
        code = _text(each, "ticket_code", MAX_TEXT, f"{where}.ticket_code")
        amount_minor = _amount(each, f"{where}.amount_minor")
        tickets.append(PaidTicket(read_ticket_code(code), amount_minor))
    return tickets


def _object(owner: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    found = owner.get(name)
    if not isinstance(found, dict):
        raise UnreadableError(f"{where}: must be an object")
    return found


def _text(owner: Mapping[str, Any], name: str, longest: int, where: str = "") -> str:
    found = owner.get(name)
    where = where or f"data.{name}"
    if not isinstance(found, str) or not found.strip() or len(found) > longest:
        raise UnreadableError(f"{where}: must be a text of 1 to {longest} characters")
    if any(character < " " for character in found):
        raise UnreadableError(f"{where}: must not have control characters")
    return found.strip()


def _name(customer: Mapping[str, Any]) -> str:
    """As the contract has a name: as people read it."""
    where = "data.customer.name"
    try:
        name = read_name(_text(customer, "name", MAX_NAME, where))
    except ValueError as error:
        raise UnreadableError(f"{where}: {error}") from None
    if len(name) > MAX_NAME:
        raise UnreadableError(f"{where}: must be a text of 1 to {MAX_NAME} characters")
    return name


def _amount(owner: Mapping[str, Any], where: str) -> int:
    found = owner.get("amount_minor")
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= MAX_AMOUNT:
        raise UnreadableError(f"{where}: must be a whole number of minor units")
    return found
