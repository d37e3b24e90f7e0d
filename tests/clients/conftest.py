"""The clients call a server as `make run` starts it."""

from tests.e2e.conftest import served

__all__ = ["served"]
