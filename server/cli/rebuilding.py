"""`deeptravel statements rebuild`: a sealed statement made again."""

from server.partners import statements
from server.partners.statements import Rebuilt
from server.platform.config import ConfigError
from server.platform.database import Database


async def rebuild(db: Database, partner_code: str, month: str) -> Rebuilt:
    """What was sealed, and what the entries give now. Raises NOT_FOUND, ConfigError for a month
    that is none.
    """
    try:
        async with db.transaction() as tx:
            return await statements.rebuild(tx, partner_code, month)
    except ValueError as error:
        raise ConfigError(f"--month {month}: is no month; send YYYY-MM") from error
