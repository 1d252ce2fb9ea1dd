"""``python -m ganwatch``."""

import sys

from ganwatch.commands.main import main

sys.exit(main())
