"""A clean data set in which faults are planted: boxes of tissue in air, with two organs apart."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from segline.data.targets.label_maps import LABEL_MAPS
from segline.exploration.facts import Facts, KindParts
from segline.imaging.files import write_volume
from segline.imaging.volume import Volume
from segline.plan import Task
from segline.planning.plans import make_plan
from segline.training.batches.patches import patch_sampler

SHAPE = (28, 26, 20)
CASES = 10
LABELS = {"0": "background", "1": "liver", "2": "kidney"}
PARTS = KindParts(LABEL_MAPS, make_plan, patch_sampler)
TASK = Task(name="bodies", source="bodies")


class Body:
    """A case that is to be written."""

    def __init__(self, number: int) -> None:
        chance = np.random.default_rng(number)
        self.name = f"body_{number:03d}"
        self.label = np.zeros(SHAPE, np.uint8)
        self.label[15 : 22 + number % 2, 8:16, 6:13] = 1
        self.label[6:11, 9:14, 7 : 11 + number % 2] = 2
        tissue = np.full(SHAPE, -1000.0)
        tissue[3:25, 4:22, 1:19] = 40
        tissue += 60 * (self.label == 1) + 90 * (self.label == 2)
        self.image = (tissue + chance.normal(0, 12, SHAPE)).round().astype(np.int16)
        self.affine = np.diag([2.0, 2.0, 3.0, 1.0])

    @property
    def files(self) -> dict[str, str]:
        return {"image": f"imagesTr/{self.name}.nii.gz", "label": f"labelsTr/{self.name}.nii.gz"}

    def write(self, root: Path) -> None:
        write_volume(root / self.files["image"], Volume(self.image[None], self.affine))
        write_volume(root / self.files["label"], Volume(self.label[None], self.affine))


Change = Callable[[Body], Any]


def write_bodies(
    root: Path, change: Change | None = None, cases: int = CASES, each: Change | None = None, **more: Any
) -> Path:
    """A Decathlon folder; ``change`` is of the fourth case, ``each`` of all."""
    bodies = [Body(number) for number in range(cases)]
    for number, body in enumerate(bodies):
        if each:
            each(body)
        if change and number == 3:
            change(body)
        body.write(root)
    content = {
        "name": "Bodies",
        "licence": "CC0",
        "modality": {"0": "CT"},
        "labels": LABELS,
        "training": [body.files for body in bodies],
        **more,
    }
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def facts_of(root: Path, task: Task = TASK, parts: KindParts = PARTS) -> Facts:
    return Facts.of(root, task, parts, workers=1)
