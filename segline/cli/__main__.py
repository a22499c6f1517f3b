"""``python -m segline.cli`` is the command too."""

import gc
import os
import sys

from segline.cli.main import main
from segline.common.lean import LEAN


def start() -> int:
    """The command in a process of its own."""
    os.environ.setdefault(LEAN, "1")
    gc.set_threshold(100_000, 20, 100)  # what is imported stays
    try:
        return main()
    finally:
        gc.freeze()  # and need not be looked through once more in the end


if __name__ == "__main__":
    sys.exit(start())
