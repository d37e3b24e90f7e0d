"""`python -m deeptravel_terminal`."""

import sys

from deeptravel_terminal.command import main

sys.exit(main())
