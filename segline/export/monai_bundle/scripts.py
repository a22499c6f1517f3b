"""The scripts that a bundle carries, and how its configuration asks for what is in them."""

from typing import Protocol


class Carried(Protocol):
    """A module that a bundle carries in part."""

    SCRIPT: str

    def script(self) -> str:
        """What is carried."""


def taken_from(script: str, name: str) -> str:
    """What a script calls ``name``, as an expression of MONAI's configuration."""
    return f"runpy.run_path(@bundle_root + '/{script}')['{name}']"
