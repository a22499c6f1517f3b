"""Why a plan is as it is, in words: what each value follows from, or that the task sets it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from segline.common.wording import by
from segline.data.fingerprint import Fingerprint
from segline.plan import Augmentation, Plan, Task
from segline.plan.layouts import of_today
from segline.planning.proposals import (
    BATCH_VOXELS,
    FULL_RESOLUTION_VOXELS,
    LARGEST_BATCH,
    MOST_HALVINGS,
    PATCH_VOXELS,
    SMALLEST_FEATURE_MAP,
    THICK_SLICES,
    WHOLE_SHARE,
)
from segline.planning.sizes import Sizes

SET = "set by the task"
_SETTINGS = {
    "Grid": ("preprocessing", "spacing_mm"),
    "Intensity": ("preprocessing", "intensity"),
    "Crop": ("preprocessing", "foreground_above"),
    "Network": ("network",),
    "Patch": ("training", "patch_size"),
    "Schedule": ("training", "epochs"),
    "Augmentation": ("training", "augmentation"),
    "Inference": ("inference", "largest_window"),
    "Weights": ("training", "ema_decay"),
    "Seed": ("seed",),
}
"""What the report calls each, and the setting that decides it."""
_POSTPROCESSING = {"keep_largest": "the largest component", "planes": "planes between labels"}
"""Of the inference part, and what each is called."""
_OF_CLASSES = {
    "Labels": "the names of the folders, or declared in dataset.json",
    "Grid": "the median spacing, or a coarser one for the median image to fit the largest window",
    "Crop": "each image is seen whole",
    "Network": "as MONAI's tutorial of MedNIST; two dimensions where every image is one slice",
    "Patch": "holds nineteen of twenty images whole, in multiples of the network's stride",
    "Schedule": "the default for classes; end it sooner with training.max_minutes",
    "Inference": "the network answers of the whole image",
    "Post-processing": "there is none of a class",
}
"""Why a plan is so whose network answers with one class an image."""


def reasons(plan: Plan, fingerprint: Fingerprint, task: Task) -> dict[str, str]:
    """By what the report calls each part of a plan, why it is so."""
    told = {
        "Labels": "declared in dataset.json",
        "Grid": _grid(plan, fingerprint),
        "Intensity": _intensity(fingerprint),
        "Crop": _crop(plan),
        "Network": _network(plan),
        "Patch": _patch(plan, fingerprint),
        "Schedule": "the default for every task; end it sooner with training.max_minutes",
        "Weights": "the default: averaged weights vary less from step to step than the raw ones",
        "Augmentation": _augmentation(plan),
        "Inference": _inference(plan),
        "Post-processing": _postprocessing(task),
        "Seed": "the default; another one gives another start, order and noise",
        **(_OF_CLASSES if plan.network.answers == "classes" else {}),
    }
    return {name: SET if _sets(task, _SETTINGS.get(name, ())) else why for name, why in told.items()}


def _sets(task: Task, path: tuple[str, ...]) -> bool:
    given: Any = of_today(task.plan)
    for key in path:
        if not isinstance(given, Mapping) or key not in given:
            return False
        given = given[key]
    return bool(path)


def _postprocessing(task: Task) -> str:
    free = [words for name, words in _POSTPROCESSING.items() if not _sets(task, ("inference", name))]
    found = "found on the validation cases after training, if it helps there"
    if len(free) == len(_POSTPROCESSING):
        return found
    return "; ".join([SET, *(f"{words}: {found}" for words in free)])


def _augmentation(plan: Plan) -> str:
    if plan.training.augmentation == Augmentation():
        return "the default; no flips, since left is not right in a body"
    return "what leaves unchanged what is to be predicted in this kind of task"


def _grid(plan: Plan, fingerprint: Fingerprint) -> str:
    spacings = np.array(fingerprint.spacings_mm)
    middle = np.median(spacings, axis=0)
    thick = int(middle.argmax())
    told = f"median spacing of the cases, {by(float(round(mm, 4)) for mm in middle)} mm"
    if middle[thick] <= THICK_SLICES * middle.min():
        return told
    taken = plan.preprocessing.spacing_mm[thick]
    return (
        f"{told}; slices are more than {THICK_SLICES:g} times as thick as pixels are wide, so across them "
        f"the spacing that a tenth of the cases stays below is taken: {taken:g} mm"
    )


def _intensity(fingerprint: Fingerprint) -> str:
    ct = [name for name in fingerprint.modalities if name.upper() == "CT"]
    others = [name for name in fingerprint.modalities if name.upper() != "CT"]
    window = "CT has a unit: the 0.5th to 99.5th percentile of labelled voxels over all cases"
    score = f"{', '.join(others)} has no unit that scanners share: each image by its own mean and deviation"
    return "; ".join(([window] if ct else []) + ([score] if others else []))


def _crop(plan: Plan) -> str:
    if plan.preprocessing.foreground_above is None:
        return "in some case it would leave out labelled voxels, or values below it are there too"
    return "what is outside the patient is not computed; no labelled voxel of any case is lost"


def _patch(plan: Plan, fingerprint: Fingerprint) -> str:
    known = zip(fingerprint.spacings_mm, fingerprint.shapes, strict=True)
    median = Sizes.on_grid(plan, known).median
    told = f"the median case has {by(median)} voxels on this grid, "
    edge = round(PATCH_VOXELS ** (1 / 3))
    if int(np.prod(median)) > PATCH_VOXELS:
        told += f"of which at most {edge}x{edge}x{edge} are taken for memory"
    else:
        told += f"of which {WHOLE_SHARE:.0%} of each edge are taken: more patches a second teach more"
    return (
        f"{told}, in multiples of the network's stride {by(plan.network.total_stride)}; batch: about "
        f"{BATCH_VOXELS / 1e6:.1f} million voxels, 2 to {LARGEST_BATCH} patches"
    )


def _network(plan: Plan) -> str:
    small = int(np.prod(plan.training.patch_size)) <= FULL_RESOLUTION_VOXELS
    first = "the first level keeps the grid of so small a patch" if small else "the first level halves it"
    return (
        f"each axis of the patch is halved while {SMALLEST_FEATURE_MAP} voxels are left, {MOST_HALVINGS} "
        f"times at most; {first}; channels double from level to level"
    )


def _inference(plan: Plan) -> str:
    if plan.network.needs_fixed_window:
        return "the norm's answer depends on the window, which is the patch everywhere"
    return "the largest window under which the fewest voxels go through the network twice"
