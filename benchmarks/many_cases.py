"""Whether thousands of cases cost each no more than a few: verification, plan and cache, by number of cases.

    python -m benchmarks.many_cases --cases 500 5000 50000

The cases are tiny, 16 voxels a side, so that what is left is what a case costs whatever its size. Printed are
the seconds of each step, the milliseconds a case, and how much more a case costs than among the fewest.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from segline.data.cases.building import preprocess
from segline.data.cases.index import CaseIndex
from segline.data.fingerprint import take_fingerprint
from segline.data.manifest import Manifest
from segline.data.verification import verify
from segline.imaging.files import write_volume
from segline.imaging.volume import Volume
from segline.machine.processor import processor_name
from segline.plan import Plan, Task
from segline.planning.plans import make_plan
from segline.storage.depot import Depot

EDGE = 16
PLAN = {
    "preprocessing": {"spacing_mm": [1, 1, 1]},
    "training": {"patch_size": [16, 16, 16], "batch_size": 2, "epochs": 1},
}
STEPS = ("verify", "verify again", "plan", "preprocess", "preprocess again")
Made = TypeVar("Made")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cases", type=int, nargs="+", default=[500, 5000])
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(arguments)
    print(f"{processor_name()}, {options.workers} workers\n")
    print(f"{'cases':>8}" + "".join(f"{step:>18}" for step in STEPS) + f"{'ms a case':>12}{'ratio':>8}")
    fewest = 0.0
    for count in sorted(options.cases):
        with tempfile.TemporaryDirectory() as folder:
            taken = seconds(Path(folder), count, options.workers)
        each = 1000 * sum(taken) / count
        fewest = fewest or each
        row = "".join(f"{step:>16.1f} s" for step in taken)
        print(f"{count:>8}{row}{each:>12.2f}{each / fewest:>8.2f}", flush=True)


def seconds(folder: Path, count: int, workers: int) -> list[float]:
    """Of each of ``STEPS``, for so many cases."""
    root, records, depot = folder / "data", folder / "records", Depot.here(folder / "store")
    write(root, count)
    taken: list[float] = []

    def timed(step: Callable[[], Made]) -> Made:
        begin = time.perf_counter()
        made = step()
        taken.append(time.perf_counter() - begin)
        return made

    manifest = timed(lambda: verify(root, records, workers))
    timed(lambda: verify(root, records, workers))
    plan = timed(lambda: planned(manifest, workers))
    for _ in range(2):
        timed(lambda: cached(manifest, plan, depot, workers))
    return taken


def planned(manifest: Manifest, workers: int) -> Plan:
    """By what the data are."""
    task = Task(name="many", source="none", plan=PLAN)
    return make_plan(manifest, take_fingerprint(manifest, workers), task)


def cached(manifest: Manifest, plan: Plan, depot: Depot, workers: int) -> CaseIndex:
    """All cases."""
    done = dict(preprocess(manifest, plan, depot, workers))
    return CaseIndex.of(manifest, plan, depot, sum(done.values()))


def write(root: Path, count: int) -> None:
    """A Decathlon folder of so many cases, all different."""
    chance = np.random.default_rng(0)
    label = np.zeros((1, EDGE, EDGE, EDGE), np.uint8)
    label[0, 4:12, 4:12, 4:12] = 1
    names = [f"case_{number:06d}.nii.gz" for number in range(count)]
    for name in names:
        image = chance.integers(1, 2000, label.shape, dtype=np.int16)
        write_volume(root / "imagesTr" / name, Volume(image, np.eye(4)))
        write_volume(root / "labelsTr" / name, Volume(label, np.eye(4)))
    index = {
        "name": "many",
        "modality": {"0": "MR"},
        "labels": {"0": "background", "1": "cube"},
        "training": [{"image": f"imagesTr/{name}", "label": f"labelsTr/{name}"} for name in names],
    }
    (root / "dataset.json").write_text(json.dumps(index), encoding="utf-8")


if __name__ == "__main__":
    main()
