"""What is done for the audit trail by the clock."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.chain_keys import ChainKeys
from server.audit.chaining import take_checkpoint
from server.platform.config import Settings
from server.platform.schedule import About, Job, Progress


def jobs(settings: Settings) -> list[Job]:
    """What is done by the clock."""

    async def checkpoint(tx: AsyncConnection, now: datetime) -> Progress:
        if not settings.secret_key:  # every server has one
            return Progress(more=False)
        await take_checkpoint(tx, ChainKeys(settings.secret_key.get_secret_value()), now)
        return Progress(more=False, items=1)

    return [
        Job(
            "audit-checkpoint",
            timedelta(days=1),
            checkpoint,
            about=About(
                "Signs where the chain of the audit trail stands.", "对审计链的当前位置签名存档。"
            ),
        )
    ]
