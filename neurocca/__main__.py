"""``python -m neurocca``."""

import sys

from neurocca.cli import main

sys.exit(main())
