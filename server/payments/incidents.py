"""What did not fit about payments: an administrator says that it was seen to."""

from datetime import date
from typing import Unpack
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.audit.trail import AuditedChange, audit
from server.payments import payments
from server.payments.payments import Incident
from server.platform.errors import invalid
from server.platform.statements import run


async def resolve_incident(
    tx: AsyncConnection, incident_id: str, *, comment: str, **by: Unpack[By]
) -> Incident:
    """Resolves an incident; one that is resolved stays as it is. Raises NOT_FOUND."""
    before, after = await payments.resolve_incident(tx, UUID(incident_id), comment=comment, **by)
    if before != after:
        change = AuditedChange(
            actor=by["actor"],
            action="resolve",
            resource="payment_incident",
            name=incident_id,
            before={"kind": before.kind},
            after={"kind": after.kind, "comment": comment},
        )
        await run(tx, audit(change, now=by["now"]))
    return after


def bill_date(text: str) -> date:
    """The day of a bill, in a field of this name. Raises INVALID_FIELD."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise invalid("bill_date", f"{text} is not a day of the calendar") from None
