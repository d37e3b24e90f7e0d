"""What the client repeats, what not, and what it says of a failure."""

import asyncio
from typing import Any

import grpc
import pytest
from deeptravel import AsyncClient, CallError, Client, Reason, RetryPolicy, ota, redemption
from google.rpc import error_details_pb2

from tests.conftest import FEW, QUICK, FakeServer, failure

GONE = failure(grpc.StatusCode.UNAVAILABLE)


def wait(seconds: float) -> Any:
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(int(seconds * 1000))
    return retry


def test_a_change_is_repeated_under_its_request_id(fake: FakeServer, client: Client) -> None:
    """One id for all attempts. Seen red with an id made for each attempt."""
    fake.script = [GONE, GONE]
    client.ota.bulk_generate_tickets(product_id=106, quantity=3)
    assert len(fake.asked) == 3
    assert len({each.request_id for each in fake.asked}) == 1
    assert fake.asked[0].request_id


def test_a_callers_own_request_id_is_kept(fake: FakeServer, client: Client) -> None:
    client.ota.bulk_generate_tickets(product_id=106, quantity=3, request_id="mine")
    assert fake.asked[0].request_id == "mine"


def test_a_read_is_repeated(fake: FakeServer, client: Client) -> None:
    fake.script = [failure(grpc.StatusCode.UNAVAILABLE, Reason.DATABASE_UNAVAILABLE)]
    client.ota.get_inventory()
    assert len(fake.asked) == 2


@pytest.mark.parametrize("status", [GONE, failure(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")])
def test_what_may_do_harm_twice_is_called_once(
    fake: FakeServer, client: Client, status: Any
) -> None:
    """A log-in has no request id. Seen red with repeats of every call."""
    fake.script = [status]
    with pytest.raises(CallError):
        client.logged_in_operator("operator", "password", "T-1")
    assert len(fake.asked) == 1


def test_what_was_not_begun_is_repeated_even_so(fake: FakeServer, client: Client) -> None:
    """The contract says of these reasons that nothing was done."""
    fake.script = [
        failure(grpc.StatusCode.RESOURCE_EXHAUSTED, Reason.SERVER_BUSY, wait(0.001)),
        failure(grpc.StatusCode.ABORTED, Reason.CONFLICT, wait(0.001)),
    ]
    client.logged_in_operator("operator", "password", "T-1")
    assert len(fake.asked) == 3


def test_attempts_end(fake: FakeServer, client: Client) -> None:
    fake.script = [GONE] * 10
    with pytest.raises(CallError, match="BulkGenerateTickets UNAVAILABLE") as raised:
        client.ota.bulk_generate_tickets(product_id=106, quantity=3)
    assert len(fake.asked) == QUICK.attempts
    assert raised.value.request_id == fake.asked[0].request_id


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.FAILED_PRECONDITION, "SOLD_OUT"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "LOGIN_LOCKED"),  # a repeat makes it worse
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ""),  # gRPC's own: an answer that is too large
        (grpc.StatusCode.UNAVAILABLE, "OF_A_NEWER_SERVER"),
        (grpc.StatusCode.INTERNAL, "INTERNAL"),
    ],
)
def test_it_is_the_reason_that_counts(
    fake: FakeServer, client: Client, code: grpc.StatusCode, reason: str
) -> None:
    """Seen red where the code decided: LOGIN_LOCKED was repeated."""
    fake.script = [failure(code, reason)]
    with pytest.raises(CallError) as raised:
        client.ota.get_inventory()
    assert (raised.value.code, raised.value.reason) == (code, reason)
    assert len(fake.asked) == 1


def test_a_refusal_says_everything(fake: FakeServer, client: Client) -> None:
    info = error_details_pb2.ErrorInfo(
        reason="INVALID_FIELD", domain="deeptravel", metadata={"violations_left_out": "2"}
    )
    bad = error_details_pb2.BadRequest()
    bad.field_violations.add(field="quantity", description="at least 1")
    fake.script = [failure(grpc.StatusCode.INVALID_ARGUMENT, "", info, bad)]
    with pytest.raises(CallError) as raised:
        client.ota.bulk_generate_tickets(product_id=106, quantity=0, request_id="mine")
    found = raised.value
    assert found.reason == Reason.INVALID_FIELD
    assert found.metadata == {"violations_left_out": "2"}
    assert [(each.field, each.description) for each in found.violations] == [
        ("quantity", "at least 1")
    ]
    assert (found.server_request_id, found.request_id) == ("server-7", "mine")
    assert found.method == "BulkGenerateTickets"
    assert found.message == "so it is"


@pytest.mark.parametrize("details", [b"\xff\xff not a Status", b""])
def test_details_that_cannot_be_read_are_left_out(
    fake: FakeServer, client: Client, details: bytes
) -> None:
    """grpc_status raises ValueError for these. Seen red with its `from_call`."""
    fake.script = [details] * QUICK.attempts
    with pytest.raises(CallError) as raised:
        client.ota.get_inventory()
    assert (raised.value.code, raised.value.reason) == (grpc.StatusCode.UNAVAILABLE, "")
    assert len(fake.asked) == QUICK.attempts


def test_a_proxys_reason_is_none_of_ours(fake: FakeServer, client: Client) -> None:
    info = error_details_pb2.ErrorInfo(reason="SOLD_OUT", domain="envoy")
    fake.script = [failure(grpc.StatusCode.FAILED_PRECONDITION, "", info)]
    with pytest.raises(CallError) as raised:
        client.ota.get_inventory()
    assert raised.value.reason == ""


def test_a_server_that_is_not_there() -> None:
    with (
        Client("127.0.0.1:1", plaintext=True, retry=QUICK) as nobody,
        pytest.raises(CallError) as raised,
    ):
        nobody.ota.get_inventory(timeout=5)
    assert raised.value.code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
    assert (raised.value.reason, raised.value.server_request_id) == ("", "")


def test_a_long_wait_is_the_callers_decision(fake: FakeServer, client: Client) -> None:
    fake.script = [failure(grpc.StatusCode.RESOURCE_EXHAUSTED, Reason.RATE_LIMITED, wait(60))]
    with pytest.raises(CallError) as raised:
        client.ota.bulk_generate_tickets(product_id=106, quantity=3)
    assert raised.value.retry_seconds == 60
    assert len(fake.asked) == 1


def test_the_deadline_is_one_for_all_attempts(fake: FakeServer, client: Client) -> None:
    """Each attempt gets what is left. Seen red with the whole time for each."""
    fake.script = [failure(grpc.StatusCode.ABORTED, Reason.CONFLICT, wait(0.3))] * 2
    client.ota.get_inventory(timeout=8)
    first, second, third = fake.timeouts
    assert first <= 8.1
    assert second <= first - 0.2  # gRPC rounds the header
    assert third <= second - 0.2


def test_no_pause_goes_past_the_deadline(fake: FakeServer, client: Client) -> None:
    fake.script = [failure(grpc.StatusCode.ABORTED, Reason.CONFLICT, wait(5))]
    with pytest.raises(CallError, match="CONFLICT"):
        client.ota.get_inventory(timeout=3)


def test_every_call_has_a_deadline(fake: FakeServer, address: str) -> None:
    with Client(address, api_key="key", plaintext=True, timeout=12) as calling:
        calling.ota.get_inventory()
    assert 0 < fake.timeouts[0] <= 12.1


def test_pages(fake: FakeServer, client: Client) -> None:
    found = [each.ticket_code for each in client.ota.iter_tickets(page_size=2)]
    assert found == ["T-00", "T-01", "T-10", "T-11", "T-20", "T-21"]
    assert [each.page_token for each in fake.asked] == ["", "1", "2"]


def test_a_stream_goes_on_where_it_broke(fake: FakeServer, client: Client) -> None:
    """Nothing twice, nothing left out. Seen red without `passed`: it began anew."""
    fake.breaks_after = [2, 1]
    found = [each.ticket_code for each in client.ota.stream_batch_tickets(batch_id="b")]
    assert found == [f"T-{n}" for n in range(FEW)]
    assert [each.after_ticket_code for each in fake.asked] == ["", "T-1", "T-2"]


def test_a_stream_that_gets_nowhere_ends(fake: FakeServer, client: Client) -> None:
    """After one step forward it breaks at once, each time."""
    fake.breaks_after = [1] + [0] * 20
    with pytest.raises(CallError, match="UNAVAILABLE"):
        list(client.ota.stream_batch_tickets(batch_id="b"))
    assert len(fake.asked) == QUICK.attempts


def test_breaks_between_progress_do_not_add_up(fake: FakeServer, address: str) -> None:
    fake.breaks_after = [1] * (FEW - 1)
    twice = RetryPolicy(attempts=2, first_pause_seconds=0.001)
    with Client(address, api_key="k", plaintext=True, retry=twice) as calling:
        assert len(list(calling.ota.stream_batch_tickets(batch_id="b"))) == FEW


def exported(parts: Any) -> list[str]:
    return [ticket.ticket_code for part in parts for ticket in part.tickets]


def test_an_export_goes_on_where_it_broke(fake: FakeServer, client: Client) -> None:
    """After the last ticket of a part; a part without any changes nothing. Seen red where exports
    were not opened again, and where such a part began it anew.
    """
    fake.breaks_after = [2, 0]
    assert exported(client.ota.export_tickets()) == [f"T-{n}" for n in range(FEW)]
    assert [each.after_ticket_code for each in fake.asked] == ["", "T-3", "T-3"]


def test_what_cannot_go_on_is_opened_again_only_before_anything_came(
    fake: FakeServer, client: Client
) -> None:
    """Whatever the reason: a file would have its beginning twice. Seen red with a reason of
    NOT_BEGUN, which was repeated in the middle.
    """
    file = {"month": "2026-11", "format": ota.STATEMENT_FORMAT_CSV}
    fake.breaks_after = [0, 0]
    parts = client.ota.download_statement(**file)  # type: ignore[arg-type]
    assert b"".join(part.body.data for part in parts) == b"01234"
    assert len(fake.asked) == 3
    fake.breaks_after = [2]
    with pytest.raises(CallError, match="SERVER_BUSY"):
        list(client.ota.download_statement(**file))  # type: ignore[arg-type]
    assert len(fake.asked) == 4


def test_events_are_followed_and_acknowledged(fake: FakeServer, client: Client) -> None:
    """Page by page, on from where the server knows. Who breaks off gets that page again."""
    followed = client.follow_events(page_size=2, pause_seconds=None)
    assert [next(followed).cursor for _ in range(3)] == [1, 2, 3]
    assert fake.acknowledged == 2
    followed.close()  # type: ignore[attr-defined]
    assert fake.acknowledged == 2
    again = [each.cursor for each in client.follow_events(pause_seconds=None)]
    assert (again, fake.acknowledged) == ([3, 4, 5], FEW)
    assert list(client.follow_events(pause_seconds=None)) == []


def test_events_of_other_types_are_passed_over(fake: FakeServer, client: Client) -> None:
    fake.newest = 4
    odd = client.follow_events(types=["ticket.redeemed"], pause_seconds=None)
    assert [each.cursor for each in odd] == [1, 3]
    assert fake.acknowledged == 4


def test_events_are_waited_for(fake: FakeServer, client: Client) -> None:
    fake.newest = 1
    followed = client.follow_events(pause_seconds=0.001)
    assert next(followed).cursor == 1
    fake.newest = 2
    assert next(followed).cursor == 2


def test_an_order_is_watched_on(fake: FakeServer, client: Client) -> None:
    fake.breaks_after = [1, 0]
    assert [each.sequence for each in client.ticketing.watch_order(order_id="O")] == [1, 2]


def test_each_scan_of_a_stream_has_an_id(fake: FakeServer, client: Client) -> None:
    scan = redemption.RedeemRequest(qr_token="q")
    mine = redemption.RedeemRequest(qr_token="q", request_id="mine")
    scans = [
        redemption.ScanStreamRequest(scan_id=str(number), scan=each)
        for number, each in enumerate([scan, scan, mine])
    ]
    assert len(list(client.redemption.scan_stream(iter(scans)))) == 3
    *made, kept = [each.scan.request_id for each in fake.asked]
    assert len({*made} - {""}) == 2
    assert kept == "mine"


def test_an_access_token_that_is_over_is_refreshed(fake: FakeServer, client: Client) -> None:
    terminal = client.logged_in_operator("operator", "password", "T-1")
    for token in ("first", "second"):
        fake.token = token
        assert terminal.redemption.decrypt_qr(encrypted_data="qr").ticket_code == "T"
        assert terminal.redemption.decrypt_qr(encrypted_data="qr").ticket_code == "T"
    assert [type(each).__name__ for each in fake.asked].count("RefreshTokenRequest") == 2


def test_credentials_are_shown_and_never_printed(fake: FakeServer, client: Client) -> None:
    client.ota.get_inventory()
    client.with_access_token("token").redemption.logout()
    assert fake.metadata[0]["x-api-key"] == "key"
    assert "x-api-key" not in fake.metadata[1]
    assert fake.metadata[1]["authorization"] == "Bearer token"
    assert fake.metadata[1]["user-agent"].startswith("deeptravel-python/")
    shown = repr(vars(client)) + repr(vars(client.ota._calls))
    assert "'key'" not in shown


def test_one_caller_has_one_kind_of_credentials() -> None:
    with pytest.raises(ValueError, match="not both"):
        Client("127.0.0.1:1", api_key="k", access_token="t")


def test_the_same_in_asyncio(fake: FakeServer, address: str) -> None:
    """Repeats, pages, streams that go on, renewed log-ins: the decisions are shared, the loops are
    not.
    """
    asyncio.run(call_everything(fake, address))


async def call_everything(fake: FakeServer, address: str) -> None:
    async with AsyncClient(address, api_key="key", plaintext=True, retry=QUICK) as calling:
        fake.script = [GONE, failure(grpc.StatusCode.ABORTED, Reason.CONFLICT)]
        await calling.ota.bulk_generate_tickets(product_id=106, quantity=3)
        assert len({each.request_id for each in fake.asked}) == 1
        assert len(fake.asked) == 3

        fake.script = [failure(grpc.StatusCode.FAILED_PRECONDITION, "SOLD_OUT")]
        with pytest.raises(CallError, match="SOLD_OUT") as raised:
            await calling.ota.get_inventory()
        assert raised.value.server_request_id == "server-7"

        found = [each.ticket_code async for each in calling.ota.iter_tickets()]
        assert len(found) == 6

        fake.breaks_after = [2, 1]
        streamed = [
            each.ticket_code async for each in calling.ota.stream_batch_tickets(batch_id="b")
        ]
        assert streamed == [f"T-{n}" for n in range(FEW)]

        fake.breaks_after = [1]
        parts = [part async for part in calling.ota.export_tickets()]
        assert exported(parts) == [f"T-{n}" for n in range(FEW)]
        fake.breaks_after = [2]
        with pytest.raises(CallError, match="SERVER_BUSY"):
            async for _ in calling.ota.download_statement(
                month="2026-11", format=ota.STATEMENT_FORMAT_CSV
            ):
                pass
        events = calling.follow_events(page_size=2, pause_seconds=None)
        assert [each.cursor async for each in events] == [1, 2, 3, 4, 5]
        assert fake.acknowledged == FEW

        terminal = await calling.logged_in_operator("operator", "password", "T-1")
        answer = await terminal.redemption.decrypt_qr(encrypted_data="qr")
        assert answer.ticket_code == "T"

        async def scans() -> Any:
            yield redemption.ScanStreamRequest(scan_id="1")

        assert len([each async for each in terminal.redemption.scan_stream(scans())]) == 1
