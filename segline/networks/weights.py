"""Weights in a file: a state dict with the digest of its plan, never a pickle."""

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segline.common import atomic
from segline.common.errors import SeglineError
from segline.networks.catalogue import build_network, build_without_memory
from segline.networks.torch_files import require_state_dict, require_whole
from segline.plan import Plan


def save_weights(path: Path, state: dict[str, Tensor], plan: Plan) -> None:
    """Write a state dict and its plan's digest, atomically and with the same bytes every time."""
    buffer = io.BytesIO()  # given a path, torch would write its name into the file
    torch.save({"plan_digest": plan.digest, "state": state}, buffer)
    with atomic.new_file(path) as scratch:
        scratch.write_bytes(buffer.getvalue())


def load_network(path: Path, plan: Plan) -> nn.Module:
    """Build the plan's network with the weights of ``path``, ready for inference on the CPU.

    Raises:
        SeglineError: not a weights file or a damaged one, of a model made under another plan, or without the
            weights of its network.
    """
    stored = _read(path)
    if stored["plan_digest"] != plan.digest:
        raise SeglineError(
            f"{path}: trained under plan {str(stored['plan_digest'])[:12]}, the plan given is "
            f"{plan.digest[:12]}; use the plan.json that lies beside the weights"
        )
    if not _fits(stored["state"], plan):
        raise SeglineError(f"{path}: the weights do not fit the plan's network; train again")
    network = build_network(plan)
    network.load_state_dict(stored["state"])
    return network.eval()


def _fits(state: Any, plan: Plan) -> bool:
    """Whether a state dict is of the plan's network, seen before the network takes any memory."""
    wanted = {name: value.shape for name, value in build_without_memory(plan).state_dict().items()}
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        return False
    return {name: value.shape for name, value in state.items()} == wanted


def _read(path: Path) -> dict[str, Any]:
    try:
        require_whole(path)
        require_state_dict(path)
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except ValueError as error:
        raise SeglineError(f"{path}: not a readable weights file ({error}); train again") from error
    except SeglineError:
        raise
    except Exception as error:  # torch raises anything from OSError to UnpicklingError here
        raise SeglineError(
            f"{path}: not a readable weights file ({type(error).__name__}); train again"
        ) from error
    if not isinstance(stored, dict) or not {"plan_digest", "state"} <= stored.keys():
        raise SeglineError(f"{path}: not a segline weights file; give the weights.pt of a model package")
    return stored
