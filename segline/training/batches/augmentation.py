"""Random changes of training patches, on the device the network runs on.

Own code rather than MONAI's transforms: those take one sample at a time on the CPU and resample once per
transform; here a batch goes through one resampling and a few in-place operations.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from segline.imaging.geometry import Shape, as_shape
from segline.plan import Augmentation

_BIAS_ORDERS = [(i, j, k) for i in range(4) for j in range(4 - i) for k in range(4 - i - j) if i + j + k]
"""Powers of x, y and z in a polynomial of third order."""
_BIAS_COEFFICIENTS = len(_BIAS_ORDERS)


@dataclass(frozen=True)
class Augmenter:
    """Applies a plan's augmentation; the result depends on the patch, its number, the seed and the device.

    Nothing waits for the device.

    Attributes:
        spacing_mm: of the patches' voxels, so that a rotation keeps lengths in mm where these are no cubes.
    """

    settings: Augmentation
    seed: int
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __call__(self, image: Tensor, target: Tensor, step: int, first: int = 0) -> tuple[Tensor, Tensor]:
        """Change ``image`` ``(B, C, X, Y, Z)`` float32 and ``target`` ``(B, X, Y, Z)``, in place.

        Both move alike in space, unless the target has no place in it, such as ``(B,)``; intensities change
        afterwards. ``first`` is the first patch's number in the
        step, where these are a part of a batch.
        """
        noise = torch.Generator(image.device)
        for index in range(len(image)):
            rng = np.random.default_rng((self.seed, 2, step, first + index))
            noise.manual_seed(int(rng.integers(2**62)))
            label = target[index] if target[index].dim() == 3 else None
            image[index], moved = self._move(image[index], label, rng)
            if moved is not None:
                target[index] = moved
            self._change_intensity(image[index], rng, noise)
        return image, target

    def _move(
        self, image: Tensor, label: Tensor | None, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor | None]:
        settings = self.settings
        flips = [axis for axis in range(3) if rng.random() < settings.flip]
        if flips:
            image = image.flip([1 + axis for axis in flips])
            label = None if label is None else label.flip(flips)
        if rng.random() >= settings.affine:
            return image, label
        angles = np.radians(rng.uniform(-settings.rotation_degrees, settings.rotation_degrees, 3))
        angles = np.where(_turning(as_shape(image.shape[1:])), angles, 0.0)
        zoom = 1 + rng.uniform(-settings.scale, settings.scale)
        spacing = np.array(self.spacing_mm)
        return apply_affine(image, label, rotation_matrix(angles) / zoom * spacing / spacing[:, None])

    def _change_intensity(self, image: Tensor, rng: np.random.Generator, noise: torch.Generator) -> None:
        """Blur, noise, contrast, brightness, gamma, bias field, in this order, in place, a channel each."""
        settings = self.settings
        for channel in image:
            sd = channel.std()
            sd = torch.where(sd > 0, sd, 1.0)
            if rng.random() < settings.blur:
                channel.copy_(gaussian_blur(channel, rng.uniform(0, settings.blur_voxels)))
            if rng.random() < settings.noise:
                randn = torch.randn(channel.shape, generator=noise, device=channel.device)
                channel.add_(randn.mul_(sd * rng.uniform(0, settings.noise_sd)))
            if rng.random() < settings.intensity:
                channel.mul_(1 + rng.uniform(-settings.intensity_scale, settings.intensity_scale))
                channel.add_(sd * rng.uniform(-settings.intensity_shift, settings.intensity_shift))
            if rng.random() < settings.gamma:
                change_gamma(channel, math.exp(rng.uniform(-settings.gamma_log, settings.gamma_log)))
            if settings.bias_field and rng.random() < settings.bias_field:
                most = settings.bias_field_log
                multiply_by_field(channel, rng.uniform(-most, most, _BIAS_COEFFICIENTS))


def _turning(shape: Shape) -> list[bool]:
    """About which axes a patch may turn: an image, one voxel thick, would leave itself but for its plane.

    >>> _turning((32, 32, 1)), _turning((32, 32, 16))
    ([False, False, True], [True, True, True])
    """
    x, y, z = (size > 1 for size in shape)
    return [y and z, z and x, x and y]


def rotation_matrix(angles: np.ndarray) -> np.ndarray:
    """``(3, 3)`` right-handed rotation about x, then y, then z by ``angles`` in radians."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn[[a, a, b, b], [a, b, a, b]] = math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)
        matrix = turn @ matrix
    return matrix


def apply_affine(image: Tensor, label: Tensor | None, matrix: np.ndarray) -> tuple[Tensor, Tensor | None]:
    """Sample a patch through ``matrix`` (output to input voxel offsets from the centre).

    Linear for ``image`` ``(C, X, Y, Z)``, nearest for ``label`` ``(X, Y, Z)``; zero beyond the patch.
    """
    shape = image.shape[1:]
    half = np.array(shape, dtype=float) / 2
    x, y, z = (
        torch.arange(size, device=image.device, dtype=image.dtype) * (2 / size) + (1 / size - 1)
        for size in shape
    )
    grid = image.new_empty((*shape, 3))
    for axis, (a, b, c) in enumerate((matrix * half / half[:, None]).tolist()):
        # grid_sample's coordinates run z, y, x, from -1 to 1 over each axis
        torch.add((a * x)[:, None, None] + (b * y)[:, None], c * z, out=grid[..., 2 - axis])
    if label is not None:
        label = _sample(label[None].float(), grid, "nearest")[0].to(label.dtype)
    return _sample(image, grid, "bilinear"), label


def _sample(volume: Tensor, grid: Tensor, mode: str) -> Tensor:
    """``volume`` ``(C, X, Y, Z)`` at ``grid`` ``(X, Y, Z, 3)``; in slabs, a thread each."""
    slabs = math.gcd(len(grid), torch.get_num_threads()) if grid.device.type == "cpu" else 1
    parts = grid.view(slabs, -1, *grid.shape[1:])
    sampled = functional.grid_sample(
        volume.expand(slabs, *volume.shape), parts, mode=mode, align_corners=False
    )
    return sampled.movedim(0, 1).flatten(1, 2)


def gaussian_blur(channel: Tensor, sigma_voxels: float) -> Tensor:
    """Gaussian blur of ``(X, Y, Z)``, one axis at a time, cut off at two sigma, edges repeated."""
    radius = max(1, math.ceil(2 * sigma_voxels))
    offsets = torch.arange(-radius, radius + 1, device=channel.device, dtype=channel.dtype)
    kernel = torch.exp(-0.5 * (offsets / max(sigma_voxels, 1e-3)) ** 2)
    kernel = kernel / kernel.sum()
    for axis in range(3):
        rows = channel.movedim(axis, -1)
        padded = functional.pad(rows, (radius, radius), mode="replicate")
        blurred = sum(kernel[k] * padded[..., k : k + rows.shape[-1]] for k in range(len(kernel)))
        channel = torch.as_tensor(blurred).movedim(-1, axis)
    return channel


def multiply_by_field(channel: Tensor, coefficients: np.ndarray) -> None:
    """Multiply what is above the lowest value by a smooth field, in place.

    Van Leemput et al., Automated model-based bias field correction of MR images of the brain, 1999: the
    field's logarithm is a polynomial of the place, from -1 to 1 along each axis, without a constant.

    Args:
        channel: ``(X, Y, Z)``.
        coefficients: ``(19,)``, of all products up to third order.
    """
    axes = [torch.linspace(-1, 1, size, device=channel.device, dtype=channel.dtype) for size in channel.shape]
    x, y, z = axes[0][:, None, None], axes[1][:, None], axes[2]
    logarithm = torch.zeros_like(channel)
    for value, (i, j, k) in zip(coefficients.tolist(), _BIAS_ORDERS, strict=True):
        logarithm.add_(x**i * y**j * z**k, alpha=value)
    low = channel.min()
    channel.sub_(low).mul_(logarithm.exp_()).add_(low)


def change_gamma(channel: Tensor, exponent: float) -> None:
    """Raise the intensities, scaled to 0..1 by their own range, to ``exponent``, in place."""
    low, high = channel.aminmax()
    span = (high - low).clamp_min_(1e-6)
    channel.sub_(low).div_(span).pow_(exponent).mul_(span).add_(low)
