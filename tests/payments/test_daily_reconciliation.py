"""The daily comparison with the simulator's bill, and what administrators see of it, of
incidents and of dead tasks.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from deeptravel.admin.v1 import account_pb2, admin_service_pb2_grpc, payment_pb2, task_pb2

from server.cli.reconciling import reconcile
from server.identity.accounts import create_administrator
from server.identity.credentials import Passwords
from server.payments.daily_reconciliation import BILL_CLOCK, ask_for_missed
from server.platform.config import ConfigError, load_settings
from server.platform.database import Database
from server.platform.errors import Reason, StartError
from server.wechat.bill import BEIJING
from tests.support.paying import PaymentScenario, a_scenario, merchant_settings
from tests.support.rpc_server import refusal
from tests.support.traveller import passenger

if TYPE_CHECKING:  # known to the .pyi file alone
    from deeptravel.admin.v1.admin_service_pb2_grpc import AdminServiceAsyncStub

PASSWORD = "correct horse battery"


def today() -> date:
    return datetime.now(BEIJING).date()


@pytest.fixture(scope="module")
async def filled_scenario(
    module_database_url: str, module_redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[PaymentScenario]:
    async with a_scenario(
        module_database_url, module_redis_url, tmp_path_factory.mktemp("wechat")
    ) as seeded:
        yield seeded


@pytest.fixture
async def scenario(filled_scenario: PaymentScenario) -> AsyncIterator[PaymentScenario]:
    yield filled_scenario
    await filled_scenario.wechat.begin_again()


class Administrator:
    """An administrator's side of the contract."""

    def __init__(
        self, stub: "AdminServiceAsyncStub", metadata: tuple[tuple[str, str], ...]
    ) -> None:
        self._stub = stub
        self._metadata = metadata

    async def call(self, method: str, request: Any) -> Any:
        return await getattr(self._stub, method)(request, metadata=self._metadata)


@pytest.fixture
async def administrator(scenario: PaymentScenario) -> Administrator:
    db = Database(load_settings(), scenario.database_url)
    async with db.transaction() as tx:
        await create_administrator(
            tx,
            Passwords(),
            username="root",
            display_name="Root",
            password=PASSWORD,
            actor="test",
            now=datetime.now(UTC),
        )
    await db.close()
    stub = admin_service_pb2_grpc.AdminServiceStub(scenario.server.channel)
    request = account_pb2.AdminLoginRequest(username="root", password=PASSWORD)
    tokens = await stub.AdminLogin(request)
    return Administrator(stub, (("authorization", f"Bearer {tokens.access_token}"),))


async def compare(scenario: PaymentScenario, day: date | None = None) -> list[tuple[str, str]]:
    """Compares a day, today's if none, as the outbox does; (kind, number) of what differs."""
    await scenario.world.sql("DELETE FROM reconciliation_differences")
    await scenario.world.sql("DELETE FROM reconciliations")
    await scenario.world.sql(
        "INSERT INTO outbox_tasks (task_id, kind, key, payload, state, due_time, attempts,"
        " create_time, update_time) VALUES (gen_random_uuid(), 'reconcile', %s, '{}', 'OPEN',"
        " now(), 0, now(), now())",
        (day or today()).isoformat(),
    )
    await scenario.world.until("SELECT count(*) = 1 FROM reconciliations")
    return await scenario.world.sql(
        "SELECT kind, CASE WHEN out_refund_no = '' THEN out_trade_no ELSE out_refund_no END"
        " FROM reconciliation_differences ORDER BY difference_no"
    )


async def paid(scenario: PaymentScenario) -> tuple[Any, str]:
    order = await scenario.client.order(scenario.world.package(), passengers=[passenger()])
    number = await scenario.pay(order)
    await scenario.paid(order)
    return order, number


async def refunded(scenario: PaymentScenario) -> str:
    """The out_refund_no of a payment that came too late."""
    await scenario.wechat.switch(hold_notices=True, down={"close": -1})
    order = await scenario.client.order(scenario.world.package(), passengers=[passenger()])
    await scenario.pay(order)
    await scenario.client.cancel(order.order_id)
    await scenario.wechat.switch(hold_notices=False, down={})
    await scenario.world.until("SELECT count(*) = 1 FROM refunds WHERE state = 'SUCCEEDED'")
    # the notice may be first, which does not say when WeChat took it on
    await scenario.world.until("SELECT count(provider_create_time) = 1 FROM refund_parts")
    number: str = await scenario.world.value("SELECT out_refund_no FROM refund_parts")
    return number


async def test_a_day_on_which_all_is_well(
    scenario: PaymentScenario, administrator: Administrator
) -> None:
    for _ in range(3):
        await paid(scenario)
    await refunded(scenario)
    assert await compare(scenario) == []
    found = await administrator.call(
        "ListReconciliations", payment_pb2.ListReconciliationsRequest()
    )
    (run,) = found.reconciliations
    counts = (run.payment_count, run.payment_minor, run.refund_count, run.refund_minor)
    assert (run.bill_date, counts, run.difference_count) == (
        today().isoformat(),
        (4, 200_000, 1, 50_000),
        0,
    )


async def test_what_differs(scenario: PaymentScenario, administrator: Administrator) -> None:
    (_, first), (_, second) = await paid(scenario), await paid(scenario)
    third = await refunded(scenario)
    await scenario.wechat.switch(bill_leaves_out=[first], bill_amount_offset=1)
    await scenario.world.sql("UPDATE refund_parts SET amount_minor = amount_minor - 1")
    of_third = await scenario.world.value(
        "SELECT out_trade_no FROM payments WHERE refunded_minor > 0"
    )
    found = await compare(scenario)
    assert sorted(found) == sorted(
        [
            ("PAYMENT_AMOUNT_DIFFERS", second),
            ("PAYMENT_AMOUNT_DIFFERS", of_third),
            ("PAYMENT_MISSING_THERE", first),
            ("REFUND_AMOUNT_DIFFERS", third),
        ]
    )
    request = payment_pb2.ListReconciliationDifferencesRequest(
        bill_date=today().isoformat(), page_size=3
    )
    page = await administrator.call("ListReconciliationDifferences", request)
    request.page_token = page.next_page_token
    rest = await administrator.call("ListReconciliationDifferences", request)
    listed = [*page.differences, *rest.differences]
    assert [each.kind for each in listed] == [kind for kind, _ in found]
    assert not rest.next_page_token
    (missing,) = [each for each in listed if each.kind == "PAYMENT_MISSING_THERE"]
    assert missing.ours_minor == 50_000
    assert not missing.HasField("theirs_minor")


async def test_what_the_bill_has_and_we_have_not(scenario: PaymentScenario) -> None:
    _, number = await paid(scenario)
    await scenario.world.sql(
        "UPDATE payments SET state = 'PENDING', success_time = NULL, transaction_id = ''"
    )
    assert await compare(scenario) == [("PAYMENT_STATE_DIFFERS", number)]
    await scenario.world.sql("DELETE FROM payments")
    assert await compare(scenario) == [("PAYMENT_MISSING_HERE", number)]


async def test_a_bill_that_is_not_there_or_wrong(scenario: PaymentScenario) -> None:
    """It is asked for again."""
    await paid(scenario)
    for switch in ({"bill_creating": True}, {"bill_sums_wrong": True}, {"bill_hash_wrong": True}):
        await scenario.world.sql("DELETE FROM outbox_tasks WHERE kind = 'reconcile'")
        await scenario.wechat.switch(
            bill_creating=False, bill_sums_wrong=False, bill_hash_wrong=False
        )
        await scenario.wechat.switch(**switch)
        waiting = asyncio.create_task(compare(scenario))
        await scenario.world.until(
            "SELECT count(*) = 1 FROM outbox_tasks WHERE kind = 'reconcile' AND lease_until IS NULL"
            " AND due_time > now() AND state = 'OPEN'"
        )
        assert not waiting.done()
        await scenario.wechat.switch(
            bill_creating=False, bill_sums_wrong=False, bill_hash_wrong=False
        )
        await scenario.world.sql(
            "UPDATE outbox_tasks SET due_time = now() WHERE kind = 'reconcile'"
        )
        assert await waiting == []


async def test_a_refund_is_of_the_day_on_which_wechat_took_it_on(scenario: PaymentScenario) -> None:
    """Not of that on which it was asked for, which may be days before, when WeChat was away or
    refused.

    Seen red: with `refunds.create_time` as our day, it was missing there.
    """
    number = await refunded(scenario)
    begins = datetime.combine(today(), datetime.min.time(), BEIJING)
    taken_on = await scenario.world.value("SELECT provider_create_time FROM refund_parts")
    assert taken_on >= begins - timedelta(hours=1)
    await scenario.world.sql("UPDATE refunds SET create_time = %s", begins - timedelta(days=2))
    for days in (1, 2):
        assert await compare(scenario, today() - timedelta(days=days)) == []
    assert await compare(scenario) == []
    # what WeChat took on at the last moment of yesterday, and is not on that day's bill
    last = begins - timedelta(seconds=1)
    await scenario.world.sql("UPDATE refund_parts SET provider_create_time = %s", last)
    assert await compare(scenario, today() - timedelta(days=1)) == [
        ("REFUND_MISSING_THERE", number)
    ]
    assert await compare(scenario) == [], "it is named by the bill, if of another day"
    await scenario.world.sql("UPDATE refund_parts SET provider_create_time = NULL")
    assert await compare(scenario) == [], "as one from before WeChat's time was kept"


async def test_every_number_that_a_refund_ever_had_is_known(scenario: PaymentScenario) -> None:
    """A bill may name what WeChat closed after it was made. Seen red: without former numbers it was
    missing here.
    """
    number = await refunded(scenario)
    await scenario.world.sql("UPDATE refund_parts SET out_refund_no = out_refund_no || 'A3'")
    # WeChat says that it paid under the first number, which we believe closed
    assert await compare(scenario) == [
        ("REFUND_STATE_DIFFERS", number),
        ("REFUND_MISSING_THERE", f"{number}A3"),
    ]
    await scenario.wechat.switch(bill_refund_state="FAIL")
    await scenario.world.sql("UPDATE refund_parts SET provider_create_time = NULL")
    assert await compare(scenario) == []


async def test_what_failed_when_the_bill_was_made(scenario: PaymentScenario) -> None:
    """And was given back by hand, or later, is right. Seen red: with `by_bill` always, it was
    listed.
    """
    number = await refunded(scenario)
    await scenario.wechat.switch(bill_refund_state="FAIL")
    assert await compare(scenario) == [("REFUND_STATE_DIFFERS", number)]
    later = datetime.combine(today() + timedelta(days=1), time(9, 1), BEIJING)
    await scenario.world.sql("UPDATE refund_parts SET provider_success_time = %s", later)
    assert await compare(scenario) == []
    await scenario.world.sql(
        "UPDATE refund_parts SET provider_success_time = NULL, provider_state = 'ABNORMAL'"
    )
    assert await compare(scenario) == []


async def asked(scenario: PaymentScenario, now: datetime) -> list[str]:
    db = Database(load_settings(), scenario.database_url)
    async with db.transaction() as tx:
        await ask_for_missed(tx, now)
    await db.close()
    rows = await scenario.world.sql(
        "SELECT key FROM outbox_tasks WHERE kind = 'reconcile' ORDER BY key"
    )
    await scenario.world.sql("DELETE FROM outbox_tasks WHERE kind = 'reconcile'")
    return [key for (key,) in rows]


async def test_days_that_were_missed(scenario: PaymentScenario) -> None:
    """Are made up for, at most thirty of them, and none before its bill is there."""
    ten = datetime.combine(today() + timedelta(days=3), BILL_CLOCK)
    assert await asked(scenario, ten) == []
    await paid(scenario)
    await scenario.wechat.switch(down={"trade_bill": -1})
    days = [(today() + timedelta(days=n)).isoformat() for n in range(100)]
    assert await asked(scenario, ten - timedelta(seconds=1)) == days[:2]
    assert await asked(scenario, ten) == days[:3]
    await scenario.world.sql(
        "INSERT INTO reconciliations VALUES (%s, 0, 0, 0, 0, 0, now())", today() + timedelta(days=1)
    )
    assert await asked(scenario, ten) == [days[0], days[2]]
    assert await asked(scenario, ten + timedelta(days=57)) == days[30:60]


async def test_by_command(scenario: PaymentScenario) -> None:
    """A second comparison of a day takes the place of the first."""
    _, number = await paid(scenario)
    settings = load_settings(**merchant_settings(scenario.wechat))
    db = Database(settings, scenario.database_url)
    run, differences = await reconcile(db, settings, today())
    assert (run.payment_count, run.difference_count, differences) == (1, 0, [])
    await scenario.wechat.switch(bill_leaves_out=[number])
    run, differences = await reconcile(db, settings, today())
    assert [each.kind for each in differences] == ["PAYMENT_MISSING_THERE"]
    await scenario.wechat.switch(bill_creating=True)
    with pytest.raises(StartError, match="STATEMENT_CREATING"):
        await reconcile(db, settings, today())
    with pytest.raises(ConfigError):
        await reconcile(db, load_settings(), today())
    assert await scenario.world.value("SELECT count(*) FROM reconciliations") == 1
    await db.close()


# Administrators


async def test_incidents_are_listed_and_resolved(
    scenario: PaymentScenario, administrator: Administrator
) -> None:
    order = await scenario.client.order(scenario.world.seat())
    await scenario.wechat.switch(notice_amount_offset=-1)
    await scenario.pay(order)
    await scenario.world.until("SELECT count(*) = 1 FROM payment_incidents")
    await scenario.post(b"{}", {})
    every = payment_pb2.ListPaymentIncidentsRequest(page_size=1)
    newest = await administrator.call("ListPaymentIncidents", every)
    every.page_token = newest.next_page_token
    older = await administrator.call("ListPaymentIncidents", every)
    assert not older.next_page_token
    (refused,), (wrong,) = newest.payment_incidents, older.payment_incidents
    assert (refused.kind, wrong.kind) == ("NOTICE_REFUSED", "AMOUNT_MISMATCH")
    assert wrong.order_id == order.order_id
    assert (wrong.facts["expected_minor"], wrong.facts["paid_minor"]) == (40_000, 39_999)
    request = payment_pb2.ResolvePaymentIncidentRequest(
        incident_id=wrong.incident_id, comment="a mistake of WeChat's", request_id="r-1"
    )
    resolved = await administrator.call("ResolvePaymentIncident", request)
    assert resolved.payment_incident.resolved_by == "admin:root"
    assert await administrator.call("ResolvePaymentIncident", request) == resolved
    left = await administrator.call(
        "ListPaymentIncidents", payment_pb2.ListPaymentIncidentsRequest()
    )
    assert [each.kind for each in left.payment_incidents] == ["NOTICE_REFUSED"]
    both = payment_pb2.ListPaymentIncidentsRequest(include_resolved=True)
    assert len((await administrator.call("ListPaymentIncidents", both)).payment_incidents) == 2
    audited = "SELECT count(*) FROM audit_events WHERE resource = 'payment_incident'"
    assert await scenario.world.value(audited) == 1
    unknown = payment_pb2.ResolvePaymentIncidentRequest(
        incident_id="00000000-0000-0000-0000-000000000000", comment="?", request_id="r-2"
    )
    found = await refusal(administrator.call("ResolvePaymentIncident", unknown))
    assert found.reason is Reason.NOT_FOUND


async def test_a_day_that_was_not_compared(administrator: Administrator) -> None:
    for text, reason in (("2026-01-01", Reason.NOT_FOUND), ("2026-02-30", Reason.INVALID_FIELD)):
        request = payment_pb2.ListReconciliationDifferencesRequest(bill_date=text)
        found = await refusal(administrator.call("ListReconciliationDifferences", request))
        assert found.reason is reason


async def test_dead_work_is_listed_and_replayed(
    scenario: PaymentScenario, administrator: Administrator
) -> None:
    order = await scenario.client.order(scenario.world.seat())
    await scenario.wechat.switch(lost_notices=True, down={"query": -1})
    await scenario.pay(order)
    await scenario.world.sql(
        "UPDATE outbox_tasks SET state = 'DEAD', last_error = 'no luck' WHERE kind ="
        " 'payment.query'"
    )
    listing = task_pb2.ListDeadTasksRequest(kind="payment.query")
    (dead,) = (await administrator.call("ListDeadTasks", listing)).dead_tasks
    assert (dead.kind, dead.last_error) == ("payment.query", "no luck")
    await scenario.wechat.switch(down={})
    replay = task_pb2.ReplayTaskRequest(task_id=dead.task_id, request_id="r-1")
    answer = await administrator.call("ReplayTask", replay)
    assert answer.task_id == dead.task_id
    await scenario.paid(order)
    assert await administrator.call("ReplayTask", replay) == answer
    replay.request_id = "r-2"
    assert (await refusal(administrator.call("ReplayTask", replay))).reason is Reason.NOT_FOUND
    assert not (await administrator.call("ListDeadTasks", listing)).dead_tasks
