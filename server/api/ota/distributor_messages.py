"""Distributors and lines of sale as protobuf messages."""

from collections.abc import Mapping, Sequence
from typing import Any

from deeptravel.ota.v1 import distributor_pb2
from deeptravel.tickets.v1 import ticket_pb2

from server.api import convert
from server.partners.commission import SaleLevel
from server.partners.distributors import Distributor

STATE = convert.enum_numbers(distributor_pb2.DistributorState)
STATE_NAME = convert.enum_names(distributor_pb2.DistributorState)
CUSTOMER_TYPE = convert.enum_numbers(ticket_pb2.CustomerType)


def distributor(found: Distributor) -> distributor_pb2.Distributor:
    """A distributor."""
    return distributor_pb2.Distributor(
        distributor_id=found.distributor_id,
        parent_distributor_id=found.parent_distributor_id,
        display_name=found.display_name,
        commission_basis_points=found.commission_basis_points,
        state=STATE[found.state],
        level=len(found.line),
        version=found.version,
        create_time=convert.timestamp(found.create_time),
        update_time=convert.timestamp(found.update_time),
    )


def levels(line: Sequence[SaleLevel]) -> list[distributor_pb2.LineLevel]:
    """A line of sale without amounts."""
    return [distributor_pb2.LineLevel(**level._asdict()) for level in line]


def line_of_sale(snapshot: Mapping[str, Any]) -> list[distributor_pb2.LineLevel]:
    """The line of sale of a price snapshot; empty in one that was made before there were any."""
    return [
        distributor_pb2.LineLevel(
            distributor_id=level["distributor_id"],
            commission_basis_points=level["commission_basis_points"],
            amounts=map(_amount, level["amounts"]),
        )
        for level in snapshot.get("line_of_sale", ())
    ]


def _amount(found: Mapping[str, Any]) -> distributor_pb2.LevelAmount:
    customer_type = CUSTOMER_TYPE[found["customer_type"]]
    return distributor_pb2.LevelAmount(**{**found, "customer_type": customer_type})
