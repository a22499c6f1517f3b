"""Two backends on the same patches: by how much their scores differ."""

from collections.abc import Sequence

import torch

from segline.backends import REFERENCE, open_backend
from segline.data.cases.case import Case
from segline.model.package import Model
from segline.training.objectives.objective import Objective


def compare_on_patches(
    model: Model,
    cases: Sequence[Case],
    patches: int,
    objective: Objective,
    backends: tuple[str, str] = (REFERENCE, "onnxruntime"),
    first: int = 0,
) -> tuple[float, float]:
    """Largest absolute score difference and share of equal parts of the answers of two backends.

    The difference is NaN where a score is. ``objective`` cuts the patches, ``first`` is its sampler's step to
    start from.

    Raises:
        SeglineError: the package's graph or weights cannot be opened.
    """
    reference, exported = (open_backend(name, model) for name in backends)
    sampler = objective.sampler(model.plan, cases, batch_size=2)
    largest, same, parts = torch.zeros(()), 0, 0
    for step in range(first, first - (-patches // 2)):
        image, _ = sampler.batch(step)
        wanted, got = reference(image), exported(image)
        largest = torch.maximum(largest, (wanted - got).abs().max())
        equal, all_of_them = objective.agreement(wanted, got)
        same, parts = same + equal, parts + all_of_them
    return float(largest), same / parts
