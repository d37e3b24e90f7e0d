"""Partner events between protobuf and plain values."""

from datetime import datetime
from typing import Any

from deeptravel.ota.v1 import event_pb2
from deeptravel.tickets.v1 import ticket_pb2

from server.api import convert
from server.webhooks.events import public_id
from server.webhooks.feed import FeedEvent

_ENUMS = {
    "status": convert.enum_numbers(ticket_pb2.TicketState),
    "customer_type": convert.enum_numbers(ticket_pb2.CustomerType),
}
"""Fields of EventData that are enums, whose names are stored without prefix."""
_TIMES = frozenset({"departure_time", "expire_time"})
_KNOWN = frozenset(event_pb2.EventData.DESCRIPTOR.fields_by_name)


def event(found: FeedEvent) -> event_pb2.Event:
    """An event as its partner reads it; what the contract does not know of its data is left out."""
    data = {name: _read(name, value) for name, value in found.data.items() if name in _KNOWN}
    return event_pb2.Event(
        event_id=public_id(found.event_id),
        cursor=found.sequence,
        type=found.type,
        occurred_time=convert.timestamp(found.occurred_time),
        data=event_pb2.EventData(**data),
    )


def _read(name: str, value: Any) -> Any:
    if name in _ENUMS:
        return _ENUMS[name][value]
    return convert.timestamp(datetime.fromisoformat(value)) if name in _TIMES else value
