"""What is sold stays as it was sold, whatever is published: the preview counts it, and a refund is
quoted as before.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from server.catalog.config_versions import (
    PRODUCT,
    PUBLISHED,
    SUPERSEDED,
    ConfigSubject,
    VersionName,
)
from server.configuration import publishing
from server.configuration.preview import PreviewQuery, read_preview
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.errors import Reason
from tests.configuration.test_versions import do, draft, states
from tests.support.changes import changes_are_seen
from tests.support.order_scenario import a_scenario, quote
from tests.support.rpc_server import refusal
from tests.support.traveller import TRAIN, TravellerClient, a_world, party, traveller_server

POLICY_OF_TRAIN = ConfigSubject(PRODUCT, TRAIN)


async def test_a_policy_that_is_published_touches_no_ticket_that_was_sold(
    database_url: str, redis_url: str
) -> None:
    """The catalogue is made by SQL, so its version 1 is what is found."""
    async with (
        a_world(database_url) as sold,
        traveller_server(database_url, redis_url) as server,
        a_scenario(database_url) as scenario,
    ):
        db = Database(load_settings(), database_url)
        await sold.enrol(1)
        client = TravellerClient.of(server.channel, 1)
        paid = await client.order(sold.seat(), passengers=party(2))
        await scenario.pay(paid.order_id)
        held = await client.order(sold.seat(), passengers=party(1))
        before = await quote(client, paid.order_id)
        made = await draft(db, POLICY_OF_TRAIN, policy={"refund_tiers": []})
        async with db.transaction() as tx:
            named = made.subject, made.version
            query = PreviewQuery(30, ("ADULT",))
            now = datetime.now(UTC)
            read = await read_preview(
                tx, [VersionName(*named)], query, zone=ZoneInfo("Asia/Hong_Kong"), now=now
            )
        found = await read.look(limit=99)
        assert (found.kept.live_tickets, found.kept.waiting_orders) == (2, 1)
        assert found.counts.terms == len(found.changes) == 2
        assert {each.terms for each in found.changes} == {("policy",)}
        await do(db, publishing.publish, *named)
        await changes_are_seen()
        after = await quote(client, paid.order_id)
        assert [each.amount_minor for each in after.tickets] == [
            each.amount_minor for each in before.tickets
        ]
        assert after.amount_minor == before.amount_minor > 0
        await scenario.pay(held.order_id)  # sold under the policy it was ordered under
        assert (await quote(client, held.order_id)).amount_minor == before.amount_minor // 2
        assert await states(db, POLICY_OF_TRAIN) == [SUPERSEDED, PUBLISHED]
        new = await client.order(sold.seat(), passengers=party(1))
        await scenario.pay(new.order_id)
        refused = await refusal(quote(client, new.order_id))
        assert refused.reason is Reason.REFUND_REFUSED
        await db.close()
