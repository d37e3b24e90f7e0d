"""What searches over the timetable find, by name, and what is sold or changed meanwhile."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from deeptravel.ticketing.v1 import offer_pb2
from sqlalchemy import update

from server.catalog.promotions import PromotionRecord
from server.platform.database import Database
from server.stock.models import stocks
from tests.support.timetable import by

KIND, WHY = offer_pb2.OfferKind, offer_pb2.UnavailableReason
TRAINS = {"kinds": [KIND.OFFER_KIND_TRAIN]}


def services_of(found: Any) -> list[str]:
    """What was found, by service and class; packages by their offer."""
    return [
        f"{o.journey.service_number} {o.journey.fare_class}" if o.HasField("journey") else "PK"
        for o in found.offers
    ]


def named(found: Any, name: str) -> Any:
    return dict(zip(services_of(found), found.offers, strict=True))[name]


ALL = ["N111 SECOND", "N111 FIRST", "N121 ECONOMY", "N112 SECOND", "N112 FIRST", "PK"]
"""By departure, and of one train by price."""


async def change(db: Database, work: Callable[..., Any], *arguments: Any, **named: Any) -> None:
    async with db.transaction() as tx:
        await work(tx, *arguments, **named, **by())


async def take(db: Database, stock: int, quantity: int) -> None:
    """Sells some of a stock, as orders do: without a word to the configuration."""
    async with db.transaction() as tx:
        await tx.execute(
            update(stocks).where(stocks.c.stock_id == stock).values(sold=stocks.c.sold + quantity)
        )


def promotion(promotion_id: int, code: str | None, **more: Any) -> PromotionRecord:
    """Ten percent off everything, since yesterday and until tomorrow, unless `more` says."""
    now = datetime.now(UTC)
    terms: dict[str, Any] = {
        "display_name_en": "Ten off",
        "display_name_zh": "九折",
        "basis_points_off": 1000,
        "amount_off_minor": 0,
        "begin_time": now - timedelta(days=1),
        "end_time": now + timedelta(days=1),
        "min_party": 1,
        "product_ids": [],
        "stackable": False,
        "capped": False,
    }
    return PromotionRecord(promotion_id=promotion_id, code=code, **terms | more)
