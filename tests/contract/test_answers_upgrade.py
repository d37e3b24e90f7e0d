"""Answers that are kept for repeats, over the migration that gave them shorter keys."""

from alembic import command
from sqlalchemy import text

from server.platform.config import load_settings
from server.platform.crypto import digest
from server.platform.database import Database
from server.platform.idempotency import KeyedCall, find
from tests.contract.test_schema import connected, empty_database, run
from tools.dev.embedded.services import EmbeddedServices

OLD = """
INSERT INTO idempotency_records (caller, method, request_id, content_hash, answer, create_time)
VALUES (:caller, :method, :request_id, :content_hash, :answer, now())
"""
CALLS = {
    ("terminal:T-1", "Redeem", "r-1"): b"admitted",
    ("terminal:T-1", "RedeemMany", "r-1"): b"both admitted",
    ("terminal:T-2", "Redeem", "r-1"): b"refused",
    ("admin:根", "CreateProduct", "号 1"): b"made",
}


async def test_a_call_of_before_finds_its_answer(services: EmbeddedServices) -> None:
    """Seen red with keys that leave the method out."""
    contents = {call: digest(repr(call).encode()) for call in CALLS}
    with empty_database(services, "answers_upgraded") as url:
        with connected(url) as connection:
            run(connection, command.upgrade, "0016")
            for (caller, method, request_id), answer in CALLS.items():
                content_hash = contents[caller, method, request_id]
                values = {"caller": caller, "method": method, "request_id": request_id}
                connection.execute(
                    text(OLD), values | {"content_hash": content_hash, "answer": answer}
                )
            run(connection, command.upgrade, "0017")
        db = Database(load_settings(), url)
        try:
            async with db.transaction() as tx:
                found = {
                    call: await find(tx, KeyedCall.of(*call, content_hash))
                    for call, content_hash in contents.items()
                }
        finally:
            await db.close()
        assert found == CALLS
