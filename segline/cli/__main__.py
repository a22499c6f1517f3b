"""``python -m segline.cli`` is the command too."""

import os
import sys

from segline.cli.main import main


def start() -> int:
    """The command in a process of its own, which needs no more of MONAI than segline does."""
    os.environ.setdefault("SEGLINE_LEAN", "1")  # segline.networks.monai_nets.LEAN, which would import torch
    return main()


if __name__ == "__main__":
    sys.exit(start())
