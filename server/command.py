"""What `deeptravel` starts: the administrator's commands, which call a server, without the server;
everything else as `python -m server`.
"""

import sys


def main() -> None:
    """Runs the command."""
    if sys.argv[1:2] == ["admin"]:
        from server.cli.admin.commands import main as admin

        sys.exit(admin(sys.argv[2:]))
    from server.__main__ import main as everything

    everything()
