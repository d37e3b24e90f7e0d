"""Chunks of a venue's pack: verified, inflated and read by ticket. Pure.

`docs/guides/terminal-without-network.md` of the repository says what is in them.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from deeptravel import redemption
from google.protobuf.message import DecodeError, Message

from deeptravel_terminal.rotating_codes import SHARE_BYTES
from deeptravel_terminal.tokens import keys_of

PREFIX = b"deeptravel venue pack v1\x00"
PUSH_PREFIX = b"deeptravel venue push v1\x00"
MOST_BYTES = 4 * 1024 * 1024
JTI_BYTES, ORDER_JTI_BYTES = 8, 12
BLOCKED = 128
HAS_SHARE, HAS_ORDER = 1, 2
M = TypeVar("M", bound=Message)
_FIXED = struct.Struct(">8sBBqq")
_USE = struct.Struct(">Iq")
_ORDER = struct.Struct(">Q12sI")


class PackError(Exception):
    """A chunk that is not for this terminal, not of this server or older than what is kept."""


@dataclass(frozen=True)
class FunctionUses:
    """What is left of a function, and when the valid QR last redeemed it, 0 for never."""

    left: int
    redeemed_at: int


class PackOrder(NamedTuple):
    """The order of a ticket, as far as its QR is to be verified: number, the first 8 and the last 4
    bytes of its jti, and which of the order's rotations the last of the ticket's own QR was.
    """

    number: int
    jti: bytes
    rotation: int


@dataclass(frozen=True)
class PackTicket:
    """A ticket as the pack has it; times in milliseconds of Unix time, `uses` in the order of the
    functions of its terms. `share` is what rotating codes are verified by, nothing where none is
    looked at; `order` is None where it is of none.
    """

    number: int
    jti: bytes
    state: int
    is_blocked: bool
    valid_from: int
    valid_until: int
    seat: str
    uses: tuple[FunctionUses, ...]
    terms_index: int = 0
    departure_index: int = 0
    share: bytes = b""
    order: PackOrder | None = None

    def packed(self) -> bytes:
        """Without number and indexes, as it is kept."""
        state = self.state + BLOCKED * self.is_blocked
        has = HAS_SHARE * bool(self.share) + HAS_ORDER * bool(self.order)
        fixed = _FIXED.pack(self.jti, state, has, self.valid_from, self.valid_until)
        uses = b"".join(_USE.pack(each.left, each.redeemed_at) for each in self.uses)
        order = _ORDER.pack(*self.order) if self.order else b""
        return fixed + bytes([len(self.uses)]) + uses + self.share + order + self.seat.encode()

    @classmethod
    def unpacked(cls, number: int, content: bytes) -> "PackTicket":
        """As it was kept."""
        jti, state, has, valid_from, valid_until = _FIXED.unpack_from(content)
        end = _FIXED.size + 1 + content[_FIXED.size] * _USE.size
        uses = tuple(
            FunctionUses(*each) for each in _USE.iter_unpack(content[_FIXED.size + 1 : end])
        )
        share = content[end : end + SHARE_BYTES] if has & HAS_SHARE else b""
        end += len(share)
        order = PackOrder(*_ORDER.unpack_from(content, end)) if has & HAS_ORDER else None
        end += _ORDER.size * bool(order)
        return cls(
            number,
            jti,
            state % BLOCKED,
            state >= BLOCKED,
            valid_from,
            valid_until,
            content[end:].decode(),
            uses,
            share=share,
            order=order,
        )


def verified(
    response: redemption.GetVenuePackResponse, verify_key: bytes, device: str
) -> redemption.PackChunk:
    """The chunk of a response. Raises PackError."""
    content = _inflated(PREFIX, response.packed_chunk, response.signature, verify_key)
    chunk = _read(redemption.PackChunk, content)
    if chunk.terminal_device_id != device:
        raise PackError(f"the pack is for terminal {chunk.terminal_device_id}")
    if chunk.is_last:
        _usable(chunk.configuration)
    return chunk


def verified_push(push: redemption.PackPush, verify_key: bytes) -> redemption.PushedTickets:
    """The tickets of a push. Raises PackError."""
    content = _inflated(PUSH_PREFIX, push.packed_tickets, push.signature, verify_key)
    return _read(redemption.PushedTickets, content)


def _inflated(prefix: bytes, packed: bytes, signature: bytes, verify_key: bytes) -> bytes:
    try:
        Ed25519PublicKey.from_public_bytes(verify_key).verify(signature, prefix + packed)
    except (InvalidSignature, ValueError):
        raise PackError("the pack is not signed by the server of the first log-in") from None
    try:
        inflating = zlib.decompressobj()
        content = inflating.decompress(packed, MOST_BYTES)
    except zlib.error:
        raise PackError("the pack cannot be read") from None
    if inflating.unconsumed_tail or not inflating.eof:
        raise PackError(f"the pack is longer than {MOST_BYTES} bytes, or was cut")
    return content


def _read(kind: type[M], content: bytes) -> M:
    try:
        return kind.FromString(content)
    except DecodeError:
        raise PackError("the pack cannot be read") from None


def _usable(configuration: redemption.PackConfiguration) -> None:
    """Raises PackError: no scan could be decided by it."""
    try:
        ZoneInfo(configuration.time_zone)
        keys_of(configuration.qr_keys)
    except (ValueError, ZoneInfoNotFoundError) as error:
        raise PackError(f"the pack's configuration cannot be used: {error}") from error


def tickets_of(tickets: redemption.PackTickets) -> Iterator[PackTicket]:
    """The tickets of a chunk. Raises PackError."""
    try:
        yield from _tickets_of(tickets)
    except (struct.error, IndexError, StopIteration, RuntimeError):
        raise PackError("the pack's columns are not of one length") from None


def _tickets_of(tickets: redemption.PackTickets) -> Iterator[PackTicket]:
    count = tickets.count
    numbers, states = _column("Q", tickets.ticket_ids), tickets.states
    begins, ends = _column("q", tickets.valid_from), _column("q", tickets.valid_until)
    terms, departures = _column("I", tickets.terms_indexes), _column("I", tickets.departure_indexes)
    left, redeemed = _column("I", tickets.remaining_uses), _column("q", tickets.redeemed_times)
    looks = [any(each.looks_at_code for each in of.functions) for of in tickets.terms]
    shares = struct.iter_unpack(f"{SHARE_BYTES}s", tickets.code_shares)
    orders = _orders(tickets)
    seats, at = tickets.seats.split("\n"), 0
    for n in range(count):
        until = at + len(tickets.terms[terms[n]].functions)
        pairs = zip(left[at:until], redeemed[at:until], strict=True)
        yield PackTicket(
            numbers[n],
            tickets.jtis[JTI_BYTES * n : JTI_BYTES * (n + 1)],
            states[n] % BLOCKED,
            states[n] >= BLOCKED,
            begins[n],
            ends[n],
            seats[n],
            tuple(FunctionUses(*each) for each in pairs),
            terms[n],
            departures[n],
            next(shares)[0] if looks[terms[n]] else b"",
            next(orders),
        )
        at = until


def _orders(tickets: redemption.PackTickets) -> Iterator[PackOrder | None]:
    """Of each ticket; of a server without them there are none."""
    rest = zip(
        struct.iter_unpack(f"{ORDER_JTI_BYTES}s", tickets.order_jtis),
        _column("I", tickets.rotations),
        strict=True,
    )
    for number in _column("Q", tickets.order_ids) or [0] * tickets.count:
        if not number:
            yield None
            continue
        (jti,), rotation = next(rest)
        yield PackOrder(number, jti, rotation)


def _column(form: str, content: bytes) -> Sequence[int]:
    return struct.unpack(f">{len(content) // struct.calcsize(f'>{form}')}{form}", content)
