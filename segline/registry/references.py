"""What a user calls a model: spleen@champion, spleen/3, or spleen for its champion."""

import re
from dataclasses import dataclass

from segline.common.errors import SeglineError

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous_champion"
MODEL_PREFIX = "segline-"
_REFERENCE = re.compile(r"(?P<task>[a-z][a-z0-9-]*)(?:@(?P<alias>[A-Za-z_][\w-]*)|/(?P<number>[1-9]\d*))?")


@dataclass(frozen=True)
class Reference:
    """What a user calls a model: ``spleen@champion``, ``spleen/3``, or ``spleen`` for its champion."""

    task: str
    alias: str | None = None
    number: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Read a reference; MLflow's own ``models:/segline-spleen@champion`` is understood too.

        >>> Reference.parse("spleen/3")
        Reference(task='spleen', alias=None, number=3)

        Raises:
            SeglineError: it is none.
        """
        match = _REFERENCE.fullmatch(text.removeprefix("models:/").removeprefix(MODEL_PREFIX))
        if match is None:
            raise SeglineError(f"{text!r}: names no model; write spleen@champion or spleen/3")
        if match["number"]:
            return cls(match["task"], number=int(match["number"]))
        return cls(match["task"], alias=match["alias"] or CHAMPION)

    def __str__(self) -> str:
        return f"{self.task}/{self.number}" if self.number else f"{self.task}@{self.alias}"
