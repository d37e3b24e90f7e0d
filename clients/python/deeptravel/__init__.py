"""DeepTravel Ticketing, for those who call it: partners, terminals, travellers, administrators.

    from deeptravel import Client, tickets

    with Client("127.0.0.1:50051", api_key=key, plaintext=True) as client:
        batch = client.ota.bulk_generate_tickets(product_id=106, quantity=100)

Every call has a deadline, every change a request id, and what failed for a moment is called again
where that is safe. What a call does, takes and refuses stands in the docstring of its method.
"""

from deeptravel import webhooks
from deeptravel._async_client import AsyncClient
from deeptravel._client import Client
from deeptravel._errors import CallError, FieldViolation
from deeptravel._generated import admin, common, ota, redemption, ticketing, tickets
from deeptravel._generated.reasons import Reason
from deeptravel._method import new_request_id
from deeptravel._retries import RetryPolicy
from deeptravel._version import __version__

__all__ = [
    "AsyncClient",
    "CallError",
    "Client",
    "FieldViolation",
    "Reason",
    "RetryPolicy",
    "__version__",
    "admin",
    "common",
    "new_request_id",
    "ota",
    "redemption",
    "ticketing",
    "tickets",
    "webhooks",
]
