"""Files of torch.save from anywhere, and such that a disk has damaged."""

import io
import random
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from segline.common.errors import SeglineError
from segline.networks.catalogue import build_network
from segline.networks.torch_files import require_whole
from segline.networks.weights import load_network, save_weights
from segline.plan import Plan

from ..conftest import small_plan

GIBIBYTE = b"\x80\x02}X\x05\x00\x00\x00statecbuiltins\nbytearray\nJ\x00\x00\x00\x40\x85Rs."
"""A pickle that torch takes for plain, and makes a bytearray of."""


@pytest.fixture
def plan() -> Plan:
    return small_plan(network={"channels": [2, 2], "residual_units": 0})


@pytest.fixture
def weights(plan: Plan, tmp_path: Path) -> Path:
    save_weights(tmp_path / "weights.pt", build_network(plan).state_dict(), plan)
    return tmp_path / "weights.pt"


def rewritten(
    path: Path, change: Callable[[str, bytes], bytes] = lambda _, content: content, packed: bool = False
) -> None:
    """The same archive, with other records."""
    archive = io.BytesIO(path.read_bytes())
    method = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(archive) as before, zipfile.ZipFile(path, "w", method) as after:
        for name in before.namelist():
            after.writestr(name, change(name, before.read(name)))


def refusal(path: Path, plan: Plan) -> str:
    with pytest.raises(SeglineError) as caught:
        load_network(path, plan)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def flipped(content: bytes, bit: int) -> bytes:
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def bits(content: bytes, path: Path) -> Sequence[int]:
    """Of the list of records all, and as many of the records themselves."""
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir * 8
    return [*range(start, len(content) * 8, 13), *random.Random(0).sample(range(start), 500)]


def test_one_flipped_bit_is_refused_or_changes_nothing(weights: Path, tmp_path: Path) -> None:
    content, damaged = weights.read_bytes(), tmp_path / "damaged.pt"
    wanted = torch.load(weights, weights_only=True)["state"]
    refused = 0
    for bit in bits(content, weights):
        damaged.write_bytes(flipped(content, bit))
        try:
            require_whole(damaged)
            found = torch.load(damaged, weights_only=True)["state"]
        except (ValueError, RuntimeError):
            refused += 1
            continue
        assert all(torch.equal(found[name], value) for name, value in wanted.items()), bit
    assert refused > 500


def test_a_flipped_bit_of_a_weight_is_told_with_its_file(weights: Path, plan: Plan) -> None:
    content = weights.read_bytes()
    value = next(iter(torch.load(weights, weights_only=True)["state"].values())).numpy().tobytes()
    weights.write_bytes(flipped(content, content.index(value) * 8))
    assert refusal(weights, plan).startswith(f"{weights}: not a readable weights file (archive/data/0 is dam")


def test_a_record_that_a_flipped_bit_calls_a_folder_is_refused(weights: Path, plan: Plan) -> None:
    """Torch gives whatever was in memory for it."""
    content = bytearray(weights.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 38] ^= 0x10
    weights.write_bytes(content)
    assert "is called a folder" in refusal(weights, plan)


def test_what_is_packed_is_refused_unpacked(weights: Path, plan: Plan) -> None:
    rewritten(weights, lambda name, content: b"\0" * 10**7 if "/data/" in name else content, packed=True)
    assert weights.stat().st_size < 10**6
    assert "is packed, which torch.save never does" in refusal(weights, plan)


def test_records_that_are_one_another_s_bytes_are_refused(weights: Path, plan: Plan) -> None:
    content = bytearray(weights.read_bytes())
    with zipfile.ZipFile(weights) as archive:
        first, last = archive.infolist()[0], archive.infolist()[-1]
    sizes = last.compress_size.to_bytes(4, "little") + last.file_size.to_bytes(4, "little")
    claimed = len(content).to_bytes(4, "little") * 2
    at = content.rindex(sizes, content.rindex(b"PK\x01\x02"))
    content[at : at + 8] = claimed
    weights.write_bytes(content)
    assert first.file_size < len(content)
    assert "its records are larger than itself" in refusal(weights, plan)


def test_a_pickle_that_makes_more_than_tensors_is_refused_unread(weights: Path, plan: Plan) -> None:
    rewritten(weights, lambda name, content: GIBIBYTE if name.endswith("data.pkl") else content)
    line = refusal(weights, plan)
    assert "it names 'builtins bytearray', which is no part of weights" in line


@pytest.mark.parametrize("state", [{}, [], "weights", {"a": 1}, {1: torch.zeros(1)}], ids=str)
def test_what_is_no_state_dict_is_refused(state: Any, weights: Path, plan: Plan) -> None:
    torch.save({"plan_digest": plan.digest, "state": state}, weights)
    assert "the weights do not fit the plan's network" in refusal(weights, plan)


def test_a_tensor_that_claims_to_be_huge_is_refused(weights: Path, plan: Plan) -> None:
    state = torch.load(weights, weights_only=True)["state"]
    state[next(iter(state))] = torch.zeros(1).expand(10**6, 10**6)
    torch.save({"plan_digest": plan.digest, "state": state}, weights)
    assert "the weights do not fit the plan's network" in refusal(weights, plan)


def test_a_network_that_its_weights_are_not_of_takes_no_memory(weights: Path) -> None:
    huge = small_plan(network={"channels": [4096] * 10, "strides": [[1, 1, 1]] * 9, "residual_units": 16})
    torch.save({**torch.load(weights, weights_only=True), "plan_digest": huge.digest}, weights)
    assert "the weights do not fit the plan's network" in refusal(weights, huge)


def test_a_file_larger_than_any_may_be_is_refused_unread(
    weights: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGLINE_LARGEST_GB", "1e-6")
    assert "more than the 1e-06 GB that are allowed" in refusal(weights, plan)


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x05\x06" + b"\0" * 18, b"\x80\x02}."])
def test_what_is_no_file_of_torch_is_refused(content: bytes, weights: Path, plan: Plan) -> None:
    weights.write_bytes(content)
    assert "not a readable weights file" in refusal(weights, plan)
