"""What requests of OCTO say, as plain values. What a body has beside that is left alone, since
capabilities add fields.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from server.api.http.protojson import RepeatedKeys
from server.api.octo.errors import UnprocessableError
from server.partners.booking_content import BookedUnit, BookingContact
from server.partners.booking_rows import BookingFilter
from server.partners.bookings import MAX_UNITS, BookingChanges, WantedBooking
from server.platform.errors import Reason, invalid, not_found

MAX_DAYS = 366
"""Of one question, both ends included: a year from a date to the day before it."""
MAX_IDS = 500
MAX_MINUTES = 60 * 24 * 366
SHORT, LONG = 200, 2_000
"""Characters of a name or reference, and of notes."""
_UNFIT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_EMAIL = re.compile(r"[\w!#$%&'*+/=?^`{|}~.-]+@[A-Z0-9-]+(\.[A-Z0-9-]+)+", re.ASCII | re.IGNORECASE)


class AskedDays(NamedTuple):
    """From one day to another, both included."""

    first: date
    last: date


class Fields:
    """The fields of a JSON object, read by name; null is as what is not there."""

    def __init__(self, content: Any, path: str = "") -> None:
        if not isinstance(content, Mapping) or isinstance(content, RepeatedKeys):
            raise invalid(path or "body", "must be a JSON object, with each field once")
        self._content = content
        self._path = f"{path}." if path else ""

    def text(self, name: str, longest: int = SHORT) -> str | None:
        """A text. Raises INVALID_FIELD."""
        value = self._content.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or len(value) > longest or _UNFIT.search(value):
            raise self.wrong(
                name, f"must be a text of at most {longest} characters, none of control"
            )
        return value

    def known(self, name: str, resource: str) -> str:
        """The id of a thing. Raises NOT_FOUND of that where it is none at all."""
        value = self._content.get(name)
        if not isinstance(value, str) or not value or len(value) > SHORT or _UNFIT.search(value):
            raise not_found(resource, shown(value) if isinstance(value, str) else "")
        return value

    def email(self, name: str) -> str | None:
        """The address of an e-mail. Raises INVALID_FIELD."""
        value = self.text(name, 254)
        if value and not _EMAIL.fullmatch(value):
            raise self.wrong(
                name, "must be the address of an e-mail; leave it out if there is none"
            )
        return value

    def number(self, name: str, most: int, *, least: int = 1) -> int | None:
        """A whole number, also as 1.0. Raises INVALID_FIELD."""
        value = self._content.get(name)
        if value is None:
            return None
        is_whole = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_whole or not least <= value <= most or value != int(value):
            raise self.wrong(name, f"must be a whole number from {least} to {most}")
        return int(value)

    def day(self, name: str) -> date | None:
        """A date. Raises INVALID_FIELD."""
        value = self.text(name)
        return None if value is None else parse_day(f"{self._path}{name}", value)

    def uuid(self, name: str) -> UUID | None:
        """A UUID. Raises INVALID_FIELD."""
        value = self.text(name)
        if value is not None and not _UUID.fullmatch(value):
            raise self.wrong(name, "must be a UUID")
        return None if value is None else UUID(value)

    def objects(self, name: str, most: int) -> list["Fields"] | None:
        """A list of objects. Raises INVALID_FIELD."""
        value = self._content.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) > most:
            raise self.wrong(name, f"must be a list of at most {most}")
        return [Fields(each, f"{self._path}{name}[{at}]") for at, each in enumerate(value)]

    def texts(self, name: str, most: int) -> list[str] | None:
        """A list of texts. Raises INVALID_FIELD."""
        value = self._content.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) > most:
            raise self.wrong(name, f"must be a list of at most {most} texts")
        if any(
            not isinstance(each, str) or len(each) > SHORT or _UNFIT.search(each) for each in value
        ):
            raise self.wrong(name, f"must be texts of at most {SHORT} characters, none of control")
        return list(value)

    def object(self, name: str) -> "Fields | None":
        """An object. Raises INVALID_FIELD."""
        value = self._content.get(name)
        return None if value is None else Fields(value, f"{self._path}{name}")

    def has(self, name: str) -> bool:
        """Whether it is there, and not null."""
        return self._content.get(name) is not None

    def wrong(self, name: str, description: str) -> Exception:
        """INVALID_FIELD."""
        return invalid(f"{self._path}{name}", description)


def shown(text: str) -> str:
    """What somebody sent, as it is repeated to him: not all of it, and nothing that is no text."""
    return _UNFIT.sub("\ufffd", text[:SHORT])


def parse_day(field: str, value: str) -> date:
    """A date of a request. Raises INVALID_FIELD."""
    try:
        if _DAY.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise invalid(field, "must be a date that there is, as YYYY-MM-DD")


def days(fields: Fields) -> AskedDays | None:
    """The days that a request is about: localDate, or localDateStart with localDateEnd; None
    without any. Raises INVALID_FIELD.
    """
    one, first, last = map(fields.day, ("localDate", "localDateStart", "localDateEnd"))
    if one and (first or last):
        raise fields.wrong("localDate", "send this, or localDateStart with localDateEnd")
    if one:
        return AskedDays(one, one)
    if bool(first) != bool(last):
        missing = "localDateEnd" if first else "localDateStart"
        raise fields.wrong(missing, "is missing; send localDateStart and localDateEnd together")
    if not first or not last:
        return None
    if last < first:
        raise fields.wrong("localDateEnd", "is before localDateStart")
    if last - first >= timedelta(days=MAX_DAYS):
        raise fields.wrong("localDateEnd", f"is too far: at most {MAX_DAYS} days in one request")
    return AskedDays(first, last)


class AskedAvailability(NamedTuple):
    """What availability is asked for: days, or ids; `party` are customer types, `units` of them."""

    product_id: str
    option_id: str
    days: AskedDays | None
    slot_ids: list[str] | None
    party: list[str]


def asked(fields: Fields, *, by_id: bool) -> AskedAvailability:
    """What a check of availability asks for. Raises INVALID_FIELD, NOT_FOUND."""
    product_id = fields.known("productId", "product")
    option_id = fields.known("optionId", "option")
    wanted, ids = days(fields), fields.texts("availabilityIds", MAX_IDS) if by_id else None
    if (wanted is None) == (ids is None):
        choice = "localDate, localDateStart with localDateEnd"
        choice += ", or availabilityIds" if by_id else ""
        raise fields.wrong("localDateStart", f"exactly one is to be sent: {choice}")
    party: list[str] = []
    for each in fields.objects("units", MAX_UNITS) or ():
        party += [each.known("id", "unit")] * (each.number("quantity", 1_000, least=0) or 0)
    return AskedAvailability(product_id, option_id, wanted, ids, party)


def require_currency(fields: Fields, sold_in: str) -> None:
    """Raises INVALID_FIELD for another currency than something is sold in."""
    if fields.text("currency") not in {None, sold_in}:
        raise fields.wrong(
            "currency", f"is none that there are prices in; leave it out for {sold_in}"
        )


def _contact(fields: Fields | None) -> BookingContact | None:
    if fields is None:
        return None
    names = {
        "full_name": "fullName",
        "first_name": "firstName",
        "last_name": "lastName",
        "phone": "phoneNumber",
        "country": "country",
        "postal_code": "postalCode",
    }
    texts = {ours: fields.text(theirs) or "" for ours, theirs in names.items()}
    locales = tuple(fields.texts("locales", 20) or ())
    texts["email"] = fields.email("emailAddress") or ""
    return BookingContact(**texts, notes=fields.text("notes", LONG) or "", locales=locales)


def _units(fields: Fields) -> tuple[BookedUnit, ...] | None:
    """Raises INVALID_FIELD, NOT_FOUND for a unit without id."""
    found = fields.objects("unitItems", MAX_UNITS)
    if found is None:
        return None
    if not found:
        raise _no_units()
    units = tuple(
        BookedUnit(
            str(each.uuid("uuid") or uuid4()),
            each.known("unitId", "unit"),
            each.text("resellerReference") or "",
            _contact(each.object("contact")) or BookingContact(),
        )
        for each in found
    )
    if len({unit.unit_id for unit in units}) < len(units):
        raise fields.wrong("unitItems", "have a uuid twice")
    return units


def _no_units() -> UnprocessableError:
    return UnprocessableError(Reason.INVALID_FIELD, f"unitItems: send 1 to {MAX_UNITS} of them")


def wanted(fields: Fields, content_hash: bytes) -> WantedBooking:
    """What a reservation asks for. Raises INVALID_FIELD, NOT_FOUND."""
    product_id = fields.known("productId", "product")
    option_id = fields.known("optionId", "option")
    slot_id = fields.known("availabilityId", "availability")
    units = _units(fields)
    if units is None:
        raise _no_units()
    return WantedBooking(
        fields.uuid("uuid") or uuid4(),
        product_id,
        option_id,
        slot_id,
        units,
        _contact(fields.object("contact")) or BookingContact(),
        fields.text("notes", LONG) or "",
        fields.text("resellerReference") or "",
        _seconds(fields),
        content_hash,
    )


def changes(fields: Fields, *, words_alone: bool = False) -> BookingChanges:
    """What an update, or a confirmation of `words_alone`, changes. Raises INVALID_FIELD,
    NOT_FOUND.
    """

    def place(name: str, resource: str) -> str | None:
        return fields.known(name, resource) if fields.has(name) and not words_alone else None

    return BookingChanges(
        product_id=place("productId", "product"),
        option_id=place("optionId", "option"),
        slot_id=place("availabilityId", "availability"),
        units=_units(fields),
        contact=_contact(fields.object("contact")),
        notes=fields.text("notes", LONG),
        reseller_reference=fields.text("resellerReference"),
        hold_seconds=None if words_alone else _seconds(fields),
    )


def expiration_seconds(fields: Fields) -> int:
    """How long a hold is to last from now. Raises INVALID_FIELD."""
    seconds = _seconds(fields)
    if seconds is None:
        raise fields.wrong("expirationMinutes", "is missing")
    return seconds


def _seconds(fields: Fields) -> int | None:
    minutes = fields.number("expirationMinutes", MAX_MINUTES)
    return minutes * 60 if minutes else None


def booking_filter(query: Mapping[str, str]) -> BookingFilter:
    """Which bookings a list asks for. Raises INVALID_FIELD."""
    fields = Fields({name: value for name, value in query.items() if value})
    found = days(fields)
    product_id = fields.text("productId")
    wanted = BookingFilter(
        reseller_reference=fields.text("resellerReference") or "",
        order_code=fields.text("supplierReference") or "",
        first_date=found.first if found else None,
        last_date=found.last if found else None,
        product_id=_number(product_id),
        option_id=fields.text("optionId") or "",
    )
    if wanted == BookingFilter():
        raise fields.wrong(
            "resellerReference",
            "is missing; send this, supplierReference, localDate, localDateStart with"
            " localDateEnd, productId or optionId",
        )
    return wanted


def _number(product_id: str | None) -> int | None:
    """The number of a product; that of none for what is no number."""
    if product_id is None:
        return None
    return (
        int(product_id)
        if product_id.isascii() and product_id.isdigit() and len(product_id) < 10
        else 0
    )


def booking_uuid(text: str) -> UUID:
    """The id of a booking in a path. Raises NOT_FOUND."""
    if not _UUID.fullmatch(text):
        raise not_found("booking", shown(text))
    return UUID(text)


def repeated(values: Sequence[str]) -> Iterator[str]:
    """Each once, in their order."""
    return iter(dict.fromkeys(values))
