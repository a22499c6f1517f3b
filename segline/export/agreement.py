"""Two backends on the same patches: by how much their scores differ."""

from collections.abc import Sequence

import torch
from torch import Tensor

from segline.backends import REFERENCE, open_backend
from segline.data.cases.case import Case
from segline.model.package import Model
from segline.training.batches.patches import PatchSampler


def compare_on_patches(
    model: Model,
    cases: Sequence[Case],
    patches: int,
    backends: tuple[str, str] = (REFERENCE, "onnxruntime"),
    first: int = 0,
) -> tuple[float, float]:
    """Largest absolute score difference and share of equal classes of two backends.

    The difference is NaN where a score is. ``first`` is the sampler's step to start from.

    Raises:
        SeglineError: the package's graph or weights cannot be opened.
    """
    reference, exported = (open_backend(name, model) for name in backends)
    sampler = PatchSampler(cases, model.plan.training.patch_size, 2, 3.0, model.plan.seed)
    largest, same, voxels = torch.zeros(()), 0, 0
    for step in range(first, first - (-patches // 2)):
        image, _ = sampler.batch(step)
        wanted, got = reference(image), exported(image)
        largest = torch.maximum(largest, (wanted - got).abs().max())
        equal: Tensor = wanted.max(dim=1).indices == got.max(dim=1).indices
        same, voxels = same + int(equal.sum()), voxels + equal.numel()
    return float(largest), same / voxels
