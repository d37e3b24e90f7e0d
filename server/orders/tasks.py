"""What is done for orders later (tasks of the outbox) and by the clock (jobs)."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from server.orders import completion, expiry_reminders, order_search, ticket_expiry
from server.orders.qr_reissue import Reissues
from server.orders.ticket_expiry import TicketExpiry
from server.platform.config import Settings
from server.platform.database import Database
from server.platform.outbox import Task
from server.platform.schedule import About, Job, Pipelined
from server.platform.statements import run_together
from server.platform.task_worker import TaskKind
from server.tickets import issuing_keys, reminders, validity
from server.tickets.keys import REISSUE

EXPIRY_CADENCE = timedelta(seconds=10)
"""At every look, whichever process's: what one run passed over the next has within a minute.
(DOMAIN, Operations).
"""

EXPIRED_A_SECOND = 5_800
"""At the most: a million that end at midnight are done within three minutes."""
SETTLE_CADENCE = timedelta(minutes=1)


def kinds(db: Database) -> dict[str, TaskKind]:
    """The kinds of tasks, by name."""

    async def complete(task: Task) -> None:
        """Completes an order that was locked by another transaction when its last ticket was
        used.
        """

        async def work(tx: AsyncConnection) -> None:
            order_id, actor = int(task.payload["order_id"]), task.payload["actor"]
            await run_together(tx, *completion.complete({order_id: actor}, now=task.now()))
            await task.done(tx)

        await db.in_transaction(work)

    about = About(
        "Completes orders that were locked when their last ticket was used.",
        "补完成末张票券核销时被锁定的订单。",
    )
    reissuing = About(
        "Issues anew the QR codes that were made with a compromised key, and tells partners.",
        "为泄露密钥所签发的二维码重新签发，并通知分销平台。",
    )
    return {
        completion.COMPLETE_ORDER: TaskKind(complete, about=about),
        REISSUE: TaskKind(Reissues(db).reissue, about=reissuing),
    }


REMIND_CADENCE = timedelta(minutes=1)
KEYS_CADENCE = timedelta(minutes=1)
BACKFILL_CADENCE = timedelta(minutes=1)


def jobs(settings: Settings) -> list[Job]:
    """What is done by the clock."""
    lead = timedelta(seconds=settings.ticket_reminder_seconds)
    secret_key = settings.secret_key.get_secret_value() if settings.secret_key else None
    return [
        Job(
            "expire-tickets",
            EXPIRY_CADENCE,
            Pipelined(TicketExpiry().work),
            quiet=True,
            about=About(
                "Makes tickets whose validity is over EXPIRED, and their orders COMPLETED.",
                "将有效期已过的票置为已过期（EXPIRED），并完成其订单（COMPLETED）。",
            ),
            oldest_due=ticket_expiry.oldest_due,
            spacing_seconds=ticket_expiry.PAGE_TICKETS / EXPIRED_A_SECOND,
        ),
        Job(
            "settle-tickets",
            SETTLE_CADENCE,
            validity.settle,
            quiet=True,
            about=About(
                "Takes final tickets whose validity is over out of the index of those to expire.",
                "将有效期已过且已终结的票移出待过期索引。",
            ),
        ),
        Job(
            "remind-tickets",
            REMIND_CADENCE,
            reminders.work(lead),
            quiet=True,
            about=About(
                "Reminds partners of sold tickets that expire before long.",
                "提醒分销平台已售票即将过期。",
            ),
        ),
        Job(
            "index-orders",
            BACKFILL_CADENCE,
            order_search.backfilling(secret_key),
            quiet=True,
            about=About(
                "Makes orders of earlier releases be found by names, documents and telephones.",
                "为早期版本的订单补建姓名、证件和电话的检索索引。",
            ),
        ),
        Job(
            "tend-issuing-keys",
            KEYS_CADENCE,
            issuing_keys.tending(secret_key, settings.zone),
            quiet=True,
            about=About(
                "Destroys private keys of QR codes whose day is over, and makes those of tomorrow.",
                "销毁已过当日的二维码签发私钥，并预先生成次日的密钥。",
            ),
        ),
        Job(
            "remind-travellers",
            REMIND_CADENCE,
            expiry_reminders.work(lead),
            quiet=True,
            about=About(
                "Reminds travellers of tickets that expire before long.",
                "提醒旅客其票券即将过期。",
            ),
        ),
    ]
