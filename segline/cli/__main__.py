"""``python -m segline.cli`` is the command too."""

import sys

from segline.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
