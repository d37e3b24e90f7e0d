"""What is in the bodies of Ctrip's calls by its protocol for attractions. Pure.

Unverified against the vendor, as `ttd_wire.py` says. Fields that nobody needs here are not read;
what is read and missing or wrong is refused with the field's name.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from server.channels.ttd_wire import ResultCode, TtdRefusal
from server.stock.ids import EPOCH, LAST_DAY

MOST_ITEMS = 10
MOST_PLACES = 50
"""Of all items of an order together."""
USE_DATES = ("originUseStartDate", "targetUseStartDate", "originUseEndDate", "targetUseEndDate")
LONGEST_ID = 64
LONGEST_NAME = 100


class TtdItem(NamedTuple):
    """Something that is ordered: so many of a PLU on a day, at a price each; the names and ids of
    who goes, as far as they are said.
    """

    plu: str
    day: date
    quantity: int
    price: Decimal | None
    currency_code: str
    names: tuple[str, ...] = ()
    passenger_ids: tuple[str, ...] = ()
    item_id: str = ""


class TtdOrder(NamedTuple):
    """An order of Ctrip's, or one that is to be verified, which has no id."""

    sequence_id: str
    ota_order_id: str
    items: tuple[TtdItem, ...]
    phone: str = ""
    email: str = ""


class TtdPayment(NamedTuple):
    """An order that Ctrip's customer has paid: by PLU the id that Ctrip has for the item."""

    sequence_id: str
    ota_order_id: str
    item_ids: tuple[tuple[str, str], ...]


class CancelledItem(NamedTuple):
    """What of an item is cancelled: all of it (0), so many (1), or these passengers' (2)."""

    item_id: str
    plu: str
    cancel_type: int
    quantity: int
    passenger_ids: tuple[str, ...]


class TtdCancellation(NamedTuple):
    """What of an order is cancelled."""

    sequence_id: str
    ota_order_id: str
    items: tuple[CancelledItem, ...]


class EditedItem(NamedTuple):
    """An item that is to be used from another day on: from which one, and which."""

    item_id: str
    plu: str
    origin: date
    target: date


class TtdEdit(NamedTuple):
    """Other days of use for items of an order."""

    sequence_id: str
    ota_order_id: str
    items: tuple[EditedItem, ...]


def order_of(content: Mapping[str, Any], *, is_verified: bool = False) -> TtdOrder:
    """The order in VerifyOrder, CreatePreOrder or CreateOrder. Raises TtdRefusal."""
    fields = _Fields(content)
    items = tuple(_item(each) for each in fields.rows("items", MOST_ITEMS))
    if len({(each.plu, each.day) for each in items}) != len(items):
        raise TtdRefusal(ResultCode.WRONG, "items: the same PLU and date stand there twice")
    if sum(each.quantity for each in items) > MOST_PLACES:
        raise TtdRefusal(ResultCode.RESTRICTED, f"an order has {MOST_PLACES} places at the most")
    contact = next(iter(fields.rows("contacts", MOST_PLACES, needed=False)), _Fields({}))
    phone = contact.text("mobile", needed=False)
    if phone and not phone.startswith("+"):
        phone = f"+{contact.text('intlCode', needed=False).lstrip('+') or '86'}{phone}"
    return TtdOrder(
        fields.text("sequenceId", needed=not is_verified),
        fields.text("otaOrderId", needed=not is_verified),
        items,
        phone,
        contact.text("email", needed=False, longest=254),
    )


def payment_of(content: Mapping[str, Any]) -> TtdPayment:
    """What PayPreOrder says. Raises TtdRefusal."""
    fields = _Fields(content)
    rows = fields.rows("items", MOST_ITEMS)
    ids = tuple((each.text("PLU"), each.text("itemId")) for each in rows)
    return TtdPayment(fields.text("sequenceId"), fields.text("otaOrderId"), ids)


def cancellation_of(content: Mapping[str, Any]) -> TtdCancellation:
    """What CancelOrder says. Raises TtdRefusal."""
    fields = _Fields(content)
    items = tuple(_cancelled(each) for each in fields.rows("items", MOST_ITEMS))
    return TtdCancellation(fields.text("sequenceId"), fields.text("otaOrderId"), items)


def edit_of(content: Mapping[str, Any]) -> TtdEdit:
    """What EditOrder says: dates of use, as the vendor's page has it, and nothing else. Raises
    TtdRefusal.
    """
    fields = _Fields(content)
    items = tuple(_edited(each) for each in fields.rows("items", MOST_ITEMS))
    if len({each.item_id for each in items}) != len(items):
        raise TtdRefusal(ResultCode.WRONG, "items: an itemId stands there twice")
    fields.refuse(
        "contacts", "passengers", why="is not changed by EditOrder, only dates of use are"
    )
    return TtdEdit(fields.text("sequenceId"), fields.text("otaOrderId"), items)


def sequence_id_of(content: Mapping[str, Any]) -> str:
    """The id of a call. Raises TtdRefusal."""
    return _Fields(content).text("sequenceId")


def order_id_of(content: Mapping[str, Any], unknown: ResultCode) -> str:
    """The order's id in a call that says no more. Raises TtdRefusal with the code `unknown`."""
    found = _Fields(content).text("otaOrderId", needed=False)
    if not found:
        raise TtdRefusal(unknown, "otaOrderId is missing")
    return found


def without_more_than_ids(content: Mapping[str, Any]) -> dict[str, Any]:
    """A payment, cancellation or edit, valid already, as a task keeps it: it says the same."""
    ids_ = ("itemId", "PLU", "cancelType", "quantity", *USE_DATES)
    items = [
        {name: each[name] for name in ids_ if name in each}
        | {"passengers": [{"passengerId": p.get("passengerId")} for p in each["passengers"]]}
        if each.get("passengers")
        else {name: each[name] for name in ids_ if name in each}
        for each in content.get("items", [])
    ]
    named = {name: content.get(name) for name in ("sequenceId", "otaOrderId", "confirmType")}
    return {**named, "items": items}


class _Fields:
    """The fields of an object, read strictly; refused are they with 1005 and 1006."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._content = content

    def text(self, name: str, *, needed: bool = True, longest: int = LONGEST_ID) -> str:
        """A text, or a whole number as one; surrounding space is dropped."""
        found = self._content.get(name)
        if isinstance(found, int) and not isinstance(found, bool):
            found = str(found)
        if found is None or found == "":
            if needed:
                raise TtdRefusal(ResultCode.MISSING, f"{name} is missing")
            return ""
        if not isinstance(found, str) or len(found) > longest or not found.isprintable():
            raise TtdRefusal(ResultCode.WRONG, f"{name} is no text of {longest} characters")
        return found.strip()

    def count(self, name: str, default: int | None = None) -> int:
        """A number of 0 or more, also as a text."""
        found = self._content.get(name, default)
        if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) < 7:
            found = int(found)
        if found is None:
            raise TtdRefusal(ResultCode.MISSING, f"{name} is missing")
        if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < 1_000_000:
            raise TtdRefusal(ResultCode.WRONG, f"{name} is no whole number")
        return found

    def price(self, name: str) -> Decimal | None:
        """An amount, or None."""
        found = self._content.get(name)
        if found is None:
            return None
        try:
            amount = Decimal(found) if not isinstance(found, bool | list | dict) else Decimal("nan")
        except ArithmeticError:
            amount = Decimal("nan")
        if not amount.is_finite() or not 0 <= amount < 10**9:
            raise TtdRefusal(ResultCode.WRONG, f"{name} is no amount")
        return amount

    def day(self, name: str) -> date:
        """A date that there may be stock of."""
        try:
            found = date.fromisoformat(self.text(name))
        except ValueError:
            found = date.min
        if not EPOCH <= found <= LAST_DAY:
            raise TtdRefusal(ResultCode.WRONG_DATE, f"{name} is no date that anything is sold of")
        return found

    def refuse(self, *names: str, why: str) -> None:
        """Raises TtdRefusal for what is said and cannot be done."""
        for name in names:
            if self._content.get(name):
                raise TtdRefusal(ResultCode.WRONG, f"{name} {why}")

    def rows(self, name: str, most: int, *, needed: bool = True) -> "list[_Fields]":
        """A list of objects."""
        found = self._content.get(name) or []
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise TtdRefusal(ResultCode.WRONG, f"{name} is no list of objects")
        if not found and needed:
            raise TtdRefusal(ResultCode.MISSING, f"{name} is missing")
        if len(found) > most:
            raise TtdRefusal(ResultCode.RESTRICTED, f"{name} has {most} at the most")
        return [_Fields(each) for each in found]


def _edited(fields: _Fields) -> EditedItem:
    origin, target, *ends = USE_DATES
    moved = EditedItem(
        fields.text("itemId"),
        fields.text("PLU", needed=False),
        fields.day(origin),
        fields.day(target),
    )
    fields.refuse(
        "passengers", "quantity", why="is not changed by EditOrder, only dates of use are"
    )
    if all(fields.text(each, needed=False) for each in ends):
        first, last = (fields.day(each) for each in ends)
        if last - first != moved.target - moved.origin:
            raise TtdRefusal(
                ResultCode.WRONG_DATE, f"{ends[1]}: how many days it is good for stays as it is"
            )
    return moved


def _item(fields: _Fields) -> TtdItem:
    quantity = fields.count("quantity")
    if not quantity:
        raise TtdRefusal(ResultCode.WRONG, "quantity is 0")
    people = fields.rows("passengers", MOST_PLACES, needed=False)
    cost = fields.price("cost")
    which = "price" if cost is None else "cost"
    return TtdItem(
        fields.text("PLU"),
        fields.day("useStartDate"),
        quantity,
        fields.price(which),
        fields.text(f"{which}Currency", needed=False),
        tuple(each.text("name", needed=False, longest=LONGEST_NAME) for each in people),
        tuple(each.text("passengerId", needed=False) for each in people),
        fields.text("itemId", needed=False),
    )


def _cancelled(fields: _Fields) -> CancelledItem:
    kind = fields.count("cancelType", 1)
    if kind > 2:
        raise TtdRefusal(ResultCode.WRONG_QUANTITY, "cancelType is none of 0, 1 and 2")
    people = fields.rows("passengers", MOST_PLACES, needed=kind == 2)
    return CancelledItem(
        fields.text("itemId"),
        fields.text("PLU", needed=False),
        kind,
        fields.count("quantity", 0),
        tuple(each.text("passengerId", needed=kind == 2) for each in people),
    )
