"""Chunks of venues' packs as messages, signed."""

import asyncio
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import orjson
from deeptravel.redemption.v1 import offline_pb2, redemption_pb2

from server.api import convert
from server.identity.callers import Operator
from server.redemption import offline_keys, rules
from server.redemption.offline_keys import OfflineKeys
from server.redemption.pack_pushes import PushedChange
from server.redemption.pack_statements import Columns
from server.redemption.statements import parse_snapshot
from server.redemption.venue_packs import PackConfiguration, PackPart
from server.tickets.rotating_codes import PACK_JTI_BYTES
from server.tickets.rotating_keys import RotatingKeys
from server.tickets.rules import DIRECT_CODE, DIRECT_PREFIX


async def signed_chunk(
    keys: OfflineKeys, operator: Operator, part: PackPart
) -> offline_pb2.GetVenuePackResponse:
    """A part of a pack as it is sent to the operator's terminal; compressed in a thread."""
    chunk = offline_pb2.PackChunk(
        venue_code=operator.venue_code,
        terminal_device_id=operator.terminal_device_id,
        pack_version=part.version,
        cursor=part.cursor,
        is_full=part.is_full,
        is_last=part.configuration is not None,
    )
    if part.configuration:
        chunk.configuration.CopyFrom(_configuration(part.configuration))
    if part.columns:
        chunk.tickets.CopyFrom(_tickets(part.columns, operator, part.rental_venues))
    content, signature = await asyncio.to_thread(_signed, keys, offline_keys.PACK, chunk)
    return offline_pb2.GetVenuePackResponse(packed_chunk=content, signature=signature)


async def signed_push(
    keys: OfflineKeys, operator: Operator, change: PushedChange
) -> redemption_pb2.PackPush:
    """Tickets that have changed as they are pushed to the terminals of the operator's venue."""
    pushed = offline_pb2.PushedTickets(
        venue_code=operator.venue_code,
        push_version=change.version,
        tickets=_tickets(change.columns, operator, change.rental_venues),
    )
    content, signature = await asyncio.to_thread(_signed, keys, offline_keys.PUSH, pushed)
    return redemption_pb2.PackPush(packed_tickets=content, signature=signature)


def _signed(
    keys: OfflineKeys, purpose: bytes, message: offline_pb2.PackChunk | offline_pb2.PushedTickets
) -> tuple[bytes, bytes]:
    message.tickets.code_shares = _shares(keys.rotating, message.tickets)
    content = zlib.compress(message.SerializeToString())
    return content, keys.sign(purpose, content)


def _shares(keys: RotatingKeys, tickets: offline_pb2.PackTickets) -> bytes:
    """Of those tickets alone that show rotating codes: they are not compressed."""
    looks = [any(each.looks_at_code for each in terms.functions) for terms in tickets.terms]
    if not any(looks):
        return b""
    numbers = struct.unpack(f">{tickets.count}Q", tickets.ticket_ids)
    indexes = struct.unpack(f">{tickets.count}I", tickets.terms_indexes)
    size = PACK_JTI_BYTES
    return b"".join(
        keys.share(number, tickets.jtis[n * size : (n + 1) * size])
        for n, number in enumerate(numbers)
        if looks[indexes[n]]
    )


def _configuration(now: PackConfiguration) -> offline_pb2.PackConfiguration:
    operator = now.operator
    return offline_pb2.PackConfiguration(
        merchant_code=operator.merchant_code,
        time_zone=operator.venue_time_zone,
        function_codes=sorted(operator.function_codes),
        qr_keys=[
            offline_pb2.PackQrKey(key_id=key.key_id, verify_key=key.verify_key, aes_key=key.aes_key)
            for key in now.ring.good
        ],
        compromised_key_ids=[key.key_id for key in now.ring.keys if key not in now.ring.good],
        cancelled_departure_ids=now.cancelled_departures,
        server_time=convert.timestamp(now.server_time),
        max_pack_seconds=operator.offline.pack_seconds,
        clock_tolerance_seconds=operator.offline.clock_seconds,
    )


def _tickets(
    columns: Columns, operator: Operator, rental_venues: Mapping[int, str]
) -> offline_pb2.PackTickets:
    return offline_pb2.PackTickets(
        count=columns.tickets,
        ticket_ids=columns.ticket_ids,
        jtis=columns.jtis,
        states=columns.states,
        valid_from=columns.valid_from,
        valid_until=columns.valid_until,
        order_ids=columns.order_ids,
        order_jtis=columns.order_jtis,
        rotations=columns.rotations,
        terms_indexes=columns.terms_indexes,
        departure_indexes=columns.departure_indexes,
        seats=columns.seats,
        remaining_uses=columns.remaining_uses,
        redeemed_times=columns.redeemed_times,
        terms=[_terms(orjson.loads(each), operator, rental_venues) for each in columns.terms],
        departures=[_departure(*map(int, each.split())) for each in columns.departures],
        leases=[_lease(*orjson.loads(each)) for each in columns.leases],
    )


def _lease(
    ticket_id: str, function_code: str, terminal_device_id: str, until_time: int
) -> offline_pb2.PackLease:
    return offline_pb2.PackLease(
        ticket_id=int(ticket_id),
        function_code=function_code,
        terminal_device_id=terminal_device_id,
        until_time=until_time,
    )


def _departure(departure_id: int, departure_time: int, is_shared: int) -> offline_pb2.PackDeparture:
    return offline_pb2.PackDeparture(
        departure_id=departure_id, departure_time=departure_time, is_shared=bool(is_shared)
    )


def _terms(
    written: list[Any], operator: Operator, rental_venues: Mapping[int, str]
) -> offline_pb2.PackTerms:
    product_id, code_prefix, uses, content = written
    journey, rental = content.pop("journey"), content.pop("rental")
    offer = {"journey": journey, "seat_map": None, "rental": rental}
    known = {name: value for name, value in content.items() if value is not None}
    snapshot = parse_snapshot(known | {"offer": offer})
    terms = offline_pb2.PackTerms(
        product_id=product_id,
        display_name_en=snapshot.display_name_en,
        display_name_zh=snapshot.display_name_zh,
        code_prefix=code_prefix,
        functions=_functions(uses.split(), snapshot, operator, rental_venues),
        blackout_dates=sorted(day.isoformat() for day in snapshot.blackout_dates),
    )
    if code_prefix == f"{DIRECT_PREFIX}-{DIRECT_CODE}":  # partners' tickets have no codes
        for function in terms.functions:
            asked = snapshot.terms[function.function_code].rotating_code
            function.looks_at_code = asked != rules.NO_CODE
            function.needs_code = asked == rules.CODE_REQUIRED
    if snapshot.leg:
        leg = snapshot.leg
        terms.boarding_minutes = snapshot.boarding_minutes
        terms.service_number, terms.fare_class = leg.service_number, leg.fare_class
        terms.origin_en, terms.origin_zh = leg.origin[2:]
        terms.destination_en, terms.destination_zh = leg.destination[2:]
    return terms


def _functions(
    uses: list[str], snapshot: rules.Snapshot, operator: Operator, rental_venues: Mapping[int, str]
) -> list[offline_pb2.PackFunction]:
    functions = []
    for function_code, total in zip(uses[::2], uses[1::2], strict=True):
        here = operator.venue_code
        if snapshot.rental:
            here = rental_venues.get(snapshot.rental.location_of(function_code), here)
        terms = snapshot.terms[function_code]
        functions.append(
            offline_pb2.PackFunction(
                function_code=function_code,
                total_uses=int(total),
                once_per_qr=terms.use_mode == rules.ONCE_PER_QR,
                guard_seconds=terms.guard_seconds,
                venue_code="" if here == operator.venue_code else here,
            )
        )
    return functions
