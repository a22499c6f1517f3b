"""Kinds of task: what each does in its own way, in one place, for those who put the parts together.

Only stages, serving and the command line look a kind up; every room below is handed a part, and never asks.

One more is a module with a ``KIND``, and one line in :data:`KINDS`; or, outside this library, a package whose
entry point in the group ``segline.kinds`` names such a module.
"""

import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol

from segline.common.errors import SeglineError

if TYPE_CHECKING:
    from pathlib import Path

    from segline.data.fingerprint import Fingerprint
    from segline.data.manifest import Manifest
    from segline.data.targets import Targets
    from segline.evaluation.yardstick import Yardstick
    from segline.inference.answers import Answers
    from segline.model.package import Model
    from segline.plan import Plan, Task
    from segline.report.page import Section
    from segline.report.viewer_page import Viewer
    from segline.training.objectives.objective import Objective

KINDS: Mapping[str, str] = {
    "segmentation": "segline.kinds.segmentation",
    "classification": "segline.kinds.classification",
}
"""The module of each, by the name that a task gives."""
GROUP = "segline.kinds"
"""Of the entry points of others."""


class Kind(Protocol):
    """A kind of task. Each part is imported when it is asked for: who predicts loads no training."""

    @property
    def targets(self) -> "Targets":
        """What is to be predicted of a case."""

    def propose(self, manifest: "Manifest", fingerprint: "Fingerprint", task: "Task") -> "Plan":
        """A plan, in which what the task says takes the place of what is proposed."""

    @property
    def objective(self) -> "Objective":
        """What a network learns."""

    @property
    def answers(self) -> "Answers":
        """What is predicted."""

    @property
    def yardstick(self) -> "Yardstick":
        """What answers are measured and compared by."""

    @property
    def pictures(self) -> "Section":
        """Of the report: what errors look like."""

    @property
    def viewer(self) -> "Viewer | None":
        """What shows whole cases beside the report; ``None`` where slices tell all."""

    def bundle(self, model: "Model", folder: "Path") -> None:
        """Write a model as a MONAI bundle.

        Raises:
            SeglineError: there is none of this kind.
        """


def kind_of(name: str) -> Kind:
    """The kind of task called ``name``, as tasks and plans say it.

    Raises:
        SeglineError: there is none.
    """
    others = {} if name in KINDS else {entry.name: entry.value for entry in entry_points(group=GROUP)}
    known = {**others, **KINDS}
    if name not in known:
        raise SeglineError(
            f"kind {name!r}: unknown; there are {', '.join(known)}, or install the package that has it"
        )
    kind: Kind = importlib.import_module(known[name]).KIND
    return kind
