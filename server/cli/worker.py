"""One of several processes of `serve`, started by it, without the command line's library."""

import sys

from server.cli import exits
from server.platform import logs
from server.platform.config import load_settings


def _serve() -> None:
    settings = load_settings()
    logs.configure(level=settings.log_level, style=settings.log_format)
    from server.cli import serving

    sys.exit(serving.serve_as_worker())


if __name__ == "__main__":
    exits.run(_serve)
