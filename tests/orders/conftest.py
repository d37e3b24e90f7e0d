from tests.support.order_fixtures import *  # noqa: F403 - fixtures
