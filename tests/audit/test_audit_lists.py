"""The audit trail as administrators read it: searched, exported, and without personal data for
those who may not see it.
"""

import asyncio
import csv
import io
import json
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from deeptravel.admin.v1 import audit_pb2
from deeptravel.common.v1 import options_pb2
from google.protobuf.json_format import MessageToDict
from sqlalchemy import text
from sqlalchemy.dialects import postgresql

from server.audit import audit_events
from server.audit.audit_events import HIDDEN, AuditFilter
from server.audit.trail import AuditedChange, audit
from server.platform.errors import Reason
from server.platform.statements import run
from tests.support.admin_client import PASSWORD, AdminClient
from tests.support.admin_rows import BLOCKED_TRAVELLER
from tests.support.rpc_server import read_refusal

EXPORTED = 5_000
FILL = """
INSERT INTO audit_events (audit_id, occurred_time, actor, action, resource, name, reason)
SELECT gen_random_uuid(), now() - n * interval '1 s', 'admin:a', 'sign_in', 'sign_in', 'a',
  CASE WHEN n % 100 = 0 THEN 'ticket OPS-' || n END
FROM generate_series(1, 20000) n
"""
CSV, JSON_LINES = audit_pb2.AUDIT_EXPORT_FORMAT_CSV, audit_pb2.AUDIT_EXPORT_FORMAT_JSON_LINES


async def actions(admin_client: AdminClient, **filters: Any) -> list[tuple[str, str]]:
    found = (await admin_client.do("ListAuditEvents", **filters)).audit_events
    return [(each.action, each.name) for each in found]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"action": "block", "resource": "traveller"}, {str(BLOCKED_TRAVELLER)}),
        ({"reason": "STOLEN"}, {"OTA-CP-20260301-000002"}),
        ({"reason": "100%"}, set()),
        ({"actor": "admin:root", "name": "CP", "action": "create", "resource": "partner"}, {"CP"}),
        ({"actor": "admin:nobody"}, set()),
    ],
)
async def test_events_are_found(
    admin_client: AdminClient, filters: dict[str, str], expected: set[str]
) -> None:
    found = await actions(admin_client, **filters)
    assert {name for _, name in found} == expected


async def test_a_part_of_a_reason_is_looked_for_among_those_that_have_one(
    admin_client: AdminClient,
) -> None:
    """Sign-ins and runs have none. Seen red without the index: all were read, by their time."""
    query = audit_events.newest(AuditFilter(reason="OPS-77"), after=None, limit=51)
    explained = query.compile(
        dialect=postgresql.dialect(),  # type: ignore[no-untyped-call]
        compile_kwargs={"literal_binds": True},
    )
    async with admin_client.node.db.transaction() as tx:
        await tx.execute(text(FILL))
        await tx.execute(text("ANALYZE audit_events"))
        plan = await tx.scalars(text(f"EXPLAIN {explained}".replace(":", "\\:")))
        shown = "\n".join(plan)
    assert "ix_audit_events_reason" in shown, shown


async def test_an_event_says_why_and_from_where(admin_client: AdminClient) -> None:
    ((event,)) = await admin_client.trail("ticket", "OTA-CP-20260301-000002")
    assert event.reason == "reported stolen"
    assert event.address
    assert event.request_id


async def auditor(admin_client: AdminClient) -> AdminClient:
    await admin_client.do(
        "CreateAdministrator",
        username="eye",
        display_name="Eye",
        password=PASSWORD,
        roles=[options_pb2.ADMIN_ROLE_AUDITOR],
    )
    return await admin_client.log_in("eye")


async def test_personal_data_are_for_administrators_alone(admin_client: AdminClient) -> None:
    """In lists and in files, at any depth; and nothing else, as the code of a promotion. Seen red
    with the roles not looked at, and with what log-ins call `code` among them.
    """
    passenger = {"name": "陳大文", "document_number": "A123456(3)", "seat": "1A"}
    kept = {"contact_phone": "+85291234567", "passengers": [passenger], "code": "PAID"}
    change = AuditedChange("admin:root", "update", "order", "O-1", kept, kept)
    async with admin_client.node.db.transaction() as tx:
        await run(tx, audit(change, now=datetime.now(UTC)))
    eye = await auditor(admin_client)
    whole = MessageToDict((await admin_client.trail("order", "O-1"))[0].after)
    hidden = MessageToDict((await eye.trail("order", "O-1"))[0].before)
    assert whole == kept
    assert hidden == {
        "contact_phone": HIDDEN,
        "passengers": [{"name": HIDDEN, "document_number": HIDDEN, "seat": "1A"}],
        "code": "PAID",
    }
    for form in (CSV, JSON_LINES):
        file = await exported(eye, form, resource="order")
        assert "PAID" in file
        assert not {each for each in (*passenger.values(), "85291234567") if each in file} - {"1A"}


async def exported(admin_client: AdminClient, form: int, **filters: Any) -> str:
    pieces = await admin_client.do("ExportAuditEvents", format=form, **filters)
    return b"".join(piece.body.data for piece in pieces).decode()


async def test_files_have_what_the_list_has(admin_client: AdminClient) -> None:
    wanted = {"resource": "merchant"}
    listed = [
        each.audit_id for each in (await admin_client.do("ListAuditEvents", **wanted)).audit_events
    ]
    lines = (await exported(admin_client, JSON_LINES, **wanted)).splitlines()
    rows = list(csv.DictReader(io.StringIO(await exported(admin_client, CSV, **wanted))))
    assert len(listed) == 2
    assert [json.loads(line)["audit_id"] for line in lines] == listed
    assert [row["audit_id"] for row in rows] == listed
    assert json.loads(rows[0]["after"])["state"] == "ACTIVE"
    assert await exported(admin_client, CSV, actor="admin:nobody") == ",".join(rows[0]) + "\r\n"


async def test_an_export_ends_with_the_right_to_it(
    admin_client: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a second, as every stream. Seen red without `StreamRights` in the interceptor."""
    monkeypatch.setattr(audit_events, "READ_AT_ONCE", 10)
    async with admin_client.node.db.transaction() as tx:
        change = AuditedChange("admin:root", "update", "order", "O-1", None, None)
        await run(tx, audit(*[change] * EXPORTED, now=datetime.now(UTC)))
    eye = await auditor(admin_client)
    stream = eye.stub("ExportAuditEvents")(
        audit_pb2.ExportAuditEventsRequest(format=JSON_LINES), metadata=eye.headers
    )
    await stream.read()
    await admin_client.do("RevokeAdministrator", username="eye")
    parts = 0

    async def rest() -> None:
        nonlocal parts
        while await stream.read() is not grpc.aio.EOF:
            parts += 1
            await asyncio.sleep(0.02)

    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await rest()
    assert read_refusal(ended.value).reason is Reason.UNAUTHENTICATED
    assert parts < EXPORTED / 20
