"""What is done for partners by the clock, and by tasks of the outbox."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog.departures import PARTNERS_FOLLOW
from server.partners import reservation_expiry, statements
from server.partners.partner_departures import MOST_ATTEMPTS, PartnerDepartures
from server.platform.config import Settings
from server.platform.database import Database
from server.platform.schedule import About, Job, Progress
from server.platform.task_worker import TaskKind

SEALING_CADENCE = timedelta(minutes=10)
EXPIRE_RESERVATIONS = "expire-reservations"
EXPIRY_CADENCE = timedelta(seconds=10)


def kinds(db: Database) -> dict[str, TaskKind]:
    """The kinds of tasks, by name."""
    departures = PartnerDepartures(db)
    about = About(
        "Has partners' tickets and reservations follow a cancelled or moved departure.",
        "使分销平台的票券与预留跟随班次的取消或改点。",
    )
    return {PARTNERS_FOLLOW: TaskKind(departures.follow, max_attempts=MOST_ATTEMPTS, about=about)}


def jobs(settings: Settings) -> list[Job]:
    """What is done by the clock."""

    async def seal(tx: AsyncConnection, now: datetime) -> Progress:
        sealed = await statements.seal_due(tx, zone=settings.zone, now=now)
        return Progress(sealed, int(sealed))

    return [
        Job(
            EXPIRE_RESERVATIONS,
            EXPIRY_CADENCE,
            reservation_expiry.work,
            quiet=True,
            about=About(
                "Closes partners' reservations whose time is over and voids their unsold tickets;"
                " every process looks each second, this job at what they passed over.",
                "关闭到期的分销平台预留并作废其未售票；各进程每秒检查，本任务处理其遗漏的部分。",
            ),
            oldest_due=reservation_expiry.oldest_due,
            protects_stock=True,
        ),
        Job(
            "seal-statements",
            SEALING_CADENCE,
            seal,
            about=About(
                "Seals partners' statements of months that are over.",
                "封存分销平台上月结束的对账单。",
            ),
        ),
    ]
