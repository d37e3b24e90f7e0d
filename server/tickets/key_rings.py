"""The key ring as a process remembers it: read anew when a key changes, of issuing keys only what
has changed.

A token whose issuing key the ring has not is of none of ours, of a key that another process has
just made, or of one that is over. `look_up` asks the database, for all scans that wait at once, and
one question at a time: who makes up numbers makes his own scans wait. What is found is remembered,
up to MOST_LOOKED_UP; a number without a key is not, as there may be one soon.

An entry of a ring takes 170 bytes: 100 partners with tokens that are valid for a year are 6 MB.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Collection
from datetime import date

from server.platform import clock
from server.platform.change_feed import ChangeFeed, ChangeKind, Remembered, Subject
from server.platform.database import Database
from server.platform.statements import run
from server.tickets import issuing_keys
from server.tickets.issuing_keys import Reading
from server.tickets.keys import load_qr_keys
from server.tickets.qr import IssuingKey, IssuingKeys, KeyRing, Signature

MOST_LOOKED_UP = 1_024


class KeyRings(Remembered[str, KeyRing]):
    """The key ring, remembered under the key ""."""

    def __init__(self, feed: ChangeFeed, db: Database, secret_key: bytes) -> None:
        super().__init__(feed, self._read, kinds=[ChangeKind.QR_KEY])
        self._db = db
        self._secret_key = secret_key
        self._looked_up = OrderedDict[int, Signature]()
        self._nothing = Reading(keys=IssuingKeys(looked_up=self._looked_up))
        self._reading = self._nothing
        self._asking = asyncio.Lock()
        self._obtaining = asyncio.Lock()

    async def look_up(self, numbers: Collection[int | None]) -> bool:
        """Whether one of these issuing keys, which the ring has not, is known now. Raises
        DATABASE_UNAVAILABLE.
        """
        wanted = {number for number in numbers if number is not None}
        if not wanted:
            return False
        async with self._asking:
            asked = wanted - self._looked_up.keys()
            if asked:
                async with self._db.independent_transaction() as tx:
                    for row in await run(tx, issuing_keys.LOOK_UP(sorted(asked))):
                        self._looked_up[row.number] = issuing_keys.signature_of(row)
            found = not self._looked_up.keys().isdisjoint(wanted)
            while len(self._looked_up) > MOST_LOOKED_UP:
                self._looked_up.popitem(last=False)
            return found

    async def obtain(self, partner_id: int, day: date) -> IssuingKey:
        """The key that signs a partner's tokens of a day, which the ring has not yet: made unless
        there is one. One question at a time, so that of many who ask at midnight one waits for the
        database.
        """
        async with self._obtaining, self._db.independent_transaction() as tx:
            now = clock.now()
            return await issuing_keys.obtain(tx, self._secret_key, partner_id, day, now=now)

    async def _read(self, _: str) -> KeyRing:
        before = self._reading
        async with self._db.transaction() as tx:
            reading = await issuing_keys.read(tx, self._secret_key, before)
            ring = KeyRing(await load_qr_keys(tx, self._secret_key), reading.keys)
        if self._reading is before:
            self._reading = reading
        return ring

    def _forget(self, changed: Collection[Subject]) -> None:
        if Subject(ChangeKind.EVERYTHING) in changed:
            self._looked_up.clear()
            self._reading = self._nothing
        super()._forget(changed)
