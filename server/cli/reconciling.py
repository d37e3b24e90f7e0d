"""`deeptravel reconcile`: a day compared with WeChat's bill now."""

from datetime import UTC, date, datetime, timedelta

from server.payments import reconciliation
from server.payments.daily_reconciliation import Reconciler
from server.payments.reconciliation import Difference, Reconciliation
from server.platform.config import ConfigError, Settings
from server.platform.database import Database
from server.platform.errors import StartError
from server.wechat.bill import BEIJING
from server.wechat.client import WechatClient
from server.wechat.codec import WechatError
from server.wechat.signatures import ContentInvalidError

MOST_SHOWN = 1000
"""Differences that are printed; ListReconciliationDifferences has all."""


async def reconcile(
    db: Database, settings: Settings, day: date | None
) -> tuple[Reconciliation, list[Difference]]:
    """Compares a day in Beijing, yesterday if none is given; the comparison and its first
    differences.

    Raises ConfigError without a merchant, StartError for a bill that is not there or cannot be
    read, PAYMENT_PROVIDER_UNAVAILABLE.
    """
    now = datetime.now(UTC)
    client = WechatClient.of(settings)
    if client is None:
        raise ConfigError("no WeChat Pay merchant is set: see the settings DEEPTRAVEL_WECHAT_…")
    day = day or now.astimezone(BEIJING).date() - timedelta(days=1)
    try:
        run = await Reconciler(db, client).run(day, now=now)
    except (WechatError, ContentInvalidError) as error:
        raise StartError(f"the bill of {day}: {error}") from error
    finally:
        await client.aclose()
    async with db.transaction() as tx:
        found = await reconciliation.differences_of(tx, day, after=0, limit=MOST_SHOWN)
    return run, [difference for _, difference in found]
