"""A run of which only the training stage takes place."""

from pathlib import Path

from segline import stages
from segline.data.cases.index import CaseIndex
from segline.plan import Plan, Task

from .command import Python

TRAIN = """
import sys
from segline import stages
stages.train(*sys.argv[1:], device="cpu")
"""


class Place:
    """A run's folder and what its training stage is given and gives."""

    def __init__(self, folder: Path, plan: Plan, index: CaseIndex) -> None:
        self.folder, self.run, self.store = folder, folder / "run", folder / "store"
        stages.start_run(self.run, Task(name="tiny", source="none"))
        plan.write(folder / "plan.json")
        index.write(folder / "cases.json")

    @property
    def places(self) -> list[Path]:
        given = [self.folder / "plan.json", self.folder / "cases.json"]
        return [self.run, self.store, *given, self.folder / "model"]

    def train(self) -> Plan:
        """To the end; the plan that was trained under."""
        stages.train(*self.places, "cpu", self.folder / "page.html", self.folder / "final.json")
        return Plan.read(self.folder / "final.json")

    def start(self) -> Python:
        """In a process of its own."""
        return Python("-c", TRAIN, *self.places)
