"""What a traveller ordered, as it is kept in `orders.content`: offers under their snapshots,
prices, places. Never updated.

A shared entitlement has no place: each item gets, with the payment, one more ticket for each
(passenger -1, amount 0).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self
from uuid import UUID

from server.catalog.pricing import Price
from server.stock.holds import Counterpart, Take
from server.stock.ids import promotion_quota_id
from server.stock.journeys import Span
from server.stock.quotas import Use

SHARED = -1
"""The passenger of a ticket that is anybody's."""


class Place(NamedTuple):
    """One ticket to be: whose (position in the order's passengers), for how much, on which seat,
    on which document.
    """

    passenger: int
    customer_type: str
    amount_minor: int
    seat_index: int | None = None
    seat: str | None = None
    document: bytes | None = None

    def dump(self) -> dict[str, Any]:
        """As it is stored."""
        return {
            "passenger": self.passenger,
            "customer_type": self.customer_type,
            "amount_minor": self.amount_minor,
            "seat_index": self.seat_index,
            "seat": self.seat,
            "document": self.document.hex() if self.document else None,
        }

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> Self:
        """From what `dump` returned."""
        document = content["document"]
        return cls(
            content["passenger"],
            content["customer_type"],
            content["amount_minor"],
            content["seat_index"],
            content["seat"],
            bytes.fromhex(document) if document else None,
        )


class OrderItem(NamedTuple):
    """One offer that was ordered, under the snapshot it was sold under; `span` is when it was to
    travel then, if it does. A rental takes of a stock for each day, the others besides the first.
    """

    offer_id: str
    snapshot_id: UUID
    stock_id: int
    departure_id: int | None
    price: Price
    places: tuple[Place, ...]
    span: Span | None = None
    other_stock_ids: tuple[int, ...] = ()

    @property
    def stock_ids(self) -> tuple[int, ...]:
        """The stocks it takes of."""
        return (self.stock_id, *self.other_stock_ids)

    @property
    def counterpart(self) -> Counterpart:
        """What a ticket of it is to the other one of a change."""
        return Counterpart(self.offer_id, self.departure_id)

    def dump(self) -> dict[str, Any]:
        """As it is stored."""
        days = {"other_stock_ids": list(self.other_stock_ids)} if self.other_stock_ids else {}
        return {
            "offer_id": self.offer_id,
            "snapshot_id": self.snapshot_id,
            "stock_id": self.stock_id,
            "departure_id": self.departure_id,
            "price": self.price.content(),
            "places": [place.dump() for place in self.places],
            "span": list(self.span) if self.span else None,
            **days,
        }

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> Self:
        """From what `dump` returned."""
        return cls(
            content["offer_id"],
            UUID(content["snapshot_id"]),
            content["stock_id"],
            content["departure_id"],
            Price.parse(content["price"]),
            tuple([Place.parse(place) for place in content["places"]]),
            Span.parse(content.get("span")),
            tuple(content.get("other_stock_ids", ())),
        )


class ChangeTerms(NamedTuple):
    """What a change was made on, in minor units: old + paid = new + fee + forfeited + given back.

    `old_minor` is what had been paid for the old ticket, `forfeited_minor` what of the difference
    to something cheaper is kept besides the fee. `refund_percent` is what a refund would have given
    then, and the most it ever gives now. With an `operator_cause` the change does not count, since
    the operator cancelled or moved the departure; `waiver_code` is by what it was free.
    """

    old_minor: int
    fee_minor: int
    forfeited_minor: int
    refund_percent: int
    operator_cause: str = ""
    waiver_code: str = ""


class Content(NamedTuple):
    """All of an order, and the caps of promotions it counts against, once each; of one that changes
    a ticket, its terms.

    `change` is None in an order that changes none, or was made before the terms were kept.
    `promotion_limits` are the promotions (id, limit) of which one traveller may use so many.
    `replaces` is the ticket that it changes.
    """

    items: tuple[OrderItem, ...]
    capped_stock_ids: tuple[int, ...] = ()
    change: ChangeTerms | None = None
    promotion_limits: tuple[tuple[int, int], ...] = ()
    replaces: Counterpart | None = None

    def dump(self) -> dict[str, Any]:
        """As it is stored."""
        content: dict[str, Any] = {
            "items": [item.dump() for item in self.items],
            "capped_stock_ids": list(self.capped_stock_ids),
            "promotion_limits": [list(each) for each in self.promotion_limits],
            "replaces": _dump(self.replaces) if self.replaces else None,
        }
        if self.change:
            content["change"] = self.change._asdict()
        return content

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> Self:
        """From what `dump` returned."""
        return cls(
            tuple([OrderItem.parse(item) for item in content["items"]]),
            tuple(content["capped_stock_ids"]),
            ChangeTerms(**content["change"]) if "change" in content else None,
            tuple([(each[0], each[1]) for each in content.get("promotion_limits", ())]),
            _parse(content.get("replaces")),
        )

    def takes(self, order_id: int, traveller_id: int) -> list[Take]:
        """What the order holds, by ascending stock."""
        takes = [self.take_of(item, order_id, traveller_id) for item in self.items]
        takes += self.caps(order_id, traveller_id)
        return sorted(takes, key=lambda take: take.stock_id)

    def take_of(self, item: OrderItem, order_id: int, traveller_id: int) -> Take:
        """What the order holds by one of its items."""
        return Take(
            stock_id=item.stock_id,
            quantity=len(item.places),
            seats=tuple(p.seat_index for p in item.places if p.seat_index is not None),
            departure_id=item.departure_id,
            documents=tuple(p.document for p in item.places if p.document is not None),
            order_id=order_id,
            traveller_id=traveller_id,
            offer_id=item.offer_id,
            counterpart=self.replaces,
            other_stock_ids=item.other_stock_ids,
        )

    def caps(self, order_id: int, traveller_id: int) -> list[Take]:
        """What it holds of the caps of promotions."""
        return [
            Take(stock_id, 1, (), None, (), order_id, traveller_id)
            for stock_id in self.capped_stock_ids
        ]

    def uses(self, traveller_id: int) -> list[Use]:
        """What it counts as, beside its tickets: once for each promotion with a limit per
        traveller.
        """
        return [
            Use(promotion_quota_id(promotion_id), traveller_id, 1)
            for promotion_id, _ in self.promotion_limits
        ]


def _dump(replaced: Counterpart) -> dict[str, Any]:
    days = {"day_stock_ids": list(replaced.day_stock_ids)} if replaced.day_stock_ids else {}
    return {
        "offer_id": replaced.offer_id,
        "departure_id": replaced.departure_id,
        "stock_id": replaced.stock_id,
        **days,
    }


def _parse(content: Mapping[str, Any] | None) -> Counterpart | None:
    if content is None:
        return None
    return Counterpart(
        content["offer_id"],
        content["departure_id"],
        content.get("stock_id"),
        tuple(content.get("day_stock_ids", ())),
    )
