"""Uploaded scans between protobuf and plain values."""

from collections.abc import Iterable
from datetime import UTC, datetime

from deeptravel.redemption.v1 import offline_pb2, redemption_pb2

from server.api import convert
from server.api.redemption import messages
from server.redemption.answers import Answer
from server.redemption.explanations import explain
from server.redemption.offline_rules import OfflineScan
from server.redemption.uploads import ChainBreak, Uploaded

VERDICT = convert.enum_numbers(offline_pb2.OfflineVerdict)
LIABLE = convert.enum_numbers(offline_pb2.Liability)


def scan(sent: offline_pb2.OfflineScan) -> OfflineScan:
    """A scan as the terminal has written it down."""
    return OfflineScan(
        sent.scan_id,
        sent.qr_token,
        sent.function_code,
        sent.quantity,
        sent.ticket_code,
        _time(sent),
        sent.counter,
        sent.pack_version,
        sent.previous_hash,
        sent.admitted,
        sent.comment,
    )


def _time(sent: offline_pb2.OfflineScan) -> datetime | None:
    """None for what is no time: such a scan is recorded too."""
    try:
        found = sent.scanned_time.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return found if sent.HasField("scanned_time") else None


def answers(
    sent: Iterable[offline_pb2.OfflineScan],
    uploaded: Iterable[Uploaded],
    breaks: Iterable[ChainBreak],
) -> offline_pb2.UploadScansResponse:
    """The answers to scans, in their order."""
    return offline_pb2.UploadScansResponse(
        scans=[answer(each.scan_id, found) for each, found in zip(sent, uploaded, strict=True)],
        chain_breaks=[offline_pb2.ChainBreak(**each._asdict()) for each in breaks],
    )


def answer(scan_id: str, uploaded: Uploaded) -> offline_pb2.UploadedScan:
    """The answer to one scan."""
    message = offline_pb2.UploadedScan(
        scan_id=scan_id,
        verdict=VERDICT[uploaded.judged.verdict],
        scan_hash=uploaded.scan_hash,
        revoked_time=convert.timestamp(uploaded.revoked_time),
        liable=LIABLE[uploaded.judged.liable],
    )
    if uploaded.answer:
        _add(message, uploaded.answer)
    return message


def _add(message: offline_pb2.UploadedScan, online: Answer) -> None:
    """Adds what it would have been answered online."""
    english, chinese = explain(online.reason, online.check, online.facts)
    message.explanation.MergeFrom(
        redemption_pb2.Explanation(check=online.check, en=english, zh=chinese)
    )
    message.ticket_code = online.ticket_code
    if online.reason:
        message.reason = messages.REFUSAL[online.reason]
    else:
        message.redemption_id = online.redemption_id
    if online.earlier:
        message.earlier.CopyFrom(messages.earlier(online.earlier))
