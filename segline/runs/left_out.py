"""What a run left out because its machine or its model lacks something for it, told once and in one line."""

import re
from collections.abc import Iterable, Sequence

from segline.runs.records import StageRecord

_TITLES = {
    "pytorch": "PyTorch",
    "pytorch_amp": "PyTorch with AMP",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "openvino_bf16": "OpenVINO in bfloat16",
    "openvino_int8": "OpenVINO in int8",
    "tensorrt": "TensorRT",
}
_MAKES_FOR = {"quantize": "openvino_int8", "build_tensorrt": "tensorrt"}
"""The stages that make what only one backend needs, and are skipped with it."""


def backend_of(stage: str) -> str:
    """The backend that a stage is about; empty where it is about none or all.

    >>> backend_of("evaluate_pytorch_amp"), backend_of("build_tensorrt_Tesla-T4"), backend_of("train")
    ('pytorch_amp', 'tensorrt', '')
    """
    if stage.startswith("evaluate_"):
        return stage.removeprefix("evaluate_")
    return next((backend for made, backend in _MAKES_FOR.items() if stage.startswith(made)), "")


def left_out(records: Iterable[StageRecord]) -> list[StageRecord]:
    """The skipped stages of backends; any other that was skipped says something of the run itself."""
    return [record for record in records if record.status == "skipped" and backend_of(record.name)]


def left_out_in_words(records: Sequence[StageRecord]) -> str:
    """Each backend that was left out, and in a few words why; empty where none was."""
    reasons: dict[str, str] = {}
    for record in left_out(records):
        reasons.setdefault(backend_of(record.name), _in_few_words(record.reason))
    told = [f"{_TITLES.get(name, name)} ({reason})" for name, reason in sorted(reasons.items())]
    return f"Not run here: {', '.join(told)}" if told else ""


def _in_few_words(reason: str) -> str:
    """What comes before the details, and before what to do.

    >>> _in_few_words("no NVIDIA GPU: the driver library libcuda.so.1 is not installed")
    'no NVIDIA GPU'
    """
    return re.split("[:;] ", reason)[0]
