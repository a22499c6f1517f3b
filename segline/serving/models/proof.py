"""The proof: before a version answers anyone, its backend must give another's answer to a stored case.

That the exported graph says what the trained weights do was shown at export and by the gate, and digests
bind them. What a server has yet to show is that its own runtime computes that graph rightly on this machine.
Another runtime is the witness of that, so PyTorch need not be installed.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from segline.backends import REFERENCE, Backend, open_backend
from segline.common.errors import SeglineError
from segline.common.processes.alone import in_own_process
from segline.model.package import Model

if TYPE_CHECKING:  # the process that waits for a proof starts it before it loads anything heavy itself
    import numpy as np

    from segline.imaging.volume import Volume
    from segline.plan import Plan
    from segline.serving.models.served import Served

_log = logging.getLogger(__name__)
_SEED = 0
_WITNESSES = ("onnxruntime", "openvino", REFERENCE)
_COARSE = 4
"""Voxels of the grid to a side of the made-up case's blobs."""


def require_proven(served: "Served", case: Sequence[Path] = ()) -> None:
    """Refuse a model whose backend answers otherwise than another one, which computes on the CPU.

    Args:
        served: what is to answer.
        case: files of a stored volume; made up where there are none.

    Raises:
        SeglineError: the answers differ by more than the plan's gate allows, or one cannot be given.
    """
    from segline.imaging.files import read_channels
    from segline.kinds import kind_of

    plan, answers = served.plan, served.answers
    volume = read_channels(case) if case else made_up(plan)
    witness = _witness(served)
    by = kind_of(plan.kind).yardstick
    with TemporaryDirectory() as scratch:
        files = [Path(scratch, f"{name}{answers.suffixes[0]}") for name in ("witness", "served")]
        for network, file in zip((witness, served.backend), files, strict=True):
            answers.write(file, answers.predictor(plan, network)(volume))
        share = by.agreement(*files)
    asked = plan.gate.float32 if served.backend.precision == "float32" else plan.gate.reduced
    if share < asked.agreement:
        raise SeglineError(
            f"{served.name}: {served.backend.name} gives {share:.6f} of {witness.name}'s {by.part}s on the "
            f"stored case, the gate asks for {asked.agreement}; serve it with --backend {witness.name}"
        )


def _witness(served: "Served") -> Backend:
    """The first other backend that can be had; the reference itself of a package that has nothing else."""
    for name in _WITNESSES:
        try:
            if name != served.backend.name:
                return open_backend(name, served.model, "cpu")
        except SeglineError as error:
            _log.info("proof by %s: %s", name, error)
    return open_backend(REFERENCE, served.model, "cpu")


def opened_and_proven(
    model: Model, version: str, backend: str, device: str, case: Sequence[Path] = ()
) -> "Served":
    """A package that is opened here while it is proven beside, in a process of its own.

    What the proof needs is gone with its process, and who answers meanwhile is not held up.

    Raises:
        SeglineError: as :func:`require_proven`, or as ``Served.opened``.
    """
    with ThreadPoolExecutor(1) as beside:
        name = f"{version or model.folder}: its proof"
        proof = beside.submit(in_own_process, name, _prove, model, version, backend, device, tuple(case))
        from segline.serving.models.served import Served

        served = Served(model, version, backend, device).opened()
        proof.result()
    return served


def _prove(model: Model, version: str, backend: str, device: str, case: Sequence[Path]) -> None:
    from segline.serving.models.served import Served

    require_proven(Served(model, version, backend, device), case)


def made_up(plan: "Plan") -> "Volume":
    """Blobs of every intensity that the plan knows, on its grid: one window, as a network is given it."""
    import numpy as np

    from segline.imaging.volume import Volume

    rng = np.random.default_rng(_SEED)
    channels = [
        _blobs(rng, plan.inference.smallest_window, plan, number) for number in range(len(plan.channels))
    ]
    affine = np.diag([*plan.preprocessing.spacing_mm, 1.0])
    return Volume(np.stack(channels), affine)


def _blobs(rng: "np.random.Generator", shape: Sequence[int], plan: "Plan", number: int) -> "np.ndarray":
    import numpy as np

    coarse = rng.random([-(-edge // _COARSE) for edge in shape], np.float32)
    for axis, edge in enumerate(shape):
        coarse = coarse.repeat(_COARSE, axis).take(range(edge), axis)
    low, high = plan.preprocessing.intensity[number].display_range(np.array([0.0, 1000.0], np.float32))
    return (low + (high - low) * coarse).astype(np.float32)
