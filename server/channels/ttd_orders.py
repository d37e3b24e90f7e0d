"""All that is done with orders of Ctrip's attractions channel, as one thing that services and tasks
share.
"""

from typing import NamedTuple, Self

from server.aftersales.refund_requests import RefundHandler
from server.aftersales.ticket_changes import ChangeHandler
from server.channels.ttd_cancels import TtdCancels
from server.channels.ttd_edits import TtdEdits
from server.channels.ttd_holds import TtdHolds
from server.channels.ttd_rows import TtdSeals
from server.channels.ttd_sales import TtdSales
from server.channels.ttd_vouchers import TtdVouchers
from server.orders.hold import OrderHolds
from server.payments.settlement import Settlement
from server.platform.database import Database
from server.tickets.issuing import Issuer


class TtdOrders(NamedTuple):
    """What sells, changes, cancels and shows them."""

    sales: TtdSales
    edits: TtdEdits
    cancels: TtdCancels
    vouchers: TtdVouchers

    @classmethod
    def of(  # noqa: PLR0917 - what they are done by
        cls,
        db: Database,
        seals: TtdSeals,
        order_holds: OrderHolds,
        settlement: Settlement,
        issuer: Issuer,
        change_handler: ChangeHandler,
        refund_handler: RefundHandler,
    ) -> Self:
        """By the functions behind CreateOrder, RequestRefund and the change of tickets."""
        ttd_holds = TtdHolds(db, seals, order_holds)
        vouchers = TtdVouchers(db, seals, issuer)
        return cls(
            TtdSales(db, seals, ttd_holds, settlement, issuer),
            TtdEdits(db, seals, ttd_holds, change_handler, vouchers),
            TtdCancels(db, seals, refund_handler),
            vouchers,
        )
