"""The server's side of tokens and packs, made anew for the tests: keys, QR texts, signed chunks."""

import base64
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from deeptravel import redemption, tickets
from deeptravel_terminal.codes import Kind, Scanned

DEVICE = "TERMINAL-CP-001"
T0 = 1_796_256_000_000
"""2026-12-03 00:00 UTC, 08:00 in Hong Kong."""
HOUR = 3_600_000
SEQUENCE, DAY = 17, 2_529
NUMBER = 1 << 60 | DAY << 27 | SEQUENCE
"""Of 2026-12-04."""
ORDER = 1 << 60 | DAY << 27 | 5
"""Of tickets with an `order`: the jti that it has, and the rotation of theirs."""


def raw(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


@dataclass
class Sealer:
    """Makes what a server makes."""

    signs: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    packs: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    aes_key: bytes = field(default_factory=lambda: os.urandom(32))
    key_id: int = 3

    @property
    def verify_key(self) -> bytes:
        return raw(self.packs)

    def token(
        self,
        number: int = NUMBER,
        jti: bytes = b"j" * 16,
        *,
        expiry: int = T0 + 999 * HOUR,
        kind: int = 1,
        flags: int = 0,
        code: str = "",
    ) -> Scanned:
        header = struct.pack(">BB12s", 1, self.key_id, os.urandom(12))
        claims = struct.pack(">16sQIBB", jti, number, expiry // 1000, kind, flags)
        sealed = AESGCM(self.aes_key).encrypt(header[2:], claims, header)
        parts = [header, sealed[:-16], sealed[-16:]]
        text = ":".join(base64.b32encode(each).rstrip(b"=").decode() for each in parts)
        signature = self.signs.sign(b"deeptravel qr token v1\x00" + text.encode())
        last = base64.b32encode(signature).rstrip(b"=").decode()
        return Scanned(Kind.TICKET_QR, f"{text}:{last}{code and '-'}{code}")

    def configuration(self, server_time: int) -> redemption.PackConfiguration:
        made = redemption.PackConfiguration(
            merchant_code="CP",
            time_zone="Asia/Hong_Kong",
            function_codes=["ferry", "tokens", "gift"],
        )
        made.qr_keys.add(key_id=self.key_id, verify_key=raw(self.signs), aes_key=self.aes_key)
        made.server_time.FromMilliseconds(server_time)
        return made

    def response(self, chunk: redemption.PackChunk) -> redemption.GetVenuePackResponse:
        content = zlib.compress(chunk.SerializeToString())
        signature = self.packs.sign(b"deeptravel venue pack v1\x00" + content)
        return redemption.GetVenuePackResponse(packed_chunk=content, signature=signature)

    def push(
        self, made: redemption.PackTickets, version: int, venue_code: str = "PIER"
    ) -> redemption.PackPush:
        pushed = redemption.PushedTickets(venue_code=venue_code, push_version=version, tickets=made)
        content = zlib.compress(pushed.SerializeToString())
        signature = self.packs.sign(b"deeptravel venue push v1\x00" + content)
        return redemption.PackPush(packed_tickets=content, signature=signature)

    def chunk(
        self,
        made: redemption.PackTickets,
        version: int = T0,
        *,
        is_full: bool = True,
        is_last: bool = True,
        device: str = DEVICE,
    ) -> redemption.PackChunk:
        chunk = redemption.PackChunk(
            venue_code="PIER",
            terminal_device_id=device,
            pack_version=version,
            cursor=f"c{version}",
            is_full=is_full,
            is_last=is_last,
            tickets=made,
        )
        if is_last:
            chunk.configuration.CopyFrom(self.configuration(version))
        return chunk


def terms(**changed: object) -> redemption.PackTerms:
    made = redemption.PackTerms(
        product_id=106,
        display_name_en="Premium",
        display_name_zh="尊享套票",
        code_prefix="OTA-CP",
        blackout_dates=["2026-12-25"],
    )
    made.functions.add(function_code="ferry", total_uses=1, once_per_qr=True)
    made.functions.add(function_code="tokens", total_uses=3, guard_seconds=60)
    made.functions.add(function_code="gift", total_uses=1, once_per_qr=True, venue_code="SHOP")
    for name, value in changed.items():
        setattr(made, name, value)
    return made


def pack_tickets(  # noqa: PLR0913 # columns
    *,
    count: int = 1,
    first: int = NUMBER,
    jti: bytes = b"j" * 8,
    state: int = tickets.TICKET_STATE_ACTIVE,
    valid: tuple[int, int] = (T0 - HOUR, T0 + 900 * HOUR),
    seat: str = "",
    left: Sequence[int] = (1, 3, 1),
    redeemed: Sequence[int] = (0, 0, 0),
    sold_under: redemption.PackTerms | None = None,
    departure: redemption.PackDeparture | None = None,
    share: bytes = b"",
    order: tuple[bytes, int] | None = None,
) -> redemption.PackTickets:
    return redemption.PackTickets(
        count=count,
        ticket_ids=struct.pack(f">{count}Q", *range(first, first + count)),
        jtis=jti * count,
        states=bytes([state]) * count,
        valid_from=struct.pack(">q", valid[0]) * count,
        valid_until=struct.pack(">q", valid[1]) * count,
        terms_indexes=bytes(4 * count),
        departure_indexes=struct.pack(">I", 1 if departure else 0) * count,
        seats="\n".join([seat] * count),
        remaining_uses=struct.pack(">3I", *left) * count,
        redeemed_times=struct.pack(">3q", *redeemed) * count,
        terms=[sold_under or terms()],
        departures=[departure] if departure else [],
        code_shares=share * count,
        order_ids=struct.pack(">Q", ORDER if order else 0) * count,
        order_jtis=(order[0][:8] + order[0][12:]) * count if order else b"",
        rotations=struct.pack(">I", order[1]) * count if order else b"",
    )
