"""What is told of inputs that a model should not be trusted with, and how often ordinary ones are doubted.

    python -m benchmarks.trust --data path/to/data --new 40

Nothing is trained: how far an input lies is a matter of the cases alone. ``--data`` holds the Decathlon's
Task04_Hippocampus and Task09_SpleenMini; without it made-up CT alone is looked at.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from segline.data.fingerprint import take_fingerprint
from segline.data.manifest import Manifest
from segline.data.phantom.heads import grid_around, paint_head
from segline.data.phantom.scanner import phantom_case, write_phantom
from segline.data.phantom.shapes import soft
from segline.data.verification import verify
from segline.imaging.geometry import Reorientation
from segline.imaging.volume import Volume
from segline.inference.familiarity.domains import Domain, thinned
from segline.inference.familiarity.judging import Familiarity, familiarity
from segline.inference.familiarity.profiles import Profile
from segline.plan import Plan, Task
from segline.planning.plans import make_plan

_BRAIN_HU = {"fluid": (8.0,), "grey matter": (38.0,), "white matter": (27.0,)}
_VALUES = {"fluid": 1, "grey matter": 2, "white matter": 3}
_AIR_HU, _SCALP_HU, _BONE_HU, _FLUID_HU = -1000.0, 30.0, 1100.0, 8.0


def head_ct(seed: int, voxel_mm: float = 2.5) -> Volume:
    """A made-up head in HU ``(1, X, Y, Z)`` int16: brain, fluid, skull and scalp, in air."""
    rng = np.random.default_rng([seed, 7])
    head = paint_head(grid := grid_around((220, 240, 200), voxel_mm), rng, _BRAIN_HU, _VALUES)
    image = np.full(grid.shape, _AIR_HU, np.float32)
    for thickness, hu in ((14.0, _SCALP_HU), (9.0, _BONE_HU), (2.5, _FLUID_HU)):
        image += soft(head.brain - thickness, voxel_mm) * (hu - image)
    image += soft(head.brain, voxel_mm) * (head.images[0] - image)
    image += rng.normal(0, 8, grid.shape)
    return Volume(np.rint(image).clip(-1024, 3071).astype(np.int16)[None], grid.affine)


def flipped(volume: Volume, axis: int) -> Volume:
    """Voxels that run the other way along an axis of the body, in a header that does not say so."""
    own = Reorientation.between(volume.grid.orientation, "RAS").axes[axis]
    return volume.with_array(np.flip(volume.array, 1 + own))


def lengthened(volume: Volume, factor: float) -> Volume:
    """A header whose lengths are in another unit."""
    affine = volume.affine.copy()
    affine[:3] *= factor
    return Volume(volume.array, affine)


def scaled(volume: Volume) -> Volume:
    """Values from 0 to 1."""
    values = volume.array.astype(np.float32)
    return volume.with_array((values - values.min()) / (values.max() - values.min()))


FAULTS: Mapping[str, Callable[[Volume], Volume]] = {
    "values + 1024": lambda volume: volume.with_array(volume.array.astype(np.float32) + 1024),
    "values scaled to 0..1": scaled,
    "lengths x 10": lambda volume: lengthened(volume, 10),
    "lengths / 10": lambda volume: lengthened(volume, 0.1),
    "upside down": lambda volume: flipped(volume, 2),
    "front to back": lambda volume: flipped(volume, 1),
    "left to right": lambda volume: flipped(volume, 0),
}


@dataclass(frozen=True)
class Learned:
    """What a model of a data set would know."""

    plan: Plan
    domain: Domain

    @classmethod
    def of(cls, manifest: Manifest, name: str) -> "Learned":
        """Of its training and validation cases, without a network."""
        plan = make_plan(manifest, take_fingerprint(manifest), Task(name=name, source="none"))
        train, val = (
            [Profile.of_volume(plan, manifest.image(case)) for case in manifest.named(thinned(names))]
            for names in (plan.split.train, plan.split.val)
        )
        return cls(plan, Domain.learned(train, val))

    def judged(self, volumes: Sequence[Volume]) -> list[Familiarity]:
        """Each of some volumes."""
        return [familiarity(self.domain, self.plan, volume) for volume in volumes]


def row(name: str, judged: Sequence[Familiarity]) -> str:
    """One line of the table."""
    doubted = [each for each in judged if not each.trusted]
    distances = [each.distance for each in judged]
    why = f"  {doubted[0].reasons[0]}" if doubted else ""
    spread = f"{min(distances):7.2f} {float(np.median(distances)):7.2f} {max(distances):7.2f}"
    return f"  {name:34} {len(doubted):3} of {len(judged):3}   {spread}{why}"


def show(
    title: str,
    learned: Learned,
    ordinary: Mapping[str, Sequence[Volume]],
    odd: Mapping[str, Sequence[Volume]],
) -> None:
    """The table of one model: ordinary inputs, faults planted in them, and inputs of another kind."""
    domain = learned.domain
    print(
        f"\n{title}: threshold {domain.threshold:.2f}, of ordinary ones beyond it {domain.rate:.3f} at most"
    )
    print(f"  calibrated on {domain.calibrated}")
    print(f"  {'':34} doubted        lowest  median highest  distance")
    first = next(iter(ordinary.values()))
    for name, volumes in ordinary.items():
        print(row(name, learned.judged(volumes)))
    for name, fault in FAULTS.items():
        print(row(name, learned.judged([fault(volume) for volume in first])))
    for name, volumes in odd.items():
        print(row(name, learned.judged(volumes)))
    started = time.perf_counter()
    learned.judged(first)
    print(f"  {1000 * (time.perf_counter() - started) / len(first):.1f} ms a volume")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with Task04_Hippocampus and Task09_SpleenMini")
    parser.add_argument("--cases", type=int, default=24, help="made-up CT to learn from (24)")
    parser.add_argument("--new", type=int, default=40, help="made-up CT of another seed (40)")
    options = parser.parse_args(arguments)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch, "phantom")
        write_phantom(folder, options.cases)
        abdomen = Learned.of(verify(folder), "phantom")
    new = [phantom_case(number, seed=77)[0] for number in range(options.new)]
    heads = [head_ct(seed) for seed in range(10)]
    odd: dict[str, Sequence[Volume]] = {"head CT, made up": heads}
    if not options.data:
        show("made-up abdominal CT", abdomen, {"new, other seed": new}, odd)
        return
    hippocampus = verify(options.data / "Task04_Hippocampus")
    spleen = verify(options.data / "Task09_SpleenMini")
    brain = Learned.of(hippocampus, "hippocampus")
    tested = [hippocampus.image(case) for case in hippocampus.named(brain.plan.split.test)]
    real = [spleen.image(case) for case in spleen.cases]
    odd |= {"hippocampus MR, real": tested[:20], "abdominal CT, real (never seen)": real}
    show("made-up abdominal CT", abdomen, {"new, other seed": new}, odd)
    others = {"made-up abdominal CT": new[:20], "abdominal CT, real": real, "head CT, made up": heads}
    show("hippocampus MR, real", brain, {"test cases": tested}, others)


if __name__ == "__main__":
    main()
