"""The gate part of a plan: what must hold before a model may be registered."""

from typing import Any

from pydantic import Field, model_serializer, model_validator

from segline.plan.layouts import gate_of_today
from segline.plan.part import Part, Share, Word

_DIFFERENCE = "_difference"
_AGREEMENT = "voxel_agreement"
_MOST = 32
"""Figures, or backends, that are named."""


def by_figure(values: Any) -> Any:
    """What is written flat, ``<figure>_difference`` and ``voxel_agreement``, as it is held.

    >>> by_figure({"dice_difference": 0.1, "voxel_agreement": 0.9, "case": "a"})
    {'case': 'a', 'differences': {'dice': 0.1}, 'agreement': 0.9}
    """
    if not isinstance(values, dict):
        return values
    flat = {name: value for name, value in values.items() if str(name).endswith(_DIFFERENCE)}
    held = {name: value for name, value in values.items() if name not in (*flat, _AGREEMENT)}
    if flat:
        held["differences"] = {name.removesuffix(_DIFFERENCE): value for name, value in flat.items()}
    return {**held, "agreement": values[_AGREEMENT]} if _AGREEMENT in values else held


class Agreement(Part):
    """How near to PyTorch's a backend's answer must be; written flat, ``<figure>_difference`` each."""

    differences: dict[Word, Share] = Field(default={"dice": 0.001, "nsd": 0.005}, max_length=_MOST)
    """At most, of each figure named, for any one case and label."""
    agreement: Share = 0.9999
    """Least share of equal voxels of the two masks, or whatever an answer's parts are, any one case."""
    equivalence_margin: Share = 0.002
    """Of the mean score: the two must be shown to differ by less, over cases (TOST at 5 %)."""

    @model_validator(mode="before")
    @classmethod
    def _by_figure(cls, values: Any) -> Any:
        return by_figure(values)

    @model_serializer
    def _flat(self) -> dict[str, float]:
        differences = {f"{figure}{_DIFFERENCE}": most for figure, most in self.differences.items()}
        return {**differences, _AGREEMENT: self.agreement, "equivalence_margin": self.equivalence_margin}


class Gate(Part):
    """What must hold before a model may be registered."""

    nsd_tolerance_mm: float = Field(default=2.0, gt=0, le=100)
    """Distance up to which two surfaces of masks count as equal."""
    floor: Share = 0.0
    """On the mean over the test cases of the figure that decides, as Dice, of every backend."""
    required: tuple[Word, ...] = Field(default=("pytorch", "onnxruntime", "openvino"), max_length=_MOST)
    """Backends that must have been evaluated; any other may be absent, with its reason."""
    float32: Agreement = Agreement()
    reduced: Agreement = Agreement(
        differences={"dice": 0.003, "nsd": 0.01}, agreement=0.999, equivalence_margin=0.005
    )
    """Of backends that compute in float16 or int8."""

    @model_validator(mode="before")
    @classmethod
    def _in_the_layout_of_today(cls, values: Any) -> Any:
        return gate_of_today(values)

    @model_validator(mode="after")
    def _same_figures(self) -> "Gate":
        """A figure that one of the two alone names is misspelt, or would go unasked of the other."""
        if odd := self.float32.differences.keys() ^ self.reduced.differences.keys():
            name = f"{min(odd)}{_DIFFERENCE}"
            raise ValueError(f"{name}: float32 and reduced must ask for differences of the same figures")
        return self
