"""The proof: before a version answers anyone, its backend must give PyTorch's answer to a stored case."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from segline.backends import REFERENCE, open_backend
from segline.common.errors import SeglineError
from segline.imaging.files import read_channels
from segline.imaging.volume import Volume
from segline.kinds import kind_of
from segline.model.package import Model
from segline.plan import Plan
from segline.serving.models.served import Served

_SEED = 0
_COARSE = 4
"""Voxels of the grid to a side of the made-up case's blobs."""


def require_proven(served: Served, case: Sequence[Path] = ()) -> None:
    """Refuse a model whose backend answers otherwise than PyTorch, which computes on the CPU.

    Args:
        served: what is to answer.
        case: files of a stored volume; made up where there are none.

    Raises:
        SeglineError: the answers differ by more than the plan's gate allows, or one cannot be given.
    """
    plan, answers = served.plan, served.answers
    volume = read_channels(case) if case else made_up(plan)
    reference = open_backend(REFERENCE, served.model, "cpu")
    by = kind_of(plan.kind).yardstick
    with TemporaryDirectory() as scratch:
        files = [Path(scratch, f"{name}{answers.suffixes[0]}") for name in ("reference", "served")]
        for network, file in zip((reference, served.backend), files, strict=True):
            answers.write(file, answers.predictor(plan, network)(volume))
        share = by.agreement(*files)
    asked = plan.gate.float32 if served.backend.precision == "float32" else plan.gate.reduced
    if share < asked.agreement:
        raise SeglineError(
            f"{served.name}: {served.backend.name} gives {share:.6f} of PyTorch's {by.part}s on the "
            f"stored case, the gate asks for {asked.agreement}; serve it with --backend {REFERENCE}"
        )


def prove(model: Model, name: str, backend: str, device: str, case: Sequence[Path] = ()) -> None:
    """:func:`require_proven` of a package that is not opened yet, for a process of its own."""
    require_proven(Served.opened(model, name, backend, device), case)


def made_up(plan: Plan) -> Volume:
    """Blobs of every intensity that the plan knows, on its grid, a little larger than its largest window."""
    rng = np.random.default_rng(_SEED)
    shape = [edge + (edge // 4 if edge > 1 else 0) for edge in plan.inference.largest_window]
    if plan.network.answers == "classes":
        shape = list(plan.inference.largest_window)
    channels = [_blobs(rng, shape, plan, number) for number in range(len(plan.channels))]
    affine = np.diag([*plan.preprocessing.spacing_mm, 1.0])
    return Volume(np.stack(channels), affine)


def _blobs(rng: np.random.Generator, shape: Sequence[int], plan: Plan, number: int) -> np.ndarray:
    coarse = rng.random([-(-edge // _COARSE) for edge in shape], np.float32)
    for axis, edge in enumerate(shape):
        coarse = coarse.repeat(_COARSE, axis).take(range(edge), axis)
    low, high = plan.preprocessing.intensity[number].display_range(np.array([0.0, 1000.0], np.float32))
    return (low + (high - low) * coarse).astype(np.float32)
