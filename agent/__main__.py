"""`python -m agent` is `satomori`."""

import sys

from agent.cli import main

sys.exit(main())
