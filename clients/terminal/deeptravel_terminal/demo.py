"""A simulated scanner for `--demo`: tickets of a batch, sold in part, and codes of others."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from deeptravel import AsyncClient, new_request_id, tickets

from deeptravel_terminal.codes import Scanned, read

PRODUCT_ID, PRICE_MINOR = 106, 29_800
FUNCTIONS = ["ferry", "gift"]
PAYMENT_CODE = "134567890123456789"
BOARDING = "M1DESMARAIS/LUC       EABC123 YULFRAAC 0834 226F001A0025 100"
"""IATA's own example."""


@dataclass(frozen=True)
class DemoCredentials:
    """What `make run` wrote into its file."""

    partner_api_key: str = field(repr=False)
    username: str
    password: str = field(repr=False)
    terminal_device_id: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises ValueError, whose text says what is wrong with the file."""
        try:
            known: dict[str, Any] = json.loads(path.read_text())
            return cls(
                known["partner_api_key"],
                known["supervisor"]["username"],
                known["supervisor"]["password"],
                known["terminal_device_id"],
            )
        except OSError as error:
            raise ValueError(
                f"{path} cannot be read ({error.strerror}): start the server by `make run`, or name"
                " its file by --credentials"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} has no demo credentials: {error!r}") from error


async def scans(partner: AsyncClient, pace_seconds: float) -> AsyncIterator[Scanned]:
    """What comes before the scanner, one scan each `pace_seconds`. Raises CallError."""
    batch = await partner.ota.bulk_generate_tickets(product_id=PRODUCT_ID, quantity=3)
    codes = [each.ticket_code for each in batch.tickets]
    texts = [(await partner.ota.issue_qr(ticket_code=code)).encrypted_data for code in codes]
    for code, name in zip(codes, ("张三", "Mary Wong"), strict=False):
        await partner.ota.activate_ticket(
            ticket_code=code,
            customer=tickets.CustomerInfo(name=name, type=tickets.CUSTOMER_TYPE_ADULT),
            payment=tickets.PaymentProof(
                reference=new_request_id(), amount_minor=PRICE_MINOR, currency_code="CNY"
            ),
        )
    sold, other, unsold = texts
    shown = [
        sold,
        sold,  # once more: redeemed already
        f"]Q1{other.lower()}\r\n",  # as a scanner may give it
        unsold,
        PAYMENT_CODE,
        BOARDING,
        sold[:120],
    ]
    for text in shown:
        await asyncio.sleep(pace_seconds)
        yield read(text)
