"""Checkpoints in a depot: sent as the training goes on, brought where it goes on."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from segline.storage.access import Access
from segline.storage.depot import Depot
from segline.training.checkpoints import CheckpointKeeper

from ..s3_server import S3Server, see_the_disk

Machine = Callable[[str], Depot]


@pytest.fixture
def bucket(s3_server: S3Server) -> Iterator[Path]:
    with s3_server.lent("training") as folder:
        yield folder


@pytest.fixture
def machine(s3_server: S3Server, bucket: Path, tmp_path: Path) -> Machine:
    return lambda name: Access(s3_server.settings, tmp_path / name).depot(f"s3://{bucket.name}/store")


def save(keeper: CheckpointKeeper, state: str) -> None:
    keeper.path.parent.mkdir(parents=True, exist_ok=True)
    scratch = keeper.path.with_suffix(".new")
    torch.save({"state": state}, scratch)
    scratch.replace(keeper.path)
    keeper.saved()


def read(path: Path) -> str:
    state: str = torch.load(path, weights_only=True)["state"]
    return state


def flip_a_bit(path: Path, beside: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(beside)] ^= 1
    path.write_bytes(content)


def test_another_machine_continues_from_the_last_one(machine):
    with CheckpointKeeper(machine("here"), "key") as keeper:
        save(keeper, "step 100")
    with CheckpointKeeper(machine("there"), "key") as keeper:
        assert read(keeper.path) == "step 100"


def test_a_training_that_went_on_elsewhere_is_taken_up_from_there(machine):
    with CheckpointKeeper(machine("here"), "key") as keeper:
        save(keeper, "step 100")
    time.sleep(1.1)  # S3 tells seconds
    with CheckpointKeeper(machine("there"), "key") as keeper:
        save(keeper, "step 200")
    with CheckpointKeeper(machine("here"), "key") as keeper:
        assert read(keeper.path) == "step 200"


def test_one_here_that_is_newer_than_the_stores_is_kept(machine):
    with CheckpointKeeper(machine("here"), "key") as keeper:
        save(keeper, "step 100")
        torch.save({"state": "step 130, not sent before the kill"}, keeper.path)
        later = time.time() + 5
        os.utime(keeper.path, (later, later))
    with CheckpointKeeper(machine("here"), "key") as keeper:
        assert read(keeper.path).startswith("step 130")


def test_saving_does_not_wait_for_a_store_that_is_away(s3_server, bucket, tmp_path, caplog):
    away = replace(s3_server.settings, endpoint="127.0.0.1:1", patience_s=1)
    place = f"s3://{bucket.name}/store"
    keeper = CheckpointKeeper(Access(s3_server.settings, tmp_path).depot(place), "key")
    keeper._depot = Access(away, tmp_path).depot(place)
    started = time.monotonic()
    for step in range(3):
        save(keeper, f"step {step}")
    assert time.monotonic() - started < 2  # waiting would be for 1 s, three times
    with caplog.at_level(logging.WARNING), keeper:
        pass
    assert "checkpoint not stored, the training goes on" in caplog.text
    assert [path.name for path in keeper.path.parent.iterdir()] == ["key.pt"]


def test_what_is_sent_is_one_checkpoint_although_the_next_is_saved_meanwhile(machine):
    states = [f"{step}" * 200_000 for step in range(8)]
    with CheckpointKeeper(machine("here"), "key") as keeper:
        for state in states:
            save(keeper, state)
    see_the_disk()
    with CheckpointKeeper(machine("there"), "key") as keeper:
        assert read(keeper.path) in states


def test_a_finished_training_leaves_none(machine, bucket):
    with CheckpointKeeper(machine("here"), "key") as keeper:
        save(keeper, "step 100")
        keeper.forget()
    see_the_disk()
    assert not keeper.path.exists()
    assert not (bucket / "store/checkpoints/key.pt").exists()


def test_in_a_folder_the_file_itself_is_kept(tmp_path):
    with CheckpointKeeper(Depot.here(tmp_path), "key") as keeper:
        save(keeper, "step 100")
    assert read(tmp_path / "checkpoints/key.pt") == "step 100"


def test_a_damaged_one_is_told_and_not_used(tmp_path, caplog):
    with CheckpointKeeper(Depot.here(tmp_path), "key") as keeper:
        save(keeper, "step 100")
        flip_a_bit(keeper.path, b"step 100")
    with caplog.at_level(logging.WARNING), CheckpointKeeper(Depot.here(tmp_path), "key") as keeper:
        assert not keeper.path.exists()
    assert "key.pt: not used, the checkpoint is damaged (" in caplog.text


def test_in_place_of_one_that_was_damaged_here_the_stores_is_used(machine, caplog):
    with CheckpointKeeper(machine("here"), "key") as keeper:
        save(keeper, "step 100")
    flip_a_bit(keeper.path, b"step 100")
    later = time.time() + 5
    os.utime(keeper.path, (later, later))
    with caplog.at_level(logging.WARNING), CheckpointKeeper(machine("here"), "key") as keeper:
        assert read(keeper.path) == "step 100"
    assert "the checkpoint is damaged" in caplog.text


def test_to_look_for_damage_costs_little(tmp_path):
    weights = torch.randn(5_000_000)
    path = Depot.here(tmp_path).path("checkpoints/key.pt")
    path.parent.mkdir()
    torch.save({"weights": weights}, path)  # 20 MB
    took = []
    for _ in range(5):
        started = time.perf_counter()
        CheckpointKeeper(Depot.here(tmp_path), "key")
        took.append(time.perf_counter() - started)
    assert min(took) < 0.05
