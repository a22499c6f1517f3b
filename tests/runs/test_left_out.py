"""What is said of backends that a machine cannot run."""

from datetime import UTC, datetime

from segline.runs.left_out import left_out, left_out_in_words
from segline.runs.records import StageRecord, Status


def record(name: str, reason: str, status: Status = "skipped") -> StageRecord:
    return StageRecord(name=name, status=status, started=datetime.now(UTC), seconds=0, reason=reason)


NO_GPU = "no NVIDIA GPU: the driver library libcuda.so.1 is not installed"
RECORDS = [
    record("train", "", "succeeded"),
    record("quantize", "the plan asks for no int8 graph; set export.int8_patches"),
    record("build_tensorrt", NO_GPU),
    record("evaluate_pytorch_amp", "runs on an NVIDIA GPU; use pytorch on a CPU"),
    record("evaluate_openvino_int8", "the package has no int8 graph; run quantize"),
    record("evaluate_tensorrt", NO_GPU),
    record("evaluate_openvino", "it crashed", "failed"),
    record("register", "the gate blocked the model"),
]


def test_each_backend_is_named_once_with_its_reason_in_a_few_words() -> None:
    assert left_out_in_words(RECORDS) == (
        "Not run here: OpenVINO in int8 (the plan asks for no int8 graph), "
        "PyTorch with AMP (runs on an NVIDIA GPU), TensorRT (no NVIDIA GPU)"
    )


def test_what_failed_or_says_something_of_the_run_is_not_left_out() -> None:
    assert not {"train", "evaluate_openvino", "register"} & {each.name for each in left_out(RECORDS)}


def test_where_every_backend_ran_nothing_is_said() -> None:
    assert left_out_in_words([record("evaluate_pytorch", "", "succeeded")]) == ""
