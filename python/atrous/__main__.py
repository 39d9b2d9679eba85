"""``python -m atrous`` is the command line ``atrous``."""

import sys

from atrous.cli import main

if __name__ == "__main__":
    sys.exit(main())
