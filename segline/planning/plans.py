"""From a data set's fingerprint to a plan: proposals, each of which the task may override.

Spacing, patch and intensity follow the reasoning of nnU-Net (Isensee et al., Nature Methods 2021).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from segline.common.errors import SeglineError
from segline.data.fingerprint import Fingerprint, ras_geometry
from segline.data.manifest import Manifest
from segline.imaging.geometry import Shape, as_shape
from segline.imaging.resampling import resampled_shape
from segline.inference.tiling import tile_axis
from segline.plan.plan import Gate, Inference, Network, Plan, Preprocessing, Split, Training
from segline.plan.task import Task, first_fault, merged
from segline.planning.splits import SPLIT_PARTS, SplitRule, continued_split, split_cases

PATCH_VOXELS = 96**3
BATCH_VOXELS = 2 * PATCH_VOXELS
LARGEST_BATCH = 4
VOXELS_AT_ONCE = 2**24
"""Of a window: half a gigabyte in the flagship's network, and most abdominal CT in one pass."""
SMALLEST_FEATURE_MAP = 5
MOST_HALVINGS = 4
WHOLE_SHARE = 0.75
"""Of each edge of a volume that a patch could hold whole; see ``benchmarks/RECIPE.md``."""
FULL_RESOLUTION_VOXELS = 48**3
"""Of the largest patch whose network begins at the plan's spacing; a larger one's begins at twice that."""
FIRST_CHANNELS = 16
THICK_SLICES = 3.0
"""Largest to smallest spacing from which a grid counts as anisotropic."""
CT_BODY_ABOVE_HU = -500.0
NSD_TOLERANCE_MM = 2.0

_PARTS = ("preprocessing", "training", "network", "inference", "gate", "split")

Part = TypeVar("Part", bound=BaseModel)


def make_plan(manifest: Manifest, fingerprint: Fingerprint, task: Task) -> Plan:
    """Propose a plan; what ``task.plan`` names takes its place before the next part is proposed from it.

    Raises:
        SeglineError: an override is unknown, of the wrong type or does not fit the rest; or there are fewer
            than three cases.
    """
    over = _Overrides(task)
    preprocessing = over.apply("preprocessing", Preprocessing, propose_preprocessing(fingerprint))
    shapes = [
        resampled_shape(shape, have, preprocessing.spacing_mm)
        for shape, have in zip(fingerprint.shapes, fingerprint.spacings_mm, strict=True)
    ]
    training = over.training(propose_patch(shapes))
    network = over.apply("network", Network, propose_network(training.patch_size))
    inference = over.apply("inference", Inference, propose_inference(shapes, training.patch_size, network))
    values = {
        "task": task.name,
        "dataset_digest": manifest.digest,
        "channels": manifest.modalities,
        "labels": manifest.labels,
        "preprocessing": preprocessing.model_dump(),
        "training": training.model_dump(),
        "network": network.model_dump(),
        "inference": inference.model_dump(),
        "gate": over.apply("gate", Gate, Gate(nsd_tolerance_mm=NSD_TOLERANCE_MM).model_dump()).model_dump(),
        "split": over.split([case.name for case in manifest.cases], ensemble=network.members > 1),
        "pseudonyms": manifest.pseudonyms,
    }
    return Plan.parse({**values, **over.rest()}, over.name)


def succeed_plan(previous: Plan, manifest: Manifest, task: Task) -> Plan:
    """A plan for a data set that has grown: preprocessing and network stay, so that old cases stay cached.

    Test and validation cases stay what they were, whatever is trained next was never trained on; of the new
    cases, test and validation get their share. ``task.plan`` may change training, inference, export and gate.
    After an ensemble comes one network of its members' shape. Where the task asks to be tuned, training and
    inference begin as first proposed: what was tuned for the champion binds no later probe. Nor does the
    post-processing that its validation cases asked for.

    Raises:
        SeglineError: an override does not fit, or cases of the previous split are gone.
    """
    over = _Overrides(task)
    values = previous.of_one_member().model_dump()
    values["inference"].pop("keep_largest", None)
    parts = {
        part: merged(values[part], over.part(part)) for part in ("training", "inference", "export", "gate")
    }
    if over.part("training").get("tune"):
        parts |= _to_be_tuned(over, previous, manifest)
    split = continued_split(previous.split, [case.name for case in manifest.cases])
    of_data = {"dataset_digest": manifest.digest, "split": split, "pseudonyms": manifest.pseudonyms}
    return Plan.parse({**values, **parts, **of_data}, over.name)


def fold_tasks(task: Task) -> list[Task]:
    """The task of each of the folds that ``task`` asks for: every case is tested in exactly one of them.

    Raises:
        SeglineError: it asks for fewer than two folds, for an ensemble of another number of networks, or,
            without an ensemble, names the cases of its split itself.
    """
    over = _Overrides(task)
    members = over.part("network").get("members", 1)
    folds = over.split_rule(ensemble=members != 1).folds
    if folds < 2:
        raise SeglineError(f"{over.name}.split.folds: a cross-validation needs 2 or more; 5 are usual")
    if members not in (1, folds):
        raise SeglineError(f"{over.name}.network.members: {members} of {folds} folds; each fold gives one")
    return [task.override("split.fold", fold) for fold in range(folds)]


def resplit(plan: Plan, task: Task) -> Plan:
    """``plan`` with the split that ``task`` asks for; all else stays, and so do the cached cases.

    Of an ensemble's plan it is the plan of one member, none of which may see what the ensemble is tested on.

    Raises:
        SeglineError: there is no such split of its cases.
    """
    over, cases = _Overrides(task), plan.split
    if plan.network.members > 1:
        split = over.member_split(cases)
    else:
        split = over.split([*cases.train, *cases.val, *cases.test])
    return Plan.parse({**plan.of_one_member().model_dump(), "split": split}, over.name)


def propose_preprocessing(fingerprint: Fingerprint) -> dict[str, Any]:
    """Median spacing, but fine slices where slices are thick; HU window for CT, z-score for the rest."""
    spacings = np.array(fingerprint.spacings_mm)
    target = np.median(spacings, axis=0)
    thick = int(np.argmax(target))
    if target[thick] > THICK_SLICES * target.min():
        target[thick] = max(np.percentile(spacings[:, thick], 10), target.min())
    is_ct = [modality.upper() == "CT" for modality in fingerprint.modalities]
    windows = [
        {"rule": "window", "window": (low, high)} for low, _, high in fingerprint.foreground_percentiles
    ]
    return {
        "spacing_mm": tuple(round(float(mm), 4) for mm in target),
        "intensity": [
            window if ct else {"rule": "zscore"} for ct, window in zip(is_ct, windows, strict=True)
        ],
        "foreground_above": CT_BODY_ABOVE_HU if all(is_ct) else 0.0,
    }


def propose_patch(shapes: Sequence[Shape]) -> Shape:
    """The median shape, cut to a cube's edge where it exceeds ``PATCH_VOXELS``, in multiples of the stride.

    An axis that is cut is rounded down, for memory. Where nothing is, ``WHOLE_SHARE`` of each edge is rounded
    up: more patches a second teach more than the whole volume in each.

    >>> propose_patch([(35, 51, 36)]), propose_patch([(270, 270, 90)])
    ((32, 40, 32), (96, 96, 96))
    """
    median = np.median(np.array(shapes), axis=0).astype(int)
    edges = range(int(median.max()), 0, -1)
    edge = next(edge for edge in edges if np.minimum(median, edge).prod() <= PATCH_VOXELS)
    sizes = np.minimum(median, edge)
    multiples = np.array([2 ** _halvings(int(size)) for size in sizes])
    if (median <= edge).all():
        sizes = np.ceil(WHOLE_SHARE * sizes).astype(int)
    rounded = np.where(median > edge, sizes // multiples, -(-sizes // multiples)) * multiples
    return as_shape(rounded)


def propose_network(patch: Shape) -> dict[str, Any]:
    """Halve each axis while the feature map stays large enough; a short axis joins at the deeper levels.

    The first level of a small patch's network keeps the plan's spacing, and halves nothing.

    >>> propose_network((96, 96, 24))["strides"]
    [(2, 2, 1), (2, 2, 1), (2, 2, 2), (2, 2, 2)]
    >>> propose_network((32, 40, 32))["strides"]
    [(1, 1, 1), (2, 2, 2), (2, 2, 2)]
    """
    halvings = [_halvings(size) for size in patch]
    levels = max(1, *halvings)
    strides = [as_shape(2 if level >= levels - n else 1 for n in halvings) for level in range(levels)]
    if levels > 1 and np.prod(patch) <= FULL_RESOLUTION_VOXELS:
        strides[0] = (1, 1, 1)
    return {"channels": [FIRST_CHANNELS * 2**level for level in range(levels + 1)], "strides": strides}


def propose_inference(shapes: Sequence[Shape], patch: Shape, network: Network) -> dict[str, Any]:
    """Windows of at least the patch; with BatchNorm the cheapest for ``shapes``, up to ``VOXELS_AT_ONCE``.

    InstanceNorm's answer depends on the window: there it is the patch.
    """
    longest = patch if network.norm == "instance" else cheapest_window(shapes, patch, network.total_stride)
    batch = VOXELS_AT_ONCE // int(np.prod(longest))
    return {
        "smallest_window": patch,
        "largest_window": longest,
        "overlap": tuple(map(_overlap, patch)),
        "batch_size": min(max(batch, 1), LARGEST_BATCH),
    }


def cheapest_window(shapes: Sequence[Shape], patch: Shape, stride: Shape) -> Shape:
    """The largest window under which the fewest voxels of ``shapes`` go through the network.

    >>> cheapest_window([(270, 270, 90), (200, 210, 80)], (96, 96, 96), (16, 16, 16))
    (272, 272, 96)
    """
    lengths, costs = [], []
    for axis, (shortest, multiple) in enumerate(zip(patch, stride, strict=True)):
        sizes = [shape[axis] for shape in shapes]
        lengths.append(np.arange(shortest, max(shortest, *sizes) + multiple, multiple))
        costs.append([[_computed(size, shortest, int(n), multiple) for size in sizes] for n in lengths[-1]])
    total = np.einsum("ic,jc,kc->ijk", *(np.array(cost, dtype=float) for cost in costs))
    voxels = np.einsum("i,j,k->ijk", *(length.astype(float) for length in lengths))
    allowed = np.where(voxels <= max(VOXELS_AT_ONCE, np.prod(patch)), total, np.inf)
    best = np.unravel_index(np.argmin(allowed), allowed.shape)
    return as_shape(length[index] for length, index in zip(lengths, best, strict=True))


def _computed(size: int, shortest: int, longest: int, multiple: int) -> int:
    """Voxels along an axis that go through the network."""
    length, starts = tile_axis(size, shortest, longest, _overlap(shortest), multiple)
    return length * len(starts)


def _overlap(edge: int) -> int:
    """Least overlap of two windows, for an edge of the patch."""
    return edge // 4


def propose_training(patch: Shape) -> dict[str, Any]:
    """A batch of about two flagship patches of 96x96x96."""
    batch = BATCH_VOXELS // int(np.prod(patch))
    return {"patch_size": patch, "batch_size": min(max(batch, 2), LARGEST_BATCH), "epochs": 300}


def _to_be_tuned(over: "_Overrides", previous: Plan, manifest: Manifest) -> dict[str, Any]:
    """Training and inference of the network that ``previous`` has, as proposed from the data."""
    spacing, network = previous.preprocessing.spacing_mm, previous.network
    shapes = [resampled_shape(shape, have, spacing) for have, shape in map(ras_geometry, manifest.cases)]
    stride = np.array(network.total_stride)
    largest = as_shape(np.maximum(np.array(propose_patch(shapes)) // stride, 1) * stride)
    training = over.training(largest)
    proposal = propose_inference(shapes, training.patch_size, network)
    inference = over.apply("inference", Inference, proposal)
    return {"training": training.model_dump(), "inference": inference.model_dump()}


def _halvings(size: int) -> int:
    """How often ``size`` can be halved (rounding up) and still be ``SMALLEST_FEATURE_MAP`` voxels.

    >>> _halvings(96), _halvings(40), _halvings(9)
    (4, 3, 1)
    """
    return max(n for n in range(MOST_HALVINGS + 1) if n == 0 or -(-size // 2**n) >= SMALLEST_FEATURE_MAP)


class _Overrides:
    """A task's ``plan``, part by part."""

    def __init__(self, task: Task) -> None:
        self.name = f"task {task.name}: plan"
        self._values = task.plan

    def part(self, key: str) -> dict[str, Any]:
        part = self._values.get(key, {})
        if not isinstance(part, Mapping):
            raise SeglineError(f"{self.name}.{key}: a mapping is needed, not {part!r}")
        return dict(part)

    def apply(
        self, key: str, model: type[Part], proposal: dict[str, Any], leave_out: Collection[str] = ()
    ) -> Part:
        asked = {name: value for name, value in self.part(key).items() if name not in leave_out}
        try:
            return model.model_validate(merged(proposal, asked))
        except ValidationError as error:
            raise SeglineError(first_fault(error, f"{self.name}.{key}")) from error

    def training(self, patch: Shape) -> Training:
        """The batch follows the patch, also where the task names another."""
        asked = self.apply("training", Training, propose_training(patch)).patch_size
        return self.apply("training", Training, propose_training(asked))

    def split(self, names: Sequence[str], ensemble: bool = False) -> dict[str, Any]:
        """An ensemble's folds are no matter of its own split."""
        if set(SPLIT_PARTS) & self.part("split").keys():
            return self._explicit_split(names, SplitRule.model_fields if ensemble else ())
        rule = self.split_rule()
        return self._followed(rule.model_copy(update={"folds": 0}) if ensemble else rule, names)

    def split_rule(self, ensemble: bool = False) -> SplitRule:
        return self.apply("split", SplitRule, {}, leave_out=SPLIT_PARTS if ensemble else ())

    def member_split(self, whole: Split) -> dict[str, Any]:
        """A fold of the cases that an ensemble does not hold out."""
        rule = self.split_rule(ensemble=True)
        listed = tuple(tuple(sorted({*cases} - {*whole.test})) for cases in rule.fold_cases)
        return self._followed(rule.model_copy(update={"fold_cases": listed}), [*whole.train, *whole.val])

    def _followed(self, rule: SplitRule, names: Sequence[str]) -> dict[str, Any]:
        try:
            return split_cases(names, rule)
        except SeglineError as error:
            raise SeglineError(f"{self.name}.{error}") from error

    def rest(self) -> dict[str, Any]:
        for key in ("task", "dataset_digest", "channels", "labels"):
            if key in self._values:
                raise SeglineError(
                    f"{self.name}.{key}: the task and its data set decide this; take it out of the plan"
                )
        return {key: value for key, value in self._values.items() if key not in _PARTS}

    def _explicit_split(self, names: Sequence[str], leave_out: Collection[str]) -> dict[str, Any]:
        split = self.apply("split", Split, {}, leave_out)
        unknown = {*split.train, *split.val, *split.test} - set(names)
        if unknown:
            raise SeglineError(
                f"{self.name}.split: the data set has no case {min(unknown)}; its first is {min(names)}"
            )
        return split.model_dump()
