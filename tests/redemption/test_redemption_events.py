"""Taking redemptions back, and reading what was redeemed."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from deeptravel.redemption.v1 import redemption_pb2
from deeptravel.tickets.v1 import ticket_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from server.api import convert
from server.platform.errors import Reason
from tests.support.gate import (
    REFUSAL,
    RESULT,
    Terminal,
    World,
    a_world,
    remaining,
    verdict,
)
from tests.support.gate_server import GateServer, gate_server
from tests.support.redemption_model import Entitlement
from tests.support.rpc_server import refusal

STATE = convert.enum_names(ticket_pb2.TicketState)
WINDOW_SECONDS = 600
TOKENS = Entitlement("tokens", 10, "MULTI_USE", guard_seconds=0)


@pytest.fixture(scope="module")
async def world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url) as filled:
        yield filled


@pytest.fixture(scope="module")
async def server(
    world: World, module_database_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    async with gate_server(module_database_url, module_redis_url) as running:
        yield running


@pytest.fixture
async def terminal(world: World, server: GateServer) -> Terminal:
    return await world.log_in(server.channel)


@pytest.fixture
async def supervisor(world: World, server: GateServer) -> Terminal:
    return await world.log_in(server.channel, "sam", "T-2")


# Reversal


async def test_a_supervisor_takes_a_redemption_back(
    world: World, terminal: Terminal, supervisor: Terminal
) -> None:
    """Uses and (jti, function_code) are free again, and the ticket is what it was before."""
    ticket = await world.ticket()
    ferry = await terminal.redeem(ticket.qr, "ferry", request_id="r-1")
    gift = await terminal.redeem(ticket.qr, "gift")
    back = await supervisor.reverse(ferry.redemption_id, comment="wrong gate")
    assert (back.ticket_code, STATE[back.ticket_status]) == (ticket.code, "PARTIALLY_REDEEMED")
    assert remaining(back) == {"ferry": 1, "gift": 0}
    assert await world.uses(ticket) == (1, 1)
    back = await supervisor.reverse(gift.redemption_id)
    assert STATE[back.ticket_status] == await world.state(ticket) == "ACTIVE"
    assert await world.sql("SELECT * FROM redemption_guards") == []
    again = await terminal.redeem(ticket.qr, "ferry")
    assert (verdict(again), remaining(again)) == ("SUCCESS", {"ferry": 0, "gift": 1})
    results = [result for result, _ in await world.events(ticket)]
    assert results == ["SUCCESS", "SUCCESS", "REVERSED", "REVERSED", "SUCCESS"]
    rows = await world.sql(
        "SELECT operator, terminal_device_id, function_code, quantity, comment FROM"
        " redemption_events WHERE reversed_event_id IS NOT NULL ORDER BY occurred_time"
    )
    assert rows[0] == ("sam", "T-2", "ferry", 1, "wrong gate")
    audited = await world.sql(
        "SELECT actor, name, reason, terminal_device_id FROM audit_events"
        " WHERE action = 'reverse_redemption' ORDER BY occurred_time"
    )
    assert audited[0] == ("supervisor:sam", ticket.code, "wrong gate", "T-2")
    assert len(audited) == 2
    # a repeat of the scan itself is answered as ever
    assert await terminal.redeem(ticket.qr, "ferry", request_id="r-1") == ferry


async def test_a_reversal_is_the_supervisors_of_the_merchant(
    world: World, server: GateServer, terminal: Terminal
) -> None:
    ticket = await world.ticket()
    done = await terminal.redeem(ticket.qr)
    refused = await refusal(terminal.reverse(done.redemption_id))
    assert refused.reason == Reason.ROLE_NOT_ALLOWED
    stranger = await world.log_in(server.channel, "nora", "T-N")
    assert (await refusal(stranger.reverse(done.redemption_id))).reason == Reason.NOT_FOUND
    assert await world.uses(ticket) == (0, 1)


async def test_what_cannot_be_reversed(
    world: World, terminal: Terminal, supervisor: Terminal
) -> None:
    ticket = await world.ticket()
    done, refused_scan = await terminal.redeem(ticket.qr), await terminal.redeem(ticket.qr)
    back = await supervisor.reverse(done.redemption_id)
    for event in (done, refused_scan, back):
        refused = await refusal(supervisor.reverse(event.redemption_id))
        assert refused.reason == Reason.REVERSAL_REFUSED
        assert refused.metadata == {"redemption_id": event.redemption_id}
    unknown = [done.redemption_id[:16] + "0" * 16, "0" * 16 + done.redemption_id[16:], "f" * 32]
    for redemption_id in unknown:
        assert (await refusal(supervisor.reverse(redemption_id))).reason == Reason.NOT_FOUND
    for redemption_id in ("", "0" * 31, "G" * 32):
        refused = await refusal(supervisor.reverse(redemption_id))
        assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("redemption_id",))
    assert await world.uses(ticket) == (1, 1)


@pytest.mark.parametrize(("seconds", "is_open"), [(WINDOW_SECONDS - 60, True), (601, False)])
async def test_the_window(
    world: World, terminal: Terminal, supervisor: Terminal, seconds: int, is_open: bool
) -> None:
    ticket = await world.ticket()
    done = await terminal.redeem(ticket.qr)
    await world.sql(
        "UPDATE redemption_events SET occurred_time = occurred_time - make_interval(secs => %s)",
        seconds,
    )
    if is_open:
        await supervisor.reverse(done.redemption_id)
    else:
        refused = await refusal(supervisor.reverse(done.redemption_id))
        assert refused.reason == Reason.REVERSAL_REFUSED
    assert await world.uses(ticket) == (int(is_open), 1)


@pytest.mark.parametrize("state", ["REFUNDING", "EXPIRED"])
async def test_a_ticket_that_has_moved_on(
    world: World, terminal: Terminal, supervisor: Terminal, state: str
) -> None:
    ticket = await world.ticket()
    done = await terminal.redeem(ticket.qr)
    await world.sql("UPDATE tickets SET state = %s", state)
    refused = await refusal(supervisor.reverse(done.redemption_id))
    assert refused.reason == Reason.REVERSAL_REFUSED
    assert (await world.state(ticket), await world.uses(ticket)) == (state, (0, 1))


async def test_a_reversal_gives_back_what_its_redemption_took(
    world: World, terminal: Terminal, supervisor: Terminal
) -> None:
    """Of several redemptions of one QR, in any order; a later one keeps its guard."""
    terms = TOKENS._replace(guard_seconds=60)
    ticket = await world.ticket([terms])
    first = await terminal.redeem(ticket.qr, "tokens", quantity=3)
    await world.sql("UPDATE redemption_guards SET redeemed_time = redeemed_time - interval '60 s'")
    second = await terminal.redeem(ticket.qr, "tokens", quantity=2)
    back = await supervisor.reverse(first.redemption_id)
    assert (remaining(back), STATE[back.ticket_status]) == ({"tokens": 8}, "PARTIALLY_REDEEMED")
    held = await terminal.redeem(ticket.qr, "tokens")
    assert (verdict(held), held.earlier.redemption_id) == (
        "ALREADY_REDEEMED",
        second.redemption_id,
    )
    back = await supervisor.reverse(second.redemption_id)
    assert (remaining(back), STATE[back.ticket_status]) == ({"tokens": 10}, "ACTIVE")
    assert verdict(await terminal.redeem(ticket.qr, "tokens", quantity=10)) == "SUCCESS"


async def test_a_reversal_after_a_rotation(
    world: World, terminal: Terminal, supervisor: Terminal
) -> None:
    former = await world.ticket()
    done = await terminal.redeem(former.qr)
    new = await world.rotate(former)
    assert verdict(await terminal.redeem(new.qr)) == "NO_USES_LEFT"
    await supervisor.reverse(done.redemption_id)
    assert verdict(await terminal.redeem(former.qr)) == "QR_SUPERSEDED"
    assert verdict(await terminal.redeem(new.qr)) == "SUCCESS"


async def test_a_repeated_reversal_gets_the_first_answer(
    world: World, terminal: Terminal, supervisor: Terminal
) -> None:
    ticket, other = await world.tickets(2)
    done, done_too = await terminal.redeem(ticket.qr), await terminal.redeem(other.qr)
    first = await supervisor.reverse(done.redemption_id, request_id="r-1")
    assert await supervisor.reverse(done.redemption_id, request_id="r-1") == first
    refused = await refusal(supervisor.reverse(done_too.redemption_id, request_id="r-1"))
    assert refused.reason == Reason.IDEMPOTENCY_MISMATCH
    assert [result for result, _ in await world.events(ticket)] == ["SUCCESS", "REVERSED"]
    assert await world.events(other) == [("SUCCESS", "")]


# Reading


async def listed(terminal: Terminal, **filters: Any) -> Any:
    request = redemption_pb2.ListRedemptionsRequest(**filters)
    return await terminal.call("ListRedemptions", request)


async def pages(terminal: Terminal, page_size: int, **filters: Any) -> list[Any]:
    found, token = [], ""
    while True:
        page = await listed(terminal, page_size=page_size, page_token=token, **filters)
        assert len(page.redemptions) <= page_size
        found += page.redemptions
        token = page.next_page_token
        if not token:
            return found


async def test_every_kind_of_event_is_listed(
    world: World, terminal: Terminal, supervisor: Terminal
) -> None:
    ticket = await world.ticket([TOKENS])
    done = await terminal.redeem(ticket.qr, "tokens", quantity=2)
    refused = await terminal.redeem(ticket.qr, "ferry")
    unknown = await supervisor.redeem("garbage")
    back = await supervisor.reverse(done.redemption_id)
    page = await listed(terminal)
    assert page.next_page_token == ""
    answers: list[Any] = [back, unknown, refused, done]
    assert [r.redemption_id for r in page.redemptions] == [a.redemption_id for a in answers]
    assert [(RESULT[r.result], REFUSAL[r.reason]) for r in page.redemptions] == [
        ("REVERSED", ""),
        ("REJECT", "TOKEN_INVALID"),
        ("REJECT", "FUNCTION_NOT_INCLUDED"),
        ("SUCCESS", ""),
    ]
    newest, stray, _, oldest = page.redemptions
    assert newest.reversed_redemption_id == done.redemption_id
    assert (stray.ticket_code, stray.jti, stray.operator) == ("", "", "sam")
    assert (oldest.ticket_code, oldest.jti) == (ticket.code, str(ticket.jti))
    assert (oldest.function_code, oldest.quantity) == ("tokens", 2)
    assert (oldest.operator, oldest.terminal_device_id) == ("olga", "T-1")
    assert (oldest.merchant_code, oldest.venue_code) == ("M", "PIER")
    assert abs(oldest.redeemed_at.ToDatetime(UTC) - datetime.now(UTC)) < timedelta(minutes=1)


async def insert_events(world: World, count: int, *, at: datetime, **columns: Any) -> None:
    """Events of one moment, five of each event_id: other tickets may have had the same."""
    row = {
        "function_code": "ferry",
        "result": "SUCCESS",
        "reason": None,
        "merchant_code": "M",
        "venue_code": "PIER",
        "terminal_device_id": "T-1",
        "operator": "olga",
        "jti": UUID(int=0),
    } | columns
    await world.sql(
        "INSERT INTO redemption_events (ticket_id, event_id, ticket_code, quantity, occurred_time,"
        f" {', '.join(row)}) SELECT n, n / 5, 'OTA-CP-20261121-000001', 2, %s,"
        f" {', '.join(['%s'] * len(row))} FROM generate_series(1, %s) AS n",
        at,
        *row.values(),
        count,
    )
    # nothing of the past is summed, so that what is new there counts
    await world.sql("DELETE FROM redemption_sums")
    await world.sql("UPDATE redemption_sums_mark SET until_time = '2026-01-01Z'")


@pytest.mark.parametrize("page_size", [1, 7, 50, 200])
async def test_pages_neither_skip_nor_repeat(
    world: World, terminal: Terminal, page_size: int
) -> None:
    """Although many events have the same time, and some even the same event_id."""
    now = datetime.now(UTC).replace(microsecond=123456)
    for number, moment in enumerate((now, now - timedelta(microseconds=1)), 1):
        await insert_events(world, 60, at=moment, terminal_device_id=f"T-{moment.microsecond}")
        # those that are there already stay: a key may not be taken even for a moment
        away = "UPDATE redemption_events SET ticket_id = ticket_id + %s WHERE ticket_id <= 60"
        await world.sql(away, 1000 * number)
    found = [r.redemption_id for r in await pages(terminal, page_size)]
    everything = await world.sql(
        "SELECT lpad(to_hex(ticket_id), 16, '0') || lpad(to_hex(event_id), 16, '0')"
        " FROM redemption_events"
    )
    assert sorted(found) == sorted(redemption_id for (redemption_id,) in everything)


async def test_what_happens_between_two_pages_shifts_nothing(
    world: World, terminal: Terminal
) -> None:
    await insert_events(world, 20, at=datetime.now(UTC) - timedelta(seconds=1))
    first = await listed(terminal, page_size=10)
    await terminal.redeem((await world.ticket()).qr)
    second = await listed(terminal, page_size=10, page_token=first.next_page_token)
    ids = {r.redemption_id for r in (*first.redemptions, *second.redemptions)}
    assert (len(ids), second.next_page_token) == (20, "")


async def test_filters(world: World, server: GateServer, terminal: Terminal) -> None:
    shop = await world.log_in(server.channel, "sam", "T-SHOP")
    ticket, other = await world.tickets(2)
    await terminal.redeem(ticket.qr, "ferry")
    await terminal.redeem(ticket.qr, "ferry")
    await shop.redeem(other.qr, "gift")
    middle = datetime.now(UTC)
    await shop.redeem(ticket.qr, "gift")
    new = await world.rotate(other)
    await terminal.redeem(new.qr, "ferry")

    async def count(**filters: Any) -> int:
        return len((await listed(terminal, **filters)).redemptions)

    at = Timestamp()
    at.FromDatetime(middle)
    reject = redemption_pb2.REDEMPTION_RESULT_REJECT
    assert await count() == 5
    assert await count(ticket_code=ticket.code) == 3
    assert await count(ticket_code="OTA-CP-20261121-000099") == 0
    assert await count(ticket_code="garbage") == 0
    assert await count(jti=str(other.jti)) == 1
    assert await count(jti=str(uuid4())) == 0
    assert await count(terminal_device_id="T-SHOP") == 2
    assert await count(operator="olga") == 3
    assert await count(result=reject) == 1
    assert await count(time_from=at) == 2
    assert await count(time_until=at) == 3
    assert await count(time_from=at, time_until=at) == 0
    assert await count(ticket_code=ticket.code, operator="olga", time_until=at) == 2
    for fields, field in (({"jti": "no-uuid"}, "jti"), ({"page_size": 201}, "page_size")):
        refused = await refusal(listed(terminal, **fields))
        assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, (field,))


async def test_a_page_token_is_of_its_filters_and_its_caller(
    world: World, terminal: Terminal, supervisor: Terminal
) -> None:
    await insert_events(world, 20, at=datetime.now(UTC))
    token = (await listed(terminal, page_size=5, operator="olga")).next_page_token
    assert token
    for caller, filters in (
        (terminal, {"operator": "sam"}),
        (terminal, {}),
        (supervisor, {"operator": "olga"}),
    ):
        refused = await refusal(listed(caller, page_token=token, **filters))
        assert refused.reason == Reason.PAGE_TOKEN_INVALID
    refused = await refusal(listed(terminal, page_token="garbage"))
    assert refused.reason == Reason.PAGE_TOKEN_INVALID
    more = await listed(terminal, page_size=9, operator="olga", page_token=token)
    assert len(more.redemptions) == 9


async def test_a_merchant_sees_its_own_an_administrator_must_say_whose(
    world: World, server: GateServer, terminal: Terminal
) -> None:
    stranger = await world.log_in(server.channel, "nick", "T-N")
    ticket = await world.ticket()
    await terminal.redeem(ticket.qr)
    await stranger.redeem(ticket.qr)
    admin = await world.log_in(server.channel, "root", None)
    for caller, filters, merchants in (
        (terminal, {}, ["M"]),
        (terminal, {"merchant_code": "N"}, ["M"]),
        (stranger, {"ticket_code": ticket.code}, ["N"]),
        (admin, {"merchant_code": "N"}, ["N"]),
        (admin, {"ticket_code": ticket.code}, ["N", "M"]),
        (admin, {"jti": str(ticket.jti)}, ["N", "M"]),
    ):
        page = await listed(caller, **filters)
        assert [r.merchant_code for r in page.redemptions] == merchants
    refused = await refusal(listed(admin))
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("merchant_code",))


# Summaries


async def summarized(terminal: Terminal, **fields: Any) -> list[tuple[Any, ...]]:
    request = redemption_pb2.SummarizeRedemptionsRequest(**fields)
    answer = await terminal.call("SummarizeRedemptions", request)
    return [
        (r.function_code, RESULT[r.result], REFUSAL[r.reason], r.group, r.events, r.uses)
        for r in answer.rows
    ]


async def test_summary_of_today(world: World, terminal: Terminal, supervisor: Terminal) -> None:
    ticket = await world.ticket([TOKENS, Entitlement("ferry")])
    done = await terminal.redeem(ticket.qr, "tokens", quantity=3)
    await supervisor.redeem(ticket.qr, "tokens", quantity=2)
    await terminal.redeem(ticket.qr, "ferry")
    await terminal.redeem(ticket.qr, "ferry")
    await supervisor.reverse(done.redemption_id)
    assert await summarized(terminal) == [
        ("ferry", "REJECT", "ALREADY_REDEEMED", "", 1, 0),
        ("ferry", "SUCCESS", "", "", 1, 1),
        ("tokens", "REVERSED", "", "", 1, 3),
        ("tokens", "SUCCESS", "", "", 2, 5),
    ]
    by_operator = await summarized(terminal, group_by=redemption_pb2.SUMMARY_GROUPING_OPERATOR)
    assert by_operator[2:] == [
        ("tokens", "REVERSED", "", "sam", 1, 3),
        ("tokens", "SUCCESS", "", "olga", 1, 3),
        ("tokens", "SUCCESS", "", "sam", 1, 2),
    ]


async def test_summary_groups(world: World, server: GateServer, terminal: Terminal) -> None:
    """Days are the venue's (Asia/Hong_Kong); the span includes its beginning, not its end."""
    midnight = datetime(2026, 11, 19, 16, tzinfo=UTC)  # of the 20th in Hong Kong
    moment = timedelta(microseconds=1)
    for number, (at, columns) in enumerate(
        [
            (midnight - moment, {"terminal_device_id": "T-1"}),
            (midnight, {"terminal_device_id": "T-2", "venue_code": "SHOP"}),
            (midnight + timedelta(days=1) - moment, {"operator": "sam"}),
            (midnight + timedelta(days=1), {}),
            (midnight, {"merchant_code": "N"}),
        ]
    ):
        await insert_events(world, 10, at=at, **columns)
        await world.sql("UPDATE redemption_events SET ticket_id = ticket_id + 1000")
        assert number < 5
    start, end = Timestamp(), Timestamp()
    start.FromDatetime(midnight - moment)
    end.FromDatetime(midnight + timedelta(days=1))
    expected = {
        "UNSPECIFIED": {"": 30},
        "DAY": {"2026-11-19": 10, "2026-11-20": 20},
        "TERMINAL": {"T-1": 20, "T-2": 10},
        "OPERATOR": {"olga": 20, "sam": 10},
        "VENUE": {"PIER": 20, "SHOP": 10},
    }
    for name, groups in expected.items():
        group_by = redemption_pb2.SummaryGrouping.Value(f"SUMMARY_GROUPING_{name}")
        rows = await summarized(terminal, time_from=start, time_until=end, group_by=group_by)
        assert rows == [
            ("ferry", "SUCCESS", "", group, events, 2 * events) for group, events in groups.items()
        ]
    stranger = await world.log_in(server.channel, "nick", "T-N")
    rows = await summarized(stranger, time_from=start, time_until=end)
    assert rows == [("ferry", "SUCCESS", "", "", 10, 20)]
    admin = await world.log_in(server.channel, "root", None)
    span = {"time_from": start, "time_until": end}
    assert await summarized(admin, merchant_code="N", **span) == rows
    refused = await refusal(summarized(admin, **span))
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("merchant_code",))


async def test_summary_days_are_those_of_the_operators_venue(
    world: World, server: GateServer, terminal: Terminal
) -> None:
    """Of an administrator those of the platform. Seen red: all of them had the platform's."""
    east, west = [
        await world.log_in(server.channel, device=device) for device in ("T-EAST", "T-WEST")
    ]
    root = await world.log_in(server.channel, "root", None)
    at = datetime(2026, 11, 19, 10, 30, tzinfo=UTC)  # half past midnight in Kiritimati, of the 20th
    await insert_events(world, 1, at=at)
    start, end = Timestamp(), Timestamp()
    start.FromDatetime(at)
    end.FromDatetime(at + timedelta(hours=1))
    by_day: dict[str, Any] = {"time_from": start, "time_until": end}
    by_day["group_by"] = redemption_pb2.SUMMARY_GROUPING_DAY
    for caller, fields, day in (
        (east, {}, "2026-11-20"),
        (terminal, {}, "2026-11-19"),
        (west, {}, "2026-11-18"),
        (root, {"merchant_code": "M"}, "2026-11-19"),
    ):
        assert await summarized(caller, **by_day, **fields) == [("ferry", "SUCCESS", "", day, 1, 2)]
    # without a span it is today, and that begins with the venue's day
    for caller, zone in ((east, "Pacific/Kiritimati"), (west, "Pacific/Pago_Pago")):
        await world.sql("DELETE FROM redemption_events")
        midnight = datetime.combine(datetime.now(ZoneInfo(zone)), time(), ZoneInfo(zone))
        await insert_events(world, 3, at=midnight - timedelta(microseconds=1))
        await world.sql("UPDATE redemption_events SET ticket_id = ticket_id + 1000")
        await insert_events(world, 1, at=midnight)
        assert await summarized(caller) == [("ferry", "SUCCESS", "", "", 1, 2)]


@pytest.mark.parametrize(
    "span", [timedelta(), timedelta(seconds=-1), timedelta(days=31, seconds=1)]
)
async def test_summary_spans(world: World, terminal: Terminal, span: timedelta) -> None:
    start, end = Timestamp(), Timestamp()
    start.FromDatetime(datetime(2026, 10, 1, tzinfo=UTC))
    end.FromDatetime(datetime(2026, 10, 1, tzinfo=UTC) + span)
    refused = await refusal(summarized(terminal, time_from=start, time_until=end))
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("time_until",))
