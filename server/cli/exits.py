"""How a process of ours ends: with an exit code, and one sentence on what a person can mend."""

import gc
import sys
from collections.abc import Callable

from server.platform import logs
from server.platform.config import ConfigError
from server.platform.errors import DomainError, Reason, StartError

WRONG = 1
WRONG_SETTINGS = 2
CANNOT_RUN = 3


def run(command: Callable[[], object]) -> None:
    """Runs the whole of a process.

    It collects no garbage while modules are loaded, which is a third faster; `command` turns it on
    when it runs on.
    """
    logs.guard_process()
    gc.disable()
    try:
        command()
    except ConfigError as error:
        complain(error, WRONG_SETTINGS)
    except DomainError as error:
        is_away = error.reason is Reason.DATABASE_UNAVAILABLE
        complain(error, CANNOT_RUN if is_away else WRONG)
    # an OSError is one of the disk: all others are reported where they happen
    except (StartError, OSError) as error:
        complain(error, CANNOT_RUN)


def complain(error: Exception, code: int) -> None:
    """Says it on standard error, each field that is wrong too, and ends the process."""
    more = error.violations[1:] if isinstance(error, DomainError) else ()
    sys.stderr.write("".join(f"{each}\n" for each in (error, *map(": ".join, more))))
    sys.exit(code)
