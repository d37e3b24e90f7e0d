"""What a partner's and a merchant's programmer would write: grpc and the generated package, nothing
of the server.

    python partner_program.py HOST:PORT demo-credentials.json

Runs the main job over gRPC, checks every answer, and prints a line for each step.
"""

import importlib.util
import json
import sys
import uuid
from pathlib import Path
from typing import Any

import grpc
from deeptravel.ota.v1 import ota_service_pb2 as ota
from deeptravel.ota.v1 import ota_service_pb2_grpc
from deeptravel.redemption.v1 import access_pb2, redemption_pb2, redemption_service_pb2_grpc
from deeptravel.tickets.v1 import ticket_pb2
from google.rpc import error_details_pb2, status_pb2

SUCCESS, REJECT = redemption_pb2.REDEMPTION_RESULT_SUCCESS, redemption_pb2.REDEMPTION_RESULT_REJECT
QUANTITY = 250


def say(step: str, found: object) -> None:
    print(f"{step}: {found}")  # noqa: T201 - what it is for


def left(entitlements: Any) -> dict[str, int]:
    """Uses left by function code."""
    return {each.function_code: each.remaining_uses for each in entitlements}


def reason(call: Any, request: Any, metadata: Any) -> str:
    """The reason of a call that fails, with its gRPC status."""
    try:
        call(request, metadata=metadata)
    except grpc.RpcError as error:
        failed: Any = error
    else:
        return "OK"
    status = status_pb2.Status.FromString(
        dict(failed.trailing_metadata())["grpc-status-details-bin"]
    )
    info = error_details_pb2.ErrorInfo()
    assert any(each.Unpack(info) for each in status.details)
    return f"{failed.code().name} {info.reason}"


def sell(channel: grpc.Channel, api_key: str) -> tuple[str, str]:
    """A partner makes a batch, reads it, and issues a QR: the ticket's code and the QR's text."""
    partner = ota_service_pb2_grpc.OtaServiceStub(channel)
    metadata = (("x-api-key", api_key),)
    request = ota.BulkGenerateTicketsRequest(
        product_id=106,
        quantity=QUANTITY,
        request_id=uuid.uuid4().hex,
        distributor_id="KIOSK-7",
        activation=ota.Activation(
            customer=ticket_pb2.CustomerInfo(name="张三", type=ticket_pb2.CUSTOMER_TYPE_ADULT),
            payment=ticket_pb2.PaymentProof(
                reference="PAY-1", amount_minor=29800 * QUANTITY, currency_code="CNY"
            ),
        ),
    )
    batch, call = partner.BulkGenerateTickets.with_call(request, metadata=metadata, timeout=30)
    limits = {key: int(value) for key, value in call.trailing_metadata() if "ratelimit" in key}
    assert limits.keys() == {f"x-ratelimit-{each}" for each in ("limit", "remaining", "reset")}
    assert 0 <= limits["x-ratelimit-remaining"] < limits["x-ratelimit-limit"]
    assert 1 <= limits["x-ratelimit-reset"] <= 60
    assert batch.quantity == QUANTITY
    assert {ticket.status for ticket in batch.tickets} == {ticket_pb2.TICKET_STATE_ACTIVE}
    say("batch", f"{batch.batch_id}, {len(batch.tickets)} tickets on the first page, {limits}")

    assert partner.BulkGenerateTickets(request, metadata=metadata) == batch
    request.quantity += 1
    refused = reason(partner.BulkGenerateTickets, request, metadata)
    assert refused == "ALREADY_EXISTS IDEMPOTENCY_MISMATCH"
    say("same request_id", f"the same batch; with other content {refused}")

    page = ota.ListTicketsRequest(batch_id=batch.batch_id, page_token=batch.next_page_token)
    rest = partner.ListTickets(page, metadata=metadata)
    codes = [ticket.ticket_code for ticket in batch.tickets]
    codes += [ticket.ticket_code for ticket in rest.tickets]
    streamed = list(
        partner.StreamBatchTickets(
            ota.StreamBatchTicketsRequest(batch_id=batch.batch_id, with_qr=True), metadata=metadata
        )
    )
    assert [ticket.ticket_code for ticket in streamed] == codes == sorted(set(codes))
    assert len({ticket.encrypted_data for ticket in streamed}) == len(codes) == QUANTITY
    say("list and stream", f"{codes[0]} to {codes[-1]}")

    issued = partner.IssueQr(ota.IssueQrRequest(ticket_code=codes[0]), metadata=metadata)
    assert issued.png.startswith(b"\x89PNG")
    assert "<svg" in issued.svg
    say("QR", issued.encrypted_data)
    return codes[0], issued.encrypted_data


def redeem(channel: grpc.Channel, credentials: Any, ticket_code: str, qr: str) -> None:
    """An operator logs in, looks, redeems both entitlements, is refused a third time, and reads
    what happened.
    """
    gate = redemption_service_pb2_grpc.RedemptionServiceStub(channel)
    terminal = credentials["terminal_device_id"]
    tokens = gate.OperatorLogin(
        access_pb2.OperatorLoginRequest(**credentials["operator"], terminal_device_id=terminal)
    )
    metadata = (("authorization", f"Bearer {tokens.access_token}"),)
    for _ in range(2):
        look = gate.DecryptQr(redemption_pb2.DecryptQrRequest(encrypted_data=qr), metadata=metadata)
        assert (look.ticket_code, look.ticket_info.customer_info.name) == (ticket_code, "张三")
        assert left(look.ticket_info.entitlements) == {"ferry": 1, "gift": 1}
        assert not look.HasField("result")
        say("look", f"{look.ticket_code}, jti {look.jti}")

    def scan(function_code: str) -> redemption_pb2.RedeemRequest:
        return redemption_pb2.RedeemRequest(
            qr_token=qr,
            function_code=function_code,
            terminal_device_id=terminal,
            request_id=uuid.uuid4().hex,
        )

    ferry = scan("ferry")
    answer = gate.Redeem(ferry, metadata=metadata)
    assert (answer.result, left(answer.entitlements)) == (SUCCESS, {"ferry": 0, "gift": 1})
    assert answer.ticket_status == ticket_pb2.TICKET_STATE_PARTIALLY_REDEEMED
    assert answer.performance_metrics.fraud_checks_passed
    assert gate.Redeem(ferry, metadata=metadata) == answer
    say("redeem ferry", answer.explanation.en)

    gift = redemption_pb2.ScanStreamRequest(scan_id="1", scan=scan("gift"))
    answers = [
        each
        for message in gate.ScanStream(iter([gift]), metadata=metadata)
        for each in message.answers
    ]
    (streamed,) = answers
    assert (streamed.scan_id, streamed.answer.result) == ("1", SUCCESS)
    assert streamed.answer.ticket_status == ticket_pb2.TICKET_STATE_USED
    say("redeem gift on a stream", streamed.answer.explanation.en)

    refused = gate.Redeem(scan("ferry"), metadata=metadata)
    assert refused.result == REJECT
    assert refused.reason == redemption_pb2.REFUSAL_REASON_ALREADY_REDEEMED
    assert refused.earlier.redemption_id == answer.redemption_id
    say("redeem ferry again", refused.explanation.zh)

    events = gate.ListRedemptions(
        redemption_pb2.ListRedemptionsRequest(ticket_code=ticket_code), metadata=metadata
    ).redemptions
    outcomes = [(each.function_code, each.result) for each in events]
    assert outcomes == [("ferry", REJECT), ("gift", SUCCESS), ("ferry", SUCCESS)]
    assert len({each.jti for each in events}) == 1
    say("redemptions", len(events))


def main(target: str, path: str) -> None:
    assert importlib.util.find_spec("server") is None, "this must need nothing of the server"
    credentials = json.loads(Path(path).read_text())
    with grpc.insecure_channel(target) as channel:
        ticket_code, qr = sell(channel, credentials["partner_api_key"])
        redeem(channel, credentials, ticket_code, qr)


if __name__ == "__main__":
    main(*sys.argv[1:])
