"""The scanner terminal of a merchant: `deeptravel-terminal --help`."""

from deeptravel_terminal._version import __version__

__all__ = ["__version__"]
