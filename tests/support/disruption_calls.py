"""Valid requests about a disruption that concerned no ticket, for a running AdminService, and the
ticket changes it works with.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from server.aftersales.disruption_models import disruptions
from server.aftersales.quotes import Quotes
from server.aftersales.ticket_changes import ChangeHandler
from server.catalog.catalogue import Catalogues
from server.orders.hold import OrderHolds
from server.orders.passengers import PassengerSeals
from server.orders.reader import OrderReader
from server.payments.settlement import Settlement
from tests.support.rpc_server import SECRET_KEY, Node

DISRUPTION = "5b0e9d1e-0000-7000-8000-000000000003"


def calls(departure: str) -> dict[str, dict[str, Any]]:
    """A request that succeeds, by method; `departure` is one to be rebooked on."""
    asked = {"disruption_id": DISRUPTION, "comment": "all asked"}
    return {
        "PreviewDisruption": {"departure_id": departure},
        "GetDisruption": {"disruption_id": DISRUPTION},
        "RebookDisruptionTickets": {**asked, "departure_id": departure},
        "RefundDisruptionTickets": asked,
    }


async def add_disruption(tx: AsyncConnection, departure_id: int, now: datetime) -> None:
    """Writes DISRUPTION down, of a departure without tickets."""
    await tx.execute(
        insert(disruptions).values(
            disruption_id=UUID(DISRUPTION),
            departure_id=departure_id,
            kind="CANCELLED",
            comment="typhoon",
            waiver_code="OPC",
            refunds="AFTER_CHOICE",
            was_time=now,
            departure_time=now,
            preview_id="",
            actor="admin:root",
            create_time=now,
            order_ids=[],
            reservation_ids=[],
        )
    )


def ticket_changes(node: Node) -> ChangeHandler:
    """What tickets are changed by at a server."""
    reader, zone = OrderReader(PassengerSeals(SECRET_KEY)), node.settings.zone
    catalogues = Catalogues(node.feed, node.db)
    order_holds = OrderHolds(
        *(node.db, catalogues, reader), zone=zone, hold_seconds=600, batch=1, workers=1
    )
    settlement = Settlement(node.db, reader, zone=zone, app_id="", merchant_id="")
    return ChangeHandler(
        *(node.db, order_holds, reader.seals, Quotes(SECRET_KEY), settlement),
        zone=zone,
        quote_seconds=300,
    )
