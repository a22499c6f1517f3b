"""The gate part of a plan: what must hold before a model may be registered."""

from pydantic import PositiveFloat

from segline.plan.part import Part, Share


class Agreement(Part):
    """How near to PyTorch's a backend's answer must be."""

    dice_difference: Share = 0.001
    nsd_difference: Share = 0.005
    """At most, for any one case and label."""
    voxel_agreement: Share = 0.9999
    """Least share of equal voxels of the two masks, any one case."""
    equivalence_margin: Share = 0.002
    """Of the mean Dice: the two must be shown to differ by less, over cases (TOST at 5 %)."""


class Gate(Part):
    """What must hold before a model may be registered."""

    nsd_tolerance_mm: PositiveFloat
    dice_floor: Share = 0.0
    """On the mean test Dice of every backend."""
    required: tuple[str, ...] = ("pytorch", "onnxruntime", "openvino")
    """Backends that must have been evaluated; any other may be absent, with its reason."""
    float32: Agreement = Agreement()
    reduced: Agreement = Agreement(
        dice_difference=0.003, nsd_difference=0.01, voxel_agreement=0.999, equivalence_margin=0.005
    )
    """Of backends that compute in float16 or int8."""
