"""Clients of DeepTravel Ticketing in Python: what a partner, a terminal and a traveller call.

They stand on gRPC and the generated code alone, to be used as they are or to be read: every call
has a deadline and a request id, and is repeated only where a repeat is safe.
"""

from deeptravel_client.connection import CallError, Connection, new_request_id
from deeptravel_client.partner import Partner
from deeptravel_client.terminal import Terminal
from deeptravel_client.traveller import Traveller

__all__ = ["CallError", "Connection", "Partner", "Terminal", "Traveller", "new_request_id"]
