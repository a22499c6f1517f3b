"""Intensity rules: what a file's numbers become before the network sees them."""

import torch
from torch import Tensor

from segline.plan import Intensity, IntensityWindow

OUTSIDE = 0.0
"""Value of voxels beyond the volume, after normalisation: the window's lower end, or the image's mean."""


def normalise(channel: Tensor, rule: Intensity, foreground_above: float | None) -> Tensor:
    """Apply one channel's rule.

    Args:
        channel: ``(X, Y, Z)`` float32 in the file's unit; changed in place.
        rule: a window in the file's unit, to 0..1, or a z-score, to plus or minus ``clip_sd``.
        foreground_above: voxels above it, in the file's unit, give the mean and standard deviation of a
            z-score; all voxels do where it is ``None`` or fewer than two are above it.

    Returns:
        ``channel``, normalised.
    """
    if isinstance(rule, IntensityWindow):
        low, high = rule.window
        return channel.sub_(low).div_(high - low).clamp_(0.0, 1.0)
    mean, sd = _foreground_statistics(channel, foreground_above)
    return channel.sub_(mean).div_(sd).clamp_(-rule.clip_sd, rule.clip_sd)


def _foreground_statistics(channel: Tensor, foreground_above: float | None) -> tuple[float, float]:
    voxels = channel if foreground_above is None else channel[channel > foreground_above]
    if voxels.numel() < 2:
        voxels = channel
    sd, mean = torch.std_mean(voxels.double(), correction=0)
    return float(mean), max(float(sd), 1e-8)
