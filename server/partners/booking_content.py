"""What a booking of a partner says and cost, and how that is sealed, since it says who travels."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from server.partners.booking_rules import full_name
from server.platform.crypto import Sealer, derive


@dataclass(frozen=True, slots=True)
class BookingContact:
    """Somebody who books or travels, as far as the partner says; empty is what it does not."""

    full_name: str = ""
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    phone: str = ""
    country: str = ""
    postal_code: str = ""
    notes: str = ""
    locales: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name; empty if none was sent."""
        return full_name(self.full_name, self.first_name, self.last_name)


@dataclass(frozen=True, slots=True)
class BookedUnit:
    """One of those who travel, or one use: its id, and what its ticket costs in minor units."""

    unit_id: str
    customer_type: str
    reseller_reference: str = ""
    contact: BookingContact = BookingContact()
    amount_minor: int = 0


@dataclass(frozen=True, slots=True)
class BookingContent:
    """What is kept of a booking as it was agreed. Times are there, with their offset; `policy` is
    the product's, by which it may be cancelled, counted from `reference_time`; it was sold until
    `sale_until_time`.
    """

    contact: BookingContact
    notes: str
    units: tuple[BookedUnit, ...]
    currency_code: str
    start_time: datetime
    end_time: datetime
    is_day: bool
    policy: dict[str, Any]
    reference_time: datetime
    sale_until_time: datetime

    @property
    def customer_types(self) -> list[str]:
        """Of its units, in their order."""
        return [unit.customer_type for unit in self.units]


class PartnerBookingSeals:
    """Seals and opens what bookings say."""

    def __init__(self, secret_key: bytes) -> None:
        self._sealer = Sealer(derive(secret_key, "deeptravel partner bookings"))

    def seal(self, partner_id: int, booking_id: UUID, content: BookingContent) -> bytes:
        """A booking's content as it is stored."""
        return self._sealer.seal(orjson.dumps(asdict(content)), _bound(partner_id, booking_id))

    def open(self, partner_id: int, booking_id: UUID, sealed: bytes) -> BookingContent:
        """What was sealed. Raises InvalidTag for what was not, with our key, for this booking."""
        made = orjson.loads(self._sealer.open(sealed, _bound(partner_id, booking_id)))
        made.setdefault("sale_until_time", made["reference_time"])  # not in those from before
        times = ("start_time", "end_time", "reference_time", "sale_until_time")
        return BookingContent(
            **made
            | {name: datetime.fromisoformat(made[name]) for name in times}
            | {
                "contact": _contact(made["contact"]),
                "units": tuple(
                    BookedUnit(**unit | {"contact": _contact(unit["contact"])})
                    for unit in made["units"]
                ),
            }
        )


def _contact(made: dict[str, Any]) -> BookingContact:
    return BookingContact(**made | {"locales": tuple(made["locales"])})


def _bound(partner_id: int, booking_id: UUID) -> bytes:
    return f"{partner_id}:{booking_id}".encode()
