"""What we send Ctrip's attractions channel (TTD): prices, quantities, notices. Pure.

Unverified against the vendor, as `ttd_wire.py` says: paths and fields are those of independent
public implementations. One plan price is sent as `salePrice` and as `costPrice`, since a listing
has one. Orders come to our door and are not listed anywhere, so nothing is read here but answers.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Never

import orjson

from server.channels.facts import (
    AvailabilityUpdate,
    BookingsRead,
    BookingState,
    Capability,
    ChannelCallError,
    FailureKind,
    PriceUpdate,
    StaticItem,
)
from server.channels.ttd_wire import CHINA, ResultCode, TtdKeys, read_answer, request
from server.channels.wire import (
    Cancellation,
    Entry,
    VendorWords,
    WireAnswer,
    WireRequest,
    amount,
    failed,
    unreadable,
    write,
)
from server.platform.crypto import fingerprint

BASE_URL = "https://ttdopen.ctrip.com/api"
MOST_DAYS = 90
"""That Ctrip takes quantities of in one call; of prices no number is public."""
PRICES, STOCK, NOTICES = "product/price.do", "product/stock.do", "order/notice.do"
_PUSHED = {
    Capability.PRICES: (PRICES, "DatePriceModify", "prices"),
    Capability.AVAILABILITY: (STOCK, "DateInventoryModify", "inventorys"),
}
_OPTION = "supplierOptionId"
_CREDENTIALS_REFUSED = frozenset({ResultCode.WRONG_SIGNATURE, ResultCode.WRONG_ACCOUNT})


class CtripTtdCodec:
    """The wire for one account; the credentials are `ttd_wire.CREDENTIALS`. Raises ValueError for
    keys of another length.
    """

    capabilities = frozenset({Capability.PRICES, Capability.AVAILABILITY})
    token_wire = None

    def __init__(self, credentials: Mapping[str, str], words: VendorWords) -> None:
        self.keys = TtdKeys.of(credentials)
        self._words = words

    def prove(self, request_: WireRequest, token: str, unix_seconds: int) -> WireRequest:
        """Sealed and signed at this time; the endpoint is the service's name."""
        content = orjson.loads(request_.body)
        content.setdefault("sequenceId", sequence_id(request_.body, unix_seconds))
        body = request(request_.endpoint, orjson.dumps(content), self.keys, unix_seconds)
        return WireRequest(
            request_.method, request_.path, request_.endpoint, request_.is_repeatable, body=body
        )

    def read(self, answer: WireAnswer) -> Any:
        """The content of an answer that says 0000. Raises ChannelCallError."""
        if fault := failed(answer):
            raise fault
        try:
            said = read_answer(answer.content(), self.keys)
        except ValueError as error:
            raise unreadable(str(error)) from None
        if said.code == ResultCode.OK:
            return said.content
        kind = self._words.failure_of(said.code)
        if kind is None and said.code in _CREDENTIALS_REFUSED:
            kind = FailureKind.AUTHENTICATION
        raise ChannelCallError(kind or FailureKind.REFUSED, said.message, vendor_code=said.code)

    def price_entry(self, update: PriceUpdate) -> Entry:
        """One of `prices`, with what it is of, which `push` takes out."""
        price = amount(update.price)
        return {
            _OPTION: update.item_id,
            "date": update.day.isoformat(),
            "salePrice": price,
            "costPrice": price,
        }

    def availability_entry(self, update: AvailabilityUpdate) -> Entry:
        """One of `inventorys`, likewise."""
        day = update.day.isoformat()
        return {_OPTION: update.item_id, "date": day, "quantity": update.quantity}

    def push(self, what: Capability, entries: Sequence[Entry]) -> WireRequest:
        """Sends entries of one item."""
        path, service, name = _PUSHED[what]
        (option,) = {each[_OPTION] for each in entries}
        days = [{key: each[key] for key in each if key != _OPTION} for each in entries]
        content = {_OPTION: option, "dateType": "DATE_REQUIRED", name: days}
        return WireRequest("POST", path, service, is_repeatable=True, body=write(content))

    def static_entry(self, item: StaticItem) -> Entry:
        """Static data are kept in Ctrip's own pages."""
        _none("static data")

    def bookings(self, first: date, last: date, state: BookingState | None) -> WireRequest:
        """Orders come to our door."""
        _none("list of orders")

    def read_bookings(self, content: Any) -> BookingsRead:
        """Likewise."""
        _none("list of orders")

    def confirm(self, booking_id: str, number: str) -> WireRequest:
        """The answer at our door confirms."""
        _none("confirmation of a booking")

    def cancel(self, booking_id: str, why: Cancellation, number: str) -> WireRequest:
        """Nothing is known of cancelling from our side."""
        _none("cancellation by the supplier")


def notice(service: str, content: Mapping[str, Any], asked_by: str = "") -> WireRequest:
    """A notice about an order: its sequenceId is made of what it says and of the call that asked
    for it, if one did; the same at each repeat.
    """
    said = {"sequenceId": sequence_id(write(content) + asked_by.encode(), 0), **content}
    return WireRequest("POST", NOTICES, service, is_repeatable=True, body=write(said))


def sequence_id(body: bytes, unix_seconds: int) -> str:
    """A day and 32 digits, as the protocol's examples have it."""
    day = datetime.fromtimestamp(unix_seconds, UTC).astimezone(CHINA).date()
    said = fingerprint(body + str(unix_seconds).encode(), size_bytes=16)
    return f"{day.isoformat()}{said.hex()}"


def _none(what: str) -> Never:
    raise ChannelCallError(FailureKind.REFUSED, f"the protocol has no {what}: Ctrip calls us")
