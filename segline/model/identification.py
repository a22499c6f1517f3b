"""How a model signs its answers."""

from segline.common.digests import sha256_of_file
from segline.imaging.dicom.algorithm import Algorithm
from segline.model.package import Model

_DIGITS = 16


def algorithm_of(model: Model, backend: str, version: str = "") -> Algorithm:
    """The model as DICOM knows it; ``version`` is such as ``spleen/3``, where it is registered."""
    digests = {"plan": model.plan.digest, "weights": sha256_of_file(model.weights)}
    return Algorithm(
        task=model.plan.task,
        version=version or f"plan {model.plan.digest[:_DIGITS]}",
        parts={**digests, "backend": backend},
    )
