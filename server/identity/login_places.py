"""Where each name has logged in: a place from which an operator came before keeps a way in when
others send guesses.

A place is the terminal together with the address, as for failed log-ins: whoever names a terminal
from elsewhere is not at it.
"""

from datetime import datetime, timedelta

from sqlalchemy import delete, exists, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from server.identity.login_failures import Attempt
from server.identity.models import login_places

KEPT = timedelta(days=90)
"""After so long without a log-in a place is like any other."""


async def is_known(tx: AsyncConnection, attempt: Attempt) -> bool:
    """Whether the name has logged in from this place before."""
    name_hash, place_hash = attempt.name_at_place
    known = exists().where(
        login_places.c.username_hash == name_hash, login_places.c.place_hash == place_hash
    )
    return bool(await tx.scalar(select(known)))


async def note(tx: AsyncConnection, attempt: Attempt, now: datetime) -> None:
    """The name has logged in from this place."""
    name_hash, place_hash = attempt.name_at_place
    row = insert(login_places).values(
        username_hash=name_hash, place_hash=place_hash, last_login_time=now
    )
    await tx.execute(
        row.on_conflict_do_update(
            index_elements=[login_places.c.username_hash, login_places.c.place_hash],
            set_={"last_login_time": now},
        )
    )


async def purge(tx: AsyncConnection, now: datetime) -> None:
    """Forgets places where nobody has logged in for long."""
    await tx.execute(delete(login_places).where(login_places.c.last_login_time < now - KEPT))
