"""TicketingService: protobuf messages to plain arguments and back."""

from typing import Any

from deeptravel.ticketing.v1 import ticketing_service_pb2_grpc

from server import rpc
from server.db import Database


class TicketingServicer(ticketing_service_pb2_grpc.TicketingServiceServicer):
    """The methods of TicketingService; the contract documents each."""

    def __init__(self, db: Database, repeats: rpc.Repeats, pages: rpc.PageTokens) -> None:
        self._db = db
        self._repeats = repeats
        self._pages = pages

    # Search

    # Orders

    # Payments

    # Tickets

    # Refund and change
