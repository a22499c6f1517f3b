"""Arrays of two libraries: NumPy's on a CPU, PyTorch's on a GPU.

What lies between a file and its mask is written once, in the terms of the array API standard
(https://data-apis.org/array-api), so that a model that ONNX Runtime or OpenVINO computes on a CPU needs no
PyTorch: importing that takes longer than all else that is done to a CT.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # plans, which know how intensities are scaled, are read without either library
    import numpy as np

Array = Any
"""A NumPy array or a PyTorch tensor: what is made of one is of the same library, on the same device."""

_SLAB_BYTES = 250_000

CPU = "cpu"
"""The device where arrays are NumPy's; others are named as PyTorch names them, such as ``cuda:0``."""


def functions_for(array: Array) -> Any:
    """The functions of the array API standard, for arrays like this one."""
    import numpy as np

    if not is_tensor(array):
        return np
    import array_api_compat.torch

    return array_api_compat.torch


def is_tensor(array: Array) -> bool:
    """Whether it is PyTorch's."""
    import numpy as np

    return not isinstance(array, np.ndarray | np.generic)


def placed(array: "np.ndarray", device: str) -> Array:
    """The array itself on the CPU, a tensor elsewhere: float32 where PyTorch does not know the type."""
    if device == CPU:
        return array
    import numpy as np
    import torch

    dtype = np.dtype(np.float32) if array.dtype.name in ("uint16", "uint32", "uint64") else array.dtype
    return torch.from_numpy(array.astype(dtype, copy=not array.flags.writeable)).to(device)


def as_numpy(array: Array) -> "np.ndarray":
    """On the CPU and NumPy's; shares the memory of what lies there already."""
    found: np.ndarray = array.cpu().numpy() if is_tensor(array) else array
    return found


def as_tensor(array: Array, device: str = "") -> Any:
    """PyTorch's, on ``device`` or where it is; shares the memory of what lies there already."""
    import torch

    tensor = array if is_tensor(array) else torch.from_numpy(array)
    return tensor.to(device) if device else tensor


def like(result: Array, array: Array) -> Array:
    """``result`` in the library of ``array``, and on its device."""
    return as_tensor(result, str(array.device)) if is_tensor(array) else as_numpy(result)


def softmax(scores: Array, axis: int) -> Array:
    """Scores to probabilities along ``axis``, in place."""
    xp = functions_for(scores)
    scores -= xp.max(scores, axis=axis, keepdims=True)
    xp.exp(scores, out=scores)
    scores /= xp.sum(scores, axis=axis, keepdims=True)
    return scores


def strides_of(array: Array) -> tuple[int, ...]:
    """How far apart neighbours along each axis lie in memory, in a unit of its own."""
    return tuple(array.stride()) if is_tensor(array) else tuple(array.strides)


def contiguous(array: Array) -> Array:
    """In the order of its axes in memory; copied if it is not already."""
    import numpy as np

    if is_tensor(array):
        return array.contiguous()
    if array.flags.c_contiguous:
        return array
    copied = np.empty(array.shape, array.dtype)
    for slab in slabs(copied, axis=array.ndim // 2):
        copied[slab] = array[slab]
    return copied


def slabs(array: "np.ndarray", axis: int) -> Iterator[tuple[slice, ...]]:
    """Indices of parts of ``array``, cut along ``axis``, that fit the cache.

    NumPy does one operation after the other from end to end of the memory. The three interpolations of a CT
    of 512x512x168 take 115 ms by slabs and 207 ms whole; threads beside each other gain little more.
    """
    count = array.shape[axis]
    parts = min(count, -(-array.nbytes // _SLAB_BYTES))
    for part in range(parts):
        yield (*[slice(None)] * axis, slice(count * part // parts, count * (part + 1) // parts))


@contextmanager
def inferring(array: Array) -> Iterator[None]:
    """Let either library compute in the block as where nothing is learned: without a record for gradients.

    Nor does NumPy warn of what is not finite: whoever asks for it looks.
    """
    if is_tensor(array):
        import torch

        with torch.inference_mode():
            yield
        return
    import numpy as np

    with np.errstate(all="ignore"):
        yield
