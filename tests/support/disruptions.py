"""What partners have of a departure in its preview and its report."""

from typing import Any

from deeptravel.admin.v1 import disruption_pb2

from tests.support.operations import Manager
from tests.support.traveller import World


async def preview_of_partners(manager: Manager, world: World) -> Any:
    """What it would do to cancel departure 1, once the ledger has its sold ticket."""
    await world.until(
        "SELECT count(*) = 1 FROM ledger_entries WHERE kind = 'ACTIVATION' AND ticket_id IS NOT"
        " NULL AND debit_account = 'PARTNER_RECEIVABLE'"
    )
    number = str(world.departure_id())
    wanted = disruption_pb2.PreviewDisruptionRequest(departure_id=number)
    return await manager.stub.PreviewDisruption(wanted, metadata=manager.headers)


async def partners_reported_as_planned(manager: Manager, world: World, planned: Any) -> None:
    """What partners have is in the report as it was previewed, by what the ledger says."""
    await world.until("SELECT count(*) > 0 FROM ledger_entries WHERE kind = 'REFUND'")
    (disruption_id,) = await world.sql("SELECT disruption_id FROM disruptions")
    asked = disruption_pb2.GetDisruptionRequest(disruption_id=str(disruption_id[0]))
    found = await manager.stub.GetDisruption(asked, metadata=manager.headers)
    assert list(found.totals) == list(planned)
    counted = {each.outcome: (each.tickets, each.partner_code) for each in found.totals}
    assert counted == {
        disruption_pb2.DISRUPTION_OUTCOME_REFUNDED: (1, "CP"),
        disruption_pb2.DISRUPTION_OUTCOME_UNSOLD: (2, "CP"),
    }
    assert [each.partner_code for each in found.partners] == ["CP"]
    assert (found.reservations, found.reservations_left) == (2, 0)
    assert found.state == disruption_pb2.DISRUPTION_STATE_COMPLETED
