"""Proposals for networks that see an image whole: one window that holds it, on a grid as fine as may be."""

import numpy as np

from segline.data.fingerprint import Fingerprint
from segline.data.manifest import Manifest
from segline.imaging.geometry import as_shape
from segline.imaging.resampling import resampled_shape
from segline.plan import Agreement, Gate, Plan, Task, merged
from segline.plan.layouts import of_today
from segline.planning.overrides import Overrides
from segline.planning.plans import make_plan
from segline.planning.proposals import accepted_patch

_LARGEST_EDGE = {2: 256, 3: 96}
"""By dimensions; images that are larger are taken on a coarser grid."""
_BATCH = {2: 64, 3: 8}
_EPOCHS = {2: 30, 3: 100}
_NETWORK = "densenet121"
_GATE = Gate(
    float32=Agreement(differences={"true_class": 0.001}, agreement=1.0),
    reduced=Agreement(differences={"true_class": 0.05}, agreement=0.0, equivalence_margin=0.01),
)
"""In float32 every decision must be the same; in less, near ties may fall to the other side."""


def plan_of_wholes(manifest: Manifest, fingerprint: Fingerprint, task: Task) -> Plan:
    """Propose a plan of two dimensions where every image is one slice, else of three.

    As MONAI's MedNIST tutorial: DenseNet-121 and Adam; each image once an epoch, whatever its class. Left is
    not right, but there may be no telling: nothing is mirrored unless the task says so.

    Raises:
        SeglineError: as :func:`~segline.planning.plans.make_plan`.
    """
    dimensions = 2 if all(shape[2] == 1 for shape in fingerprint.shapes) else 3
    over, spacing = Overrides(task), _spacing(fingerprint, dimensions)
    given = over.part("preprocessing").get("spacing_mm", spacing)
    network = {"name": _NETWORK, "spatial_dims": dimensions, **over.part("network")}
    window = _window(fingerprint, tuple(given))
    settings = Overrides(task.model_copy(update={"plan": {"network": network}})).network(window, "classes")
    proposal = {
        "preprocessing": {"spacing_mm": spacing, "foreground_above": None},
        "network": network,
        "training": {
            "patch_size": accepted_patch(window, settings),
            "batch_size": min(_BATCH[dimensions], max(2, len(manifest.cases) // 8)),
            "epochs": _EPOCHS[dimensions],
            "learning_rate": 1e-3,
            "weight_decay": 0.0,
            "optimizer": {"name": "adam"},
            "sampler": {"name": "uniform"},
            "augmentation": {"rotation_degrees": 15.0, "scale": 0.1},
        },
    }
    plan = {**merged(proposal, of_today(task.plan)), "network": network}
    return make_plan(manifest, fingerprint, task.model_copy(update={"plan": plan}), _GATE, "classes")


def _spacing(fingerprint: Fingerprint, dimensions: int) -> tuple[float, ...]:
    """The median, made coarser alike along all axes for the median image to fit the largest window."""
    median = np.median(np.array(fingerprint.spacings_mm), axis=0)
    edges = np.median(np.array(_shapes(fingerprint, tuple(median))), axis=0)[:dimensions]
    coarser = max(1.0, float(edges.max()) / _LARGEST_EDGE[dimensions])
    factor = np.array([coarser, coarser, coarser if dimensions == 3 else 1.0])
    return tuple(round(float(mm), 4) for mm in median * factor)


def _window(fingerprint: Fingerprint, spacing: tuple[float, ...]) -> tuple[int, int, int]:
    """The largest image that is no outlier: nothing of nineteen in twenty is cut off."""
    return as_shape(int(edge) for edge in np.percentile(_shapes(fingerprint, spacing), 95, axis=0).round())


def _shapes(fingerprint: Fingerprint, spacing: tuple[float, ...]) -> list[tuple[int, int, int]]:
    return [
        resampled_shape(shape, have, (spacing[0], spacing[1], spacing[2]))
        for shape, have in zip(fingerprint.shapes, fingerprint.spacings_mm, strict=True)
    ]
