"""``python -m segline.cli`` is the command too."""

import sys

from segline.cli.main import main
from segline.common.processes import lean


def start() -> int:
    """The command in a process of its own."""
    return lean.run(main)


if __name__ == "__main__":
    sys.exit(start())
