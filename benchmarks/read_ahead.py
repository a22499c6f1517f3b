"""What it costs a training that its cases lie in a bucket, behind a line of so many MiB a second.

    python -m benchmarks.read_ahead --cases 24 --mib-per-s 12

Three take turns, each in a new process with a working copy of its own: ``ahead`` is what the train stage
does, ``first`` fetches everything and trains then, ``here`` has everything on this machine, which is the
bound. Cases are phantoms, the server is rclone with a limit on its bandwidth. Printed are the seconds from
nothing to the end of the training, to the end of its first step, and the median of the later steps.

In its first epoch a training sees each case once: where the line brings a batch's cases in less time than a
step takes, nothing is lost; on a slower one, that epoch takes as long as the line needs, and no longer.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from benchmarks.store import own_server
from segline.common.processes.alone import in_own_process
from segline.data.cases.arriving import source_of
from segline.data.cases.building import preprocess
from segline.data.cases.index import CaseIndex
from segline.data.fingerprint import take_fingerprint
from segline.data.phantom.scanner import write_phantom
from segline.data.verification import verify
from segline.machine.processor import processor_name
from segline.plan import Plan, Task
from segline.planning.plans import make_plan
from segline.storage.access import Access
from segline.storage.s3 import S3Objects
from segline.storage.s3_settings import S3Settings
from segline.training.state import Checkpoint
from segline.training.trainer import Trainer

WAYS = ("here", "first", "ahead")
PLAN = {
    "preprocessing": {"spacing_mm": [2.5, 2.5, 2.5], "intensity": [{"rule": "window", "window": [-57, 164]}]},
    "training": {"patch_size": [96, 96, 80], "batch_size": 2},
    "gate": {"nsd_tolerance_mm": 3.0},
}


@dataclass(frozen=True)
class Prepared:
    """Cases in a bucket, and what trains on them."""

    settings: S3Settings
    index: CaseIndex
    plan: Plan


@dataclass(frozen=True)
class Timed:
    """Seconds of one training."""

    whole: float
    first_step: float
    step: float


def main() -> None:
    """Print a table."""
    options = _parser().parse_args()
    with own_server(limit_mib_per_s=options.mib_per_s) as store, tempfile.TemporaryDirectory() as folder:
        assert isinstance(store.objects, S3Objects)
        prepared = _prepare(store.objects.settings, Path(folder), options.cases)
        depot = Access(prepared.settings, Path(folder, "maker")).depot(prepared.index.root)
        mib = sum(one.size_bytes for one in (depot.store / "cases").folders()) / 2**20
        print(f"{processor_name()}; {options.cases} cases, {mib:.0f} MiB at {options.mib_per_s:g} MiB/s")
        print(f"{'':8}{'whole':>9}{'first step':>12}{'a step':>9}")
        for _ in range(options.repeats):
            for way in WAYS:
                timed = in_own_process(way, _train, prepared, way, options.epochs)
                print(f"{way:8}{timed.whole:7.1f} s{timed.first_step:10.1f} s{timed.step:7.3f} s", flush=True)


def _prepare(settings: S3Settings, folder: Path, cases: int) -> Prepared:
    write_phantom(folder / "Phantom", cases=cases)
    manifest = verify(folder / "Phantom")
    plan = make_plan(manifest, take_fingerprint(manifest), Task(name="ahead", source="none", plan=PLAN))
    depot = Access(settings, folder / "maker").depot("s3://bench/store")
    done = dict(preprocess(manifest, plan, depot, workers=2))
    return Prepared(settings, CaseIndex.of(manifest, plan, depot, sum(done.values())), plan)


def _train(prepared: Prepared, way: str, epochs: int) -> Timed:
    plan, index = prepared.plan, prepared.index
    with tempfile.TemporaryDirectory() as folder:
        access, names = Access(prepared.settings, Path(folder)), (plan.split.train, plan.split.val)
        if way == "here":
            index = index.bring([*names[0], *names[1]], access)
        began = time.monotonic()
        if way == "first":
            index = index.bring([*names[0], *names[1]], access)
        source = source_of(index, access)
        trainer = Trainer(plan, *map(source.open, names), Checkpoint(Path(folder, "checkpoint.pt"), "ahead"))
        ended = []
        for _ in range(epochs * trainer.sampler.steps_per_epoch):
            trainer.train_step(1e-3)
            ended.append(time.monotonic())
        trainer.validate()
        seconds = [after - before for before, after in pairwise(ended)]
        late = seconds[len(seconds) // 2 :]
        return Timed(time.monotonic() - began, ended[0] - began, median(late))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.read_ahead", description=__doc__)
    parser.add_argument("--cases", type=int, default=24)
    parser.add_argument("--mib-per-s", type=float, default=12.0, help="of the line to the bucket (12)")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    return parser


if __name__ == "__main__":
    main()
