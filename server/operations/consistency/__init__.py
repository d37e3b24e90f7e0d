"""What must hold between the tables whatever happens, each as one query for the rows where it does
not.

Computed from the rows themselves, not by the code that writes them, so that the two can disagree.
(DOMAIN: States, Stock, Price, Payment, Refund and change, Redemption, Operations.)
"""

from server.operations.consistency.examination import INVARIANTS, examine
from server.operations.consistency.invariant import EXAMPLES, Invariant, Result, look

__all__ = ["EXAMPLES", "INVARIANTS", "Invariant", "Result", "examine", "look"]
