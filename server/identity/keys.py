"""Partners' API keys: recognising them, and noting when each was last used."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog
from sqlalchemy import bindparam, select, text

from server.identity import credentials, rules
from server.identity.callers import Caller, Partner
from server.identity.models import partner_keys
from server.parties import sandbox_clocks
from server.parties.models import partners
from server.parties.rules import is_sandbox
from server.platform.change_feed import ChangeFeed, ChangeKind, Remembered, Subject
from server.platform.crypto import same
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.platform.faults import fault_text
from server.platform.loops import Loops, Polling

NOTE_SECONDS = 60.0
"""The last use of a key is written at most this often by each process."""
NOTE_POLL_SECONDS = 1.0

KEY = (
    select(
        partner_keys.c.key_id,
        partner_keys.c.secret_hash,
        partners.c.partner_id,
        partners.c.partner_code,
        partners.c.requests_per_minute,
        partners.c.activation_tolerance_basis_points,
        partners.c.allowed_addresses,
    )
    .join(partners, partners.c.partner_id == partner_keys.c.partner_id)
    .where(
        partner_keys.c.key_id == bindparam("id"),
        partner_keys.c.revoke_time.is_(None),
        partners.c.state == "ACTIVE",
    )
)
NOTE_USES = text(
    "UPDATE partner_keys SET last_used_time = uses.time"
    " FROM unnest(CAST(:key_ids AS text[]), CAST(:times AS timestamptz[])) AS uses (key_id, time)"
    " WHERE partner_keys.key_id = uses.key_id"
    " AND (last_used_time IS NULL OR last_used_time < uses.time)"
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Key:
    key_id: str
    partner: Partner
    allowed: tuple[rules.Network, ...]


class PartnerKeys:
    """The live keys, as far as they were used lately. A key that is not live is never
    remembered.
    """

    def __init__(self, db: Database, feed: ChangeFeed, loops: Loops | None = None) -> None:
        self._db = db
        self._keys: Remembered[str, _Key] = Remembered(
            feed,
            self._load,
            kinds=[ChangeKind.PARTNER, ChangeKind.PARTNER_KEY],
            subjects=lambda key: (
                Subject(ChangeKind.PARTNER, key.partner.partner_code),
                Subject(ChangeKind.PARTNER_KEY, key.key_id),
            ),
        )
        self._used: dict[str, float] = {}
        self._noted: dict[str, float] = {}
        self._loop = (loops or Loops()).add("key-uses", Polling(self._note, NOTE_POLL_SECONDS))

    def start(self) -> None:
        """Begins to write down uses."""
        self._loop.start()

    async def stop(self) -> None:
        """Writes down what is left to write."""
        await self._loop.cancel()
        await self._write(dict(self._used))

    async def recognise(self, api_key: str, address: str) -> Partner:
        """The partner whose live key this is. Raises UNAUTHENTICATED, ADDRESS_NOT_ALLOWED."""
        return self._admit(self._keys.peek(api_key) or await self._keys.get(api_key), address)

    def recall(self, api_key: str, address: str) -> Partner | None:
        """`recognise` for a key that is remembered; None for one that is not. Raises
        ADDRESS_NOT_ALLOWED.
        """
        key = self._keys.peek(api_key)
        return None if key is None else self._admit(key, address)

    def _admit(self, key: _Key, address: str) -> Partner:
        if key.allowed and not rules.address_allowed(address, key.allowed):
            raise DomainError(
                Reason.ADDRESS_NOT_ALLOWED,
                f"the key may not be used from {address}; ask for it to be added to the allow-list",
                address=address,
            )
        self._used[key.key_id] = time.time()
        return key.partner

    async def _load(self, api_key: str) -> _Key:
        given = credentials.read_api_key(api_key)
        if given is None:
            raise unauthenticated()
        async with self._db.transaction() as tx:
            row = (await tx.execute(KEY, {"id": given.key_id})).one_or_none()
        if row is None or not same(row.secret_hash, given.secret_hash):
            raise unauthenticated()
        if is_sandbox(row.partner_id) != given.is_test:  # its text was changed
            raise unauthenticated()
        partner = Partner(
            row.partner_id,
            row.partner_code,
            row.requests_per_minute,
            row.activation_tolerance_basis_points,
        )
        return _Key(row.key_id, partner, rules.networks(row.allowed_addresses))

    async def _note(self) -> None:
        written_before = time.time() - NOTE_SECONDS
        await self._write(
            {
                key_id: used
                for key_id, used in self._used.items()
                if self._noted.get(key_id, 0.0) < written_before
            }
        )

    async def _write(self, uses: Mapping[str, float]) -> None:
        if not uses:
            return
        began = time.time()
        times = [datetime.fromtimestamp(used, UTC) for used in uses.values()]
        try:
            async with self._db.transaction() as tx:
                await tx.execute(NOTE_USES, {"key_ids": list(uses), "times": times})
        except Exception as error:  # noqa: BLE001 - whatever it was, the uses are kept for later
            log.warning("key_uses.not_written", keys=len(uses), error=fault_text(error))
            return
        for key_id, used in uses.items():
            self._noted[key_id] = began
            if self._used.get(key_id) == used:
                del self._used[key_id]


async def on_its_clock(db: Database, caller: Caller) -> Caller:
    """The same caller; a sandbox with what its test clock shows, which is not remembered."""
    if not isinstance(caller, Partner) or not caller.is_test:
        return caller
    async with db.transaction() as tx:
        return replace(caller, time=await sandbox_clocks.read(tx, caller.partner_id))


def unauthenticated() -> DomainError:
    """UNAUTHENTICATED, alike for credentials that are unknown, wrong, expired or revoked."""
    return DomainError(
        Reason.UNAUTHENTICATED,
        "the credentials are unknown, expired or revoked: refresh the access token or log in"
        " again, or use a live API key",
    )
