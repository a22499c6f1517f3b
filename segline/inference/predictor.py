"""Prediction: windows over a volume, blended into one answer on the file's own grid."""

import math
from dataclasses import dataclass

from segline.common.arrays import CPU, Array
from segline.common.errors import SeglineError
from segline.common.limits import require_fits
from segline.common.wording import by
from segline.imaging.placement import Placement
from segline.imaging.preprocessing import Preprocessor
from segline.imaging.restoring import restore, restore_shares
from segline.imaging.volume import Volume
from segline.inference.postprocessing import keep_largest_components
from segline.inference.stitching import WindowScorer, predict_leads
from segline.inference.stopwatch import Stopwatch
from segline.plan import Plan


class Predictor:
    """A plan and a network: from a volume to its label map.

    All between a file and its mask happens on the device of a network that names one, as backends do.
    """

    def __init__(self, plan: Plan, network: WindowScorer, watch: Stopwatch | None = None) -> None:
        if plan.network.answers != "voxels":
            raise SeglineError(f"plan: network {plan.network.name} answers with a class, not of every voxel")
        self.plan = plan
        self.network = network
        self.device = getattr(network, "device", CPU)
        self.watch = watch or Stopwatch()

    def __call__(self, volume: Volume) -> Volume:
        """Predict one label map: uint8 label values on exactly the grid, affine and axes of ``volume``.

        Raises:
            SeglineError: the volume does not have the plan's channels, would become too large on the plan's
                grid, or the scores are not finite.
        """
        return self.mask(self.leads(volume))

    def leads(self, volume: Volume) -> "Leads":
        """The first half: what the network says, on the plan's grid.

        Raises:
            SeglineError: the volume is a single slice or does not have the plan's channels, or the scores
                are not finite.
        """
        volume.require_depth("prediction")
        preprocessor = Preprocessor(self.plan.preprocessing, self.device)
        with self.watch.lap("preprocess"):
            placement = preprocessor.place(volume)
            image = preprocessor.image(volume, placement)
        return Leads(predict_leads(self.network, image, self.plan, self.watch), placement, volume)

    def mask(self, leads: "Leads") -> Volume:
        """The second half: the post-processed label map on the file's own grid; overwrites ``leads``."""
        with self.watch.lap("invert"):
            mask = restore(leads.values, leads.placement, self.plan.label_values)
            if kept := self.plan.inference.keep_largest:
                keep_largest_components(mask.array[0], kept, self.plan.label_values[0])
        return leads.volume.with_array(mask.array)

    def shares(self, leads: "Leads") -> Volume:
        """How probable each label is before post-processing, ``(K - 1, X, Y, Z)`` float32 on the file's grid.

        Raises:
            SeglineError: they would take more memory than ``SEGLINE_LARGEST_GB`` allows.
        """
        shape = (len(leads.values), *leads.volume.grid.shape)
        require_fits(4.0 * math.prod(shape), f"probabilities of {by(shape)}")
        with self.watch.lap("invert"):
            return leads.volume.with_array(restore_shares(leads.values, leads.placement))


@dataclass(frozen=True)
class Leads:
    """By how much each foreground class leads the background, and where in the file."""

    values: Array
    """``(K - 1, X, Y, Z)`` float32, before softmax."""
    placement: Placement
    volume: Volume
    """Of which they are."""
