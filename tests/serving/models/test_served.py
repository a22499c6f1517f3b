"""What a served model says of an answer before and after it is made."""

import json
from pathlib import Path

import numpy as np
import pytest

from segline.common.processes.alone import in_own_process
from segline.data.phantom.scanner import phantom_case
from segline.imaging.declared import declared
from segline.imaging.files import read_channels, write_volume
from segline.imaging.volume import Volume
from segline.model.package import Model
from segline.serving.models.served import Served


@pytest.fixture(scope="module")
def served(tiny_model: Model) -> Served:
    return Served(tiny_model, "tiny/1", "onnxruntime", "cpu").opened()


def test_a_reply_says_what_was_found_and_how_far_its_volume_lies(served: Served) -> None:
    reply = served.reply(phantom_case(7)[0])
    assert json.loads(json.dumps(reply.trust)) == reply.trust
    assert reply.figures["volumes_ml"].keys() == {"spleen"}
    strange = served.reply(phantom_case(7)[0].with_array(np.zeros((1, 48, 48, 40), np.int16)))
    assert "every voxel is 0" in strange.warnings[0]


def test_a_package_that_says_nothing_of_what_it_learned_from_is_not_judged(
    tiny_model: Model, tmp_path: Path
) -> None:
    copy = tiny_model.copied_to(tmp_path / "model")
    (copy.folder / "domain.json").unlink()
    reply = Served(copy, "", "onnxruntime", "cpu").reply(phantom_case(7)[0])
    assert reply.familiarity is None and reply.trust is None and reply.warnings == ()


def peak_bytes(model: Model, image: Path) -> int:
    """How much more memory an answer takes than the process has after a small one."""
    served = Served(model, "", "onnxruntime", "cpu").opened()
    served.reply(phantom_case(7)[0])
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _status("VmRSS")
    served.reply(read_channels([image]))
    return _status("VmHWM") - before


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def test_an_answer_takes_no_more_memory_than_was_said_before(served: Served, tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(-1000, 300, (1, 320, 320, 160)).astype(np.int16)
    write_volume(tmp_path / "ct.nii.gz", Volume(array, np.diag([1.0, 1.0, 2.0, 1])))
    said = served.bytes_for(declared([tmp_path / "ct.nii.gz"])) + served.batch_bytes
    took = in_own_process("an answer", peak_bytes, served.model, tmp_path / "ct.nii.gz")
    assert said / 5 < took < said
