"""From a data set's fingerprint to a plan: proposals, each of which the task may override.

Spacing, patch and intensity follow the reasoning of nnU-Net (Isensee et al., Nature Methods 2021).
"""

from typing import Any, Literal

import numpy as np

from segline.data.fingerprint import Fingerprint, ras_geometry
from segline.data.manifest import Manifest
from segline.imaging.geometry import as_shape
from segline.imaging.resampling import resampled_shape
from segline.plan import Ensemble, Gate, Inference, Plan, Task, merged
from segline.planning.overrides import Overrides
from segline.planning.proposals import accepted_patch, propose_inference, propose_patch, propose_preprocessing
from segline.planning.splits import continued_split


def make_plan(
    manifest: Manifest,
    fingerprint: Fingerprint,
    task: Task,
    gate: Gate | None = None,
    answers: Literal["voxels", "classes"] = "voxels",
) -> Plan:
    """Propose a plan; what ``task.plan`` names takes its place before the next part is proposed from it.

    Args:
        manifest: the data set.
        fingerprint: of it.
        task: whose ``plan`` overrides what is proposed.
        gate: what is proposed to be asked; as of masks by default.
        answers: what the network gives class scores of.

    Raises:
        SeglineError: an override is unknown, of the wrong type or does not fit the rest; or there are fewer
            than three cases.
    """
    over = Overrides(task)
    preprocessing = over.preprocessing(propose_preprocessing(fingerprint), manifest.modalities)
    shapes = [
        resampled_shape(shape, have, preprocessing.spacing_mm)
        for shape, have in zip(fingerprint.shapes, fingerprint.spacings_mm, strict=True)
    ]
    training = over.training(propose_patch(shapes))
    network = over.network(training.patch_size, answers)
    training = over.training(accepted_patch(training.patch_size, network))
    ensemble = over.apply("ensemble", Ensemble, {})
    inference = over.apply("inference", Inference, propose_inference(shapes, training.patch_size, network))
    names = [case.name for case in manifest.cases]
    values = {
        "task": task.name,
        "kind": task.kind,
        "dataset_digest": manifest.digest,
        "channels": manifest.modalities,
        "labels": manifest.labels,
        "ignore": manifest.ignore,
        "preprocessing": preprocessing.model_dump(),
        "training": training.model_dump(),
        "network": network.model_dump(),
        "ensemble": ensemble.model_dump(),
        "inference": inference.model_dump(),
        "gate": over.apply("gate", Gate, (gate or Gate()).model_dump()).model_dump(),
        "split": (over.ensemble_split if ensemble.members > 1 else over.split)(
            names, manifest.twins, manifest.values
        ),
        "pseudonyms": manifest.pseudonyms,
    }
    return Plan.parse({**values, **over.rest()}, over.name)


def succeed_plan(previous: Plan, manifest: Manifest, task: Task) -> Plan:
    """A plan for a data set that has grown: preprocessing and network stay, so that old cases stay cached.

    Test and validation cases stay what they were, whatever is trained next was never trained on; of the new
    cases, test and validation get their share. ``task.plan`` may change training, inference, export and gate.
    After an ensemble comes one network of its members' shape. Where the task asks to be tuned, training and
    inference begin as first proposed: what was tuned for the champion binds no later probe. Nor does the
    post-processing that its validation cases asked for, or its learning rate where that is to be found.

    Raises:
        SeglineError: an override does not fit, or cases of the previous split are gone.
    """
    over = Overrides(task)
    values = previous.of_one_member().model_dump()
    for found in ("keep_largest", "planes"):
        values["inference"].pop(found, None)
    if over.part("training").get("find_rate"):
        values["training"].pop("learning_rate")
    parts = {
        part: merged(values[part], over.part(part)) for part in ("training", "inference", "export", "gate")
    }
    if over.part("training").get("tune"):
        parts |= _to_be_tuned(over, previous, manifest)
    names = [case.name for case in manifest.cases]
    split = continued_split(previous.split, names, strata=manifest.values)
    of_data = {
        "dataset_digest": manifest.digest,
        "split": split,
        "pseudonyms": manifest.pseudonyms,
        "ignore": manifest.ignore,
    }
    return Plan.parse({**values, **parts, **of_data}, over.name)


def _to_be_tuned(over: Overrides, previous: Plan, manifest: Manifest) -> dict[str, Any]:
    """Training and inference of the network that ``previous`` has, as proposed from the data."""
    spacing, network = previous.preprocessing.spacing_mm, previous.network
    shapes = [resampled_shape(shape, have, spacing) for have, shape in map(ras_geometry, manifest.cases)]
    stride = np.array(network.total_stride)
    largest = as_shape(np.maximum(np.array(propose_patch(shapes)) // stride, 1) * stride)
    training = over.training(accepted_patch(largest, network))
    proposal = propose_inference(shapes, training.patch_size, network)
    inference = over.apply("inference", Inference, proposal)
    return {"training": training.model_dump(), "inference": inference.model_dump()}
