"""What a server works out of the contract when it starts: in a fork server once, for all that are
forked from it.
"""

from server.api.http.httprules import Routes
from server.api.methods import methods
from server.app import DESCRIPTORS

methods(DESCRIPTORS)
Routes(DESCRIPTORS)
