"""A partner whose sales are booked: what it does with real calls, and what the ledger has of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

import grpc
from deeptravel.ota.v1 import ota_service_pb2 as ota
from deeptravel.redemption.v1 import redemption_pb2

from server.platform.database import Database
from server.tickets import tickets
from tests.support import gate
from tests.support.partner_client import (
    FARE_MINOR,
    Market,
    PartnerClient,
    customer,
    payment,
    request_id,
)

STAFF = """
INSERT INTO merchants VALUES ('M', 'Ferries', '{ferry,gift}', 600, 'ACTIVE', now(), now());
INSERT INTO venues VALUES ('PIER', 'M', 'Pier', 'Asia/Hong_Kong', '{}', 'ACTIVE', now(), now());
INSERT INTO terminals VALUES ('T-1', 'PIER', '', 'ACTIVE', now(), now());
INSERT INTO accounts VALUES
  ('sam', 'SUPERVISOR', 'M', '{}', '', '', 'ACTIVE', now(), now(), '{}'),
  ('root', 'ADMIN', NULL, '{}', '', '', 'ACTIVE', now(), now(), '{ADMINISTRATOR}')
"""
ALL_POSTED = """
SELECT NOT EXISTS (SELECT FROM partner_events WHERE sequence IS NULL) AND NOT EXISTS (
  SELECT FROM partner_feeds f LEFT JOIN ledgers l USING (partner_id)
  WHERE f.last_sequence <> coalesce(l.posted_sequence, -1))
"""
ENTRIES = "SELECT * FROM ledger_entries ORDER BY partner_id, sequence, line"


@dataclass
class Bookings:
    """What a partner sells and what is redeemed of it."""

    market: Market
    client: PartnerClient
    terminal: gate.Terminal
    redemptions: dict[str, str] = field(default_factory=dict)

    @classmethod
    async def begin(cls, market: Market, channel: grpc.aio.Channel) -> "Bookings":
        """Two distributors, one below the other, and a terminal with a supervisor."""
        for statement in STAFF.split(";\n"):
            await market.sql(statement)
        client = PartnerClient.at(channel)
        await client.distributor("north", commission_basis_points=1_000, display_name="北方分销")
        await client.distributor("shop", "north", commission_basis_points=333)
        terminal = await gate.World(market.pg, market.ring).log_in(channel, "sam")
        return cls(market, client, terminal)

    async def sold(self, quantity: int, **fields: Any) -> ota.BulkGenerateTicketsResponse:
        """A batch that is born sold."""
        sale = ota.Activation(
            customer=customer(), payment=payment(amount_minor=FARE_MINOR * quantity)
        )
        return await self.client.batch(quantity, activation=sale, **fields)

    async def redeem(self, code: str, function: str = "ferry") -> bool:
        """Whether the gate took it."""
        ((number, jti),) = await self.market.sql(
            "SELECT ticket_id, jti FROM tickets WHERE ticket_code = %s", code
        )
        token = gate.World(self.market.pg, self.market.ring).seal(jti, number)
        answer = await self.terminal.redeem(token, function)
        if gate.verdict(answer) != "SUCCESS":
            return False
        self.redemptions[f"{code} {function}"] = answer.redemption_id
        return True

    async def reverse(self, code: str, function: str = "ferry") -> None:
        """Takes the redemption back, and gives the ticket a QR that was not used."""
        request = redemption_pb2.ReverseRedemptionRequest(
            redemption_id=self.redemptions.pop(f"{code} {function}"),
            comment="mistake",
            request_id=request_id(),
        )
        await self.terminal.call("ReverseRedemption", request)

    async def move(self, db: Database, code: str, states: Sequence[str], to: str) -> None:
        """As the clock does, or a refund."""
        number = await self.market.value(
            "SELECT ticket_id FROM tickets WHERE ticket_code = %s", code
        )
        how: Any = {"action": to.lower(), "actor": "system", "now": datetime.now(UTC)}
        async with db.transaction() as tx:
            assert await tickets.move(tx, [number], states, to, **how) == {number}

    async def at_random(self, db: Database, random: Random, steps: int) -> None:
        """A history of so many steps."""
        unsold: list[str] = await self.client.codes(4, distributor_id="shop")
        active: list[str] = []
        for _ in range(steps):
            step = random.choice(
                [
                    "batch",
                    "activate",
                    "activate",
                    "redeem",
                    "redeem",
                    "reverse",
                    "cancel",
                    "reassign",
                    "expire",
                    "refund",
                    "sold",
                ]
            )
            if step == "batch":
                seller = random.choice(["", "north", "shop", "free text"])
                unsold += await self.client.codes(random.randint(1, 3), distributor_id=seller)
            elif step == "sold":
                batch = await self.sold(random.randint(1, 3), distributor_id="shop")
                active += [ticket.ticket_code for ticket in batch.tickets]
            elif step in {"activate", "cancel", "reassign"} and unsold:
                await self._of_unsold(step, random, unsold, active)
            elif step in {"redeem", "expire", "refund"} and active:
                await self._of_active(db, step, random, active)
            elif step == "reverse" and self.redemptions:
                code, function = random.choice(sorted(self.redemptions)).split()
                if code in active:
                    await self.reverse(code, function)

    async def _of_unsold(
        self, step: str, random: Random, unsold: list[str], active: list[str]
    ) -> None:
        code = random.choice(unsold)
        if step == "reassign":
            await self.client.reassign([code], random.choice(["", "north", "shop"]))
            return
        unsold.remove(code)
        if step == "activate":
            await self.client.activate(code)
            active.append(code)
        else:
            await self.client.cancel([code])

    async def _of_active(self, db: Database, step: str, random: Random, active: list[str]) -> None:
        code = random.choice(active)
        if step == "redeem":
            await self.redeem(code, random.choice(["ferry", "gift"]))
            return
        state = await self.market.value("SELECT state FROM tickets WHERE ticket_code = %s", code)
        if state not in {"ACTIVE", "PARTIALLY_REDEEMED"}:
            return
        active.remove(code)
        if step == "expire":
            await self.move(db, code, [state], "EXPIRED")
        else:
            await self.move(db, code, [state], "REFUNDING")
            await self.move(db, code, ["REFUNDING"], "REFUNDED")
