import pytest

from server.api.transport.choice import Transport


@pytest.fixture(params=["core", "aio"])
def transport(request: pytest.FixtureRequest) -> Transport:
    """What serves."""
    chosen: Transport = request.param
    return chosen
