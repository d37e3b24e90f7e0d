"""Codes under a key that others have: what we did not issue is a forgery, also if it says the jti
of a ticket or order that there is, as of who has read the database. Only where each token of the
key is recorded; of other keys the jti alone tells.
"""

from collections.abc import Iterable, Sequence

from server.platform.statements import Transaction, run
from server.redemption.opened_tokens import Token
from server.redemption.token_refusals import COMPROMISED_KEY, INVALID_TOKEN
from server.tickets import qr
from server.tickets.issuing import UNISSUED
from server.tickets.qr import QrKind


async def without_forged(
    tx: Transaction, opened: Iterable[tuple[str, qr.Opened]]
) -> list[qr.Opened]:
    """What tokens were opened as; of forged ones, Invalid."""
    found = [*opened]
    suspects = [
        (qr.seal_of(token), each.claims.kind, each.claims.number)
        for token, each in found
        if isinstance(each, qr.Compromised)
    ]
    forged = await _unissued(tx, suspects)
    return [
        qr.Invalid(qr.Check.KEY)
        if isinstance(each, qr.Compromised) and qr.seal_of(token) in forged
        else each
        for token, each in found
    ]


async def drop_forged(tx: Transaction, opened: Sequence[list[Token]]) -> None:
    """Puts the refusal of a forgery in the place of each token that is one."""
    suspects = [
        (token.seal, QrKind.TICKET, token.ticket_id)
        if token.order_id is None
        else (token.seal, QrKind.ORDER, token.order_id)
        for tokens in opened
        for token in tokens
        if _is_suspect(token)
    ]
    forged = await _unissued(tx, suspects)
    if forged:
        invalid = Token(refusal=INVALID_TOKEN)
        for tokens in opened:
            tokens[:] = [
                invalid if _is_suspect(each) and each.seal in forged else each for each in tokens
            ]


def _is_suspect(token: Token) -> bool:
    return bool(token.text) and token.refusal is COMPROMISED_KEY


async def _unissued(
    tx: Transaction, suspects: Sequence[tuple[qr.Seal, QrKind, int]]
) -> set[qr.Seal]:
    rows = [(seal.key_id, kind.value, number, seal.digest) for seal, kind, number in suspects]
    asked = UNISSUED.of_rows(rows)
    return {*await run(tx, asked)} if asked else set()
