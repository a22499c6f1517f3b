"""Cases on the plan's grid, kept by content."""

import json
import multiprocessing
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from segline.common.errors import SeglineError
from segline.data.cases.building import preprocess
from segline.data.cases.case import Case
from segline.data.cases.index import CaseIndex, case_key
from segline.data.cases.upkeep import damaged
from segline.data.fingerprint import take_fingerprint
from segline.data.manifest import Manifest
from segline.data.phantom.scanner import write_phantom
from segline.data.verification import verify
from segline.imaging.files import read_volume, write_volume
from segline.imaging.geometry import Reorientation
from segline.imaging.preprocessing import IGNORED, Preprocessor
from segline.imaging.volume import Volume
from segline.plan import Plan, Task
from segline.planning.plans import make_plan
from segline.storage.depot import Depot
from segline.training.batches.patches import cut

from ...waiting import wait_until

pytestmark = pytest.mark.heavy

CASES = 4
MODALITIES = ("t1", "t1c", "t2", "fla")


def phantom(folder: Path, cases: int) -> Manifest:
    write_phantom(folder, cases)
    return verify(folder)


def planned(manifest: Manifest, **preprocessing: Any) -> Plan:
    part = {"spacing_mm": (6, 6, 6), **preprocessing}
    task = Task(name="test", source="x", plan={"preprocessing": part})
    return make_plan(manifest, take_fingerprint(manifest), task)


def index_of(manifest: Manifest, plan: Plan, root: Path, workers: int = 1) -> CaseIndex:
    depot = Depot.here(root)
    done = dict(preprocess(manifest, plan, depot, workers))
    return CaseIndex.of(manifest, plan, depot, sum(done.values()))


def computed(manifest: Manifest, plan: Plan, root: Path) -> list[str]:
    done = preprocess(manifest, plan, Depot.here(root), 1)
    return sorted(name for name, was_computed in done if was_computed)


def changed(plan: Plan, part: str, **values: Any) -> Plan:
    content = plan.model_dump(mode="json")
    content[part].update(values)
    return Plan.parse(content, "plan")


@dataclass(frozen=True)
class Cache:
    manifest: Manifest
    plan: Plan
    index: CaseIndex

    @property
    def root(self) -> Path:
        """The depot's folder."""
        return Path(self.index.root).parent

    def entry(self, name: str) -> Path:
        return Path(self.index.root, self.index.keys[name])

    def open(self) -> list[Case]:
        return self.index.open(list(self.index.keys))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """Four phantoms, preprocessed once; tests only add to it."""
    folder = tmp_path_factory.mktemp("cases")
    manifest = phantom(folder / "Phantom", CASES)
    plan = planned(manifest)
    return Cache(manifest, plan, index_of(manifest, plan, folder / "cache", workers=2))


@pytest.fixture(scope="module")
def finer(cache: Cache) -> Cache:
    """The same at half the spacing, in the same place."""
    plan = changed(cache.plan, "preprocessing", spacing_mm=[3, 3, 3])
    return Cache(cache.manifest, plan, index_of(cache.manifest, plan, cache.root))


@pytest.fixture
def copied(cache: Cache, tmp_path: Path) -> Cache:
    """The same, to be damaged."""
    root = tmp_path / "cache"
    shutil.copytree(cache.root, root)
    return Cache(cache.manifest, cache.plan, cache.index.model_copy(update={"root": str(root / "cases")}))


class TestCache:
    def test_the_first_run_computes_every_case(self, cache):
        assert (cache.index.computed, cache.index.reused) == (CASES, 0)

    def test_the_second_run_computes_nothing(self, cache):
        assert dict(preprocess(cache.manifest, cache.plan, Depot.here(cache.root), 2)) == dict.fromkeys(
            cache.index.keys, False
        )

    @pytest.mark.parametrize(
        ("part", "values"),
        [("training", {"epochs": 7}), ("inference", {"overlap": (2, 2, 2)}), ("gate", {"floor": 0.9})],
    )
    def test_a_change_that_preprocessing_does_not_see_computes_nothing(self, cache, part, values):
        other = changed(cache.plan, part, **values)
        assert other.digest != cache.plan.digest
        assert computed(cache.manifest, other, cache.root) == []

    def test_another_spacing_computes_every_case_anew_and_keeps_the_old(self, cache, finer):
        assert finer.index.computed == CASES
        assert computed(cache.manifest, cache.plan, cache.root) == []

    @pytest.mark.parametrize(
        "values",
        [
            {"spacing_mm": [6, 6, 6.5]},
            {"intensity": [{"rule": "window", "window": [-57, 165]}]},
            {"intensity": [{"rule": "zscore"}]},
            {"foreground_above": None},
            {"margin_mm": 5},
        ],
    )
    def test_every_part_of_preprocessing_is_in_the_key(self, cache, values):
        case, other = cache.manifest.cases[0], changed(cache.plan, "preprocessing", **values)
        assert case_key(case, other) != case_key(case, cache.plan)

    def test_one_more_case_computes_that_one(self, cache, tmp_path):
        more = phantom(tmp_path / "Phantom", CASES + 1)
        new = {case.name for case in more.cases} - {case.name for case in cache.manifest.cases}
        assert computed(more, cache.plan, cache.root) == sorted(new)

    def test_a_case_is_known_by_its_content_not_its_name_or_place(self, cache, tmp_path):
        folder = tmp_path / "elsewhere"
        shutil.copytree(cache.manifest.root, folder)
        for path in [*folder.glob("*/*.nii.gz"), folder / "dataset.json"]:
            if path.suffix == ".json":
                path.write_text(path.read_text().replace("phantom_", "patient_"))
            else:
                path.rename(path.with_name(path.name.replace("phantom_", "patient_")))
        assert computed(verify(folder), cache.plan, cache.root) == []


class TestCase:
    def test_arrays_are_those_of_the_preprocessor_as_half_and_byte(self, cache):
        entry = cache.manifest.cases[0]
        (case,) = cache.index.open([entry.name])
        preprocessor = Preprocessor(cache.plan.preprocessing)
        volume = cache.manifest.image(entry)
        placement = preprocessor.place(volume)
        assert case.placement == placement
        np.testing.assert_array_equal(case.image, preprocessor.image(volume, placement).astype(np.float16))
        label = preprocessor.label(cache.manifest.label(entry), placement, cache.plan.label_values)
        np.testing.assert_array_equal(case.label, label)
        assert (case.image.dtype, case.label.dtype) == (np.float16, np.uint8)

    def test_patches_are_read_from_a_memory_map(self, cache):
        for case in cache.open():
            assert isinstance(case.image, np.memmap)
            assert isinstance(case.label, np.memmap)
            assert not case.image.flags.writeable
            patch = cut(case.label, (3, 4, 5), (8, 8, 8), 0)
            assert not isinstance(patch, np.memmap)
            np.testing.assert_array_equal(patch, case.label[3:11, 4:12, 5:13])

    def test_locations_are_spread_over_the_voxels_of_their_class(self, cache):
        for case in cache.open():
            (spleen,) = case.locations
            assert (case.label[tuple(spleen.T)] == 1).all()
            labelled = np.argwhere(case.label == 1)
            assert 0 < len(spleen) <= 4096
            np.testing.assert_allclose(spleen.mean(axis=0), labelled.mean(axis=0), atol=1)

    def test_of_a_large_organ_at_most_4096_locations_are_kept(self, finer):
        for case in finer.open():
            assert np.count_nonzero(case.label) > 4096
            assert 2048 <= len(case.locations[0]) <= 4096


class TestIndex:
    def test_it_is_written_and_read_back(self, cache, tmp_path):
        cache.index.write(tmp_path / "cases.json")
        assert CaseIndex.read(tmp_path / "cases.json") == cache.index

    def test_a_missing_file_is_told_in_one_line(self, tmp_path):
        with pytest.raises(SeglineError, match=r"none\.json: cannot be read"):
            CaseIndex.read(tmp_path / "none.json")

    @pytest.mark.parametrize("text", ["", "{}", '{"keys": 3}'])
    def test_another_document_is_refused(self, tmp_path, text):
        path = tmp_path / "cases.json"
        path.write_text(text)
        with pytest.raises(SeglineError, match=r"cases\.json: not an index of cases, .*run preprocess again"):
            CaseIndex.read(path)

    def test_a_name_it_does_not_hold_is_refused(self, cache):
        with pytest.raises(SeglineError, match="case nobody: not among the 4 preprocessed cases"):
            cache.index.open(["nobody"])

    def test_an_entry_gone_from_the_cache_is_told_with_what_to_do(self, copied):
        name = copied.manifest.cases[1].name
        shutil.rmtree(copied.entry(name))
        with pytest.raises(
            SeglineError, match=f"case {name}: its cached entry .* is gone .*run preprocess again"
        ):
            copied.open()
        assert computed(copied.manifest, copied.plan, copied.root) == [name]
        assert len(copied.open()) == CASES

    @pytest.mark.parametrize("file", ["image.npy", "label.npy", "locations.npy", "placement.json"])
    @pytest.mark.parametrize("keep", [None, 0, 50], ids=["missing", "empty", "cut off"])
    def test_a_damaged_entry_is_told_with_what_to_do(self, copied, file, keep):
        name = copied.manifest.cases[0].name
        path = copied.entry(name) / file
        content = path.read_bytes()
        path.unlink()
        if keep is not None:
            path.write_bytes(content[:keep])
        with pytest.raises(SeglineError, match=f"case {name}: .* damaged; remove .* run preprocess again"):
            copied.index.open([name])


@pytest.fixture
def moved(cache: Cache, tmp_path: Path) -> Manifest:
    """The phantoms' files elsewhere, to be changed."""
    shutil.copytree(cache.manifest.root, tmp_path / "Phantom")
    return cache.manifest.model_copy(update={"root": str(tmp_path / "Phantom")})


class TestFailure:
    def test_a_file_changed_since_verification_is_refused(self, moved, cache, tmp_path):
        manifest, plan, entry = moved, cache.plan, moved.cases[2]
        label = manifest.label(entry)
        write_volume(Path(manifest.root, entry.label.path), Volume(1 - label.array, label.affine))
        with pytest.raises(SeglineError, match=r"phantom_002\.nii\.gz: changed since the data were verified"):
            computed(manifest, plan, tmp_path / "cache")
        assert not (tmp_path / "cache" / "cases" / case_key(entry, plan)).exists()

    def test_a_file_gone_since_verification_is_named(self, moved, cache, tmp_path):
        Path(moved.root, "imagesTr/phantom_001.nii.gz").unlink()
        with pytest.raises(SeglineError, match=r"imagesTr/phantom_001\.nii\.gz: no such file"):
            computed(moved, cache.plan, tmp_path / "cache")


@dataclass(frozen=True)
class Unstarted:
    """Work that takes long enough to be interrupted."""

    manifest: Manifest
    plan: Plan
    root: Path

    def entries(self) -> list[Path]:
        return [path for path in (self.root / "cases").glob("*") if not path.name.startswith(".")]

    def is_half_done(self) -> bool:
        """A case is there and another is being written; or two are, should that have gone unseen."""
        done, writing = len(self.entries()), list((self.root / "cases").glob(".writing-*"))
        return bool(done and writing) or done >= CASES // 2

    def keys(self) -> dict[str, str]:
        return {case.name: case_key(case, self.plan) for case in self.manifest.cases}

    def require_whole(self) -> None:
        """Every entry that is there opens, and holds what it should."""
        names = {key: name for name, key in self.keys().items()}
        for folder in self.entries():
            case = Case.open(names[folder.name], folder)
            assert case.image.shape[1:] == case.label.shape == case.placement.shape
            assert case.label.any()


@pytest.fixture
def unstarted(cache: Cache, tmp_path: Path) -> Unstarted:
    fine = changed(cache.plan, "preprocessing", spacing_mm=[1.5, 1.5, 1.5])
    return Unstarted(cache.manifest, fine, tmp_path / "cache")


PREPROCESS = """
import sys
from pathlib import Path
from segline.data.cases.building import preprocess
from segline.data.manifest import Manifest
from segline.storage.depot import Depot
from segline.plan import Plan
if __name__ == "__main__":
    manifest, plan, root = map(Path, sys.argv[1:])
    for name, computed in preprocess(Manifest.read(manifest), Plan.read(plan), Depot.here(root), 1):
        print(name, computed, flush=True)
"""


Start = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def start(unstarted: Unstarted, tmp_path: Path) -> Iterator[Start]:
    """Starts another process that preprocesses into the same cache."""
    unstarted.manifest.write(tmp_path / "manifest.json")
    unstarted.plan.write(tmp_path / "plan.json")
    script = tmp_path / "run.py"
    script.write_text(PREPROCESS)
    names = [tmp_path / "manifest.json", tmp_path / "plan.json", unstarted.root]
    started = []

    def start_one() -> "subprocess.Popen[str]":
        command = [sys.executable, script, *names]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start_one
    for process in started:
        process.kill()
        process.communicate()


class TestKilled:
    @pytest.mark.parametrize("processes", [1, 2])
    def test_no_half_entry_looks_whole_and_the_next_run_completes(self, unstarted, start, processes):
        runs = [start() for _ in range(processes)]
        wait_until(unstarted.is_half_done)
        workers = [child for run in runs for child in psutil.Process(run.pid).children(recursive=True)]
        assert workers
        for run in runs:
            run.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(workers, timeout=20)
        assert not alive, "a worker outlives its run"
        before = {path: path.stat().st_mtime_ns for path in unstarted.entries()}
        assert 0 < len(before) < CASES
        unstarted.require_whole()
        assert len(computed(unstarted.manifest, unstarted.plan, unstarted.root)) == CASES - len(before)
        after = {path: path.stat().st_mtime_ns for path in unstarted.entries()}
        assert len(after) == CASES
        assert after.items() >= before.items(), "a case was computed twice"
        unstarted.require_whole()
        assert not list(damaged(Depot.here(unstarted.root)))

    def test_a_killed_worker_is_told_in_one_line(self, unstarted):
        runs = preprocess(unstarted.manifest, unstarted.plan, Depot.here(unstarted.root), workers=1)
        next(runs)
        for process in multiprocessing.active_children():
            process.kill()
        with pytest.raises(
            SeglineError, match=r"a process was killed, perhaps for lack of memory .*run again"
        ):
            list(runs)
        unstarted.require_whole()


class TestShared:
    def test_of_four_processes_on_one_cache_each_case_is_computed_by_one(self, unstarted, start):
        runs = [start() for _ in range(4)]
        told = [line.split() for run in runs for line in run.communicate(timeout=300)[0].splitlines()]
        assert [run.returncode for run in runs] == [0] * 4
        assert len(told) == 4 * CASES
        assert sorted(name for name, new in told if new == "True") == sorted(unstarted.keys())
        unstarted.require_whole()


@pytest.fixture(scope="module")
def brain(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Boxes cut from two real brains, four files a case; the third case is the first in other axes."""
    folder = tmp_path_factory.mktemp("brain")
    box = (slice(40, 140), slice(40, 140), slice(55, 135))
    real = shared_data / "Brain_multimodal"
    pairs = []
    for name, axes in (("TCGA-DU-7294", "LPS"), ("OtherEXampleFromTCIA", "LPS"), ("TCGA-DU-7294", "SAR")):
        files = {m: real / name / f"{name}_{m}_bet.nii.gz" for m in MODALITIES}
        files["seg"] = real / name / "seg_fusion_simple.nii.gz"
        turn = Reorientation.between("LPS", axes)
        for kind, path in files.items():
            volume = read_volume(path)
            cropped = np.ascontiguousarray(turn.apply(volume.array[:, *box]))
            moved = turn.apply_to_grid(Volume(volume.array[:, *box], volume.affine).grid)
            write_volume(folder / f"{name}_{axes}_{kind}.nii", Volume(cropped, moved.affine))
        images = [f"{name}_{axes}_{m}.nii" for m in MODALITIES]
        pairs.append({"image": images, "label": f"{name}_{axes}_seg.nii"})
    declare_brain(folder, pairs)
    return folder


def declare_brain(folder: Path, pairs: list[dict[str, Any]]) -> None:
    content = {
        "name": "Brain",
        "modality": {str(i): name for i, name in enumerate(MODALITIES)},
        "labels": {"0": "background", "1": "necrosis", "2": "oedema", "4": "enhancing"},
        "training": pairs,
    }
    (folder / "dataset.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def brain_cache(brain: Path, tmp_path_factory: pytest.TempPathFactory) -> Cache:
    manifest = verify(brain)
    plan = make_plan(manifest, take_fingerprint(manifest), Task(name="brain", source="x"))
    return Cache(manifest, plan, index_of(manifest, plan, tmp_path_factory.mktemp("cache")))


class TestBrain:
    def test_channels_and_label_values_are_those_declared(self, brain_cache):
        assert brain_cache.plan.channels == MODALITIES
        assert brain_cache.plan.label_values == (0, 1, 2, 4)

    def test_four_channels_become_one_image(self, brain_cache):
        for case in brain_cache.open():
            assert case.image.shape == (4, *case.label.shape)

    def test_label_values_with_a_gap_become_class_indices_without(self, brain_cache):
        for case in brain_cache.open():
            native = np.unique(brain_cache.manifest.label(brain_cache.manifest.case(case.name)).array)
            assert np.unique(case.label).tolist() == [(0, 1, 2, 4).index(value) for value in native]

    def test_locations_are_kept_for_every_class(self, brain_cache):
        for case in brain_cache.open():
            assert len(case.locations) == case.label.max()
            for index, voxels in enumerate(case.locations, 1):
                assert (case.label[tuple(voxels.T)] == index).all()

    def test_the_same_patient_in_other_axes_gives_the_same_case(self, brain_cache):
        names = [case.name for case in brain_cache.manifest.cases if case.name.startswith("TCGA")]
        first, second = brain_cache.index.open(names)
        np.testing.assert_array_equal(first.label, second.label)
        np.testing.assert_allclose(first.image, second.image, atol=0.01)


def test_cases_are_taken_one_by_one_or_as_a_part(tiny_index: CaseIndex) -> None:
    names = list(tiny_index.keys)
    cases = tiny_index.open(names)
    assert [case.name for case in cases] == names
    assert [case.name for case in cases[1:3]] == names[1:3]
    assert cases[-1].name == names[-1]
    assert len(cases) == len(names)


def test_a_crop_that_would_take_labels_away_is_told(cache: Cache, tmp_path: Path) -> None:
    brightest = min(cache.manifest.image(case).array.max() for case in cache.manifest.cases)
    plan = changed(cache.plan, "preprocessing", foreground_above=float(brightest) - 1, margin_mm=0.0)
    told = r"labelsTr/.*: the crop above .* leaves out \d+ labelled voxels; set"
    with pytest.raises(SeglineError, match=told):
        computed(cache.manifest, plan, tmp_path / "cache")


def test_voxels_of_which_nothing_is_known_are_kept_as_such(cache: Cache, tmp_path: Path) -> None:
    values = {**cache.manifest.model_dump(), "labels": {0: "background"}, "ignore": 1}
    plan = Plan.parse({**cache.plan.model_dump(), "labels": {0: "background"}, "ignore": 1}, "plan")
    manifest = Manifest.model_validate(values)
    index = index_of(manifest, plan, tmp_path / "cache")
    (name, *_) = index.keys
    ignoring, usual = index.open([name])[0], cache.index.open([name])[0]
    np.testing.assert_array_equal(ignoring.label == IGNORED, usual.label == 1)
    assert not ignoring.locations


@pytest.mark.parametrize("name", ["label.npy", "image.npy", "locations.npy"])
def test_a_byte_that_flips_in_a_cached_case_is_never_used(copied: Cache, name: str) -> None:
    path = copied.entry("phantom_001") / name
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)
    cases = copied.open()
    assert cases[0].name == "phantom_000"
    with pytest.raises(
        SeglineError, match=r"case phantom_001: .* is not what was written; remove it by segline"
    ):
        _ = cases[1]


def test_a_label_that_is_exchanged_after_verification_is_never_used(cache: Cache, tmp_path: Path) -> None:
    root = shutil.copytree(cache.manifest.root, tmp_path / "data")
    manifest = cache.manifest.model_copy(update={"root": str(root)})
    one, other = manifest.cases[:2]
    shutil.copy(root / other.label_map.path, root / one.label_map.path)
    with pytest.raises(SeglineError, match=f"{one.label_map.path}: changed since the data were verified"):
        manifest.label(one)
    manifest.label(other)
