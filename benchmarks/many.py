"""What a folder answered at once saves over a command a volume, and over one after the other in one process.

    python -m benchmarks.many --cases 12 --rounds 2
    python -m benchmarks.many --model runs/latest --images FOLDER

Four take turns, each from nothing to its last mask: ``folder`` is ``segline predict MODEL FOLDER -o FOLDER``;
``sequential`` one process that reads, answers and writes a volume, then the next; ``calls`` a command a
volume; ``again`` is ``folder`` once all is done. Without ``--model``, weights are fresh ones of the phantom
task's network: they cost the same time. Masks of all ways are compared. Printed are seconds, what a volume
takes, how many times as long as ``folder`` in the same round, CPU seconds, and a process's peak memory.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from segline.backends.choice import AUTO, open_chosen
from segline.common.documents.names import MODEL
from segline.common.processes.lean import LEAN
from segline.data.fingerprint import take_fingerprint
from segline.data.phantom.scanner import write_phantom
from segline.data.verification import verify
from segline.imaging.files import read_volume, write_volume
from segline.inference.predictor import Predictor
from segline.machine.processor import processor_name
from segline.model.package import Model
from segline.networks.catalogue import build_network, shipped_weights
from segline.planning.plans import make_plan
from segline.tasks import read_task

WAYS = ("folder", "sequential", "calls", "again")


def main() -> None:
    """Print a table."""
    options = _parser().parse_args()
    if options.sequential:
        sequential(*options.sequential)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        images = options.images or made_up(folder / "data", options.cases)
        model = options.model or untrained(folder)
        count = sum(1 for path in images.rglob("*.nii*"))
        print(f"{processor_name()}; {count} volumes, {options.rounds} rounds\n")
        print(f"{'':12}{'whole':>10}{'a volume':>12}{'times':>8}{'CPU':>11}{'peak':>12}")
        for _ in range(options.rounds):
            one_round(folder / "masks", model, images, count)
            require_same(folder / "masks")
            shutil.rmtree(folder / "masks")


def one_round(masks: Path, model: Path, images: Path, count: int) -> None:
    """A line a way."""
    folder = 0.0
    for way in WAYS:
        begin = time.perf_counter()
        used = [used_by(command) for command in commands(way, masks, model, images)]
        seconds = time.perf_counter() - begin
        folder = folder or seconds
        cpu, peak = sum(one.ru_utime + one.ru_stime for one in used), max(one.ru_maxrss for one in used)
        each = f"{seconds:8.2f} s{1000 * seconds / count:9.0f} ms{seconds / folder:8.2f}"
        print(f"{way:12}{each}{cpu:9.2f} s{peak / 2**10:8.0f} MiB", flush=True)


def commands(way: str, masks: Path, model: Path, images: Path) -> list[list[str | Path]]:
    """What is run, in turn."""
    predict: list[str | Path] = [sys.executable, "-m", "segline.cli", "predict", model]
    if way in ("folder", "again"):
        return [[*predict, images, "-o", masks / "folder"]]
    if way == "sequential":
        return [[sys.executable, "-m", "benchmarks.many", "--sequential", model, images, masks / way]]
    return [[*predict, path, "-o", masks / way / path.name] for path in sorted(images.rglob("*.nii*"))]


def used_by(command: list[str | Path]) -> resource.struct_rusage:
    """Time and memory of a command, which must end well."""
    process = subprocess.Popen(
        command, env={**os.environ, LEAN: "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(map(str, command))}: ended with {os.waitstatus_to_exitcode(status)}")
    return used


def sequential(model: Path, images: Path, masks: Path) -> None:
    """One volume after the other, in this process."""
    package = opened(model)
    predictor = Predictor(package.plan, open_chosen(AUTO, package))
    for path in sorted(images.rglob("*.nii*")):
        write_volume(masks / path.name, predictor(read_volume(path)))


def opened(model: Path) -> Model:
    """A package, or that of a run."""
    return Model.open(model / MODEL if (model / MODEL).is_dir() else model)


def made_up(folder: Path, cases: int) -> Path:
    """So many CT."""
    write_phantom(folder, cases)
    return folder / "imagesTr"


def untrained(folder: Path) -> Path:
    """A package of the phantom task's network."""
    write_phantom(folder / "learned", 6)
    manifest = verify(folder / "learned")
    plan = make_plan(manifest, take_fingerprint(manifest), read_task("phantom"))
    return Model.write(folder / "model", plan, shipped_weights(build_network(plan)), None).folder


def require_same(masks: Path) -> None:
    """Every way has written the same bytes."""
    for path in (masks / "folder").rglob("*.nii.gz"):
        for way in ("sequential", "calls"):
            if path.read_bytes() != (masks / way / path.name).read_bytes():
                raise SystemExit(f"{path.name}: {way} has another mask than folder")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--model", type=Path, help="a package or a run")
    parser.add_argument("--images", type=Path, help="a folder of NIfTI files, all of other names")
    parser.add_argument("--sequential", type=Path, nargs=3, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
