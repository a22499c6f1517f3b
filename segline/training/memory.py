"""Whether a training fits into memory, before anything is allocated."""

import torch

from segline.common.errors import SeglineError
from segline.common.wording import by
from segline.machine.memory import available_bytes
from segline.networks.memory import training_bytes
from segline.plan import Plan


def check_memory(plan: Plan, device: torch.device, ranks: int = 1, networks: int = 1) -> None:
    """Refuse a patch that cannot fit, before anything is allocated.

    Each of the ``ranks`` has its part of the batch; ``networks`` are trained on the device at once.

    Raises:
        SeglineError: one training step needs more memory than is free.
    """
    needed, free = training_bytes(plan) * networks // ranks, available_bytes(str(device))
    if needed > free:
        size = by(plan.training.patch_size)
        several = f", {networks} networks at once" if networks > 1 else ""
        raise SeglineError(
            f"plan: patch {size}, batch {plan.training.batch_size}{several} needs about "
            f"{needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free on {device}; "
            "lower training.patch_size or batch_size"
        )
