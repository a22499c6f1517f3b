"""A bundle run by MONAI's own command line agrees with segline."""

import itertools
import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
import torch

from segline.backends import open_backend
from segline.common.errors import SeglineError
from segline.data.manifest import Manifest
from segline.evaluation.masks.pairs import voxel_agreement
from segline.export.monai_bundle import export_bundle
from segline.export.monai_bundle.inference import INFERENCE, WEIGHTS
from segline.export.monai_bundle.metadata import METADATA
from segline.export.monai_bundle.windows import script
from segline.imaging.files import read_volume, write_volume
from segline.imaging.volume import Volume
from segline.inference.predictor import Predictor
from segline.inference.tiling import tile_axis
from segline.model.history import History
from segline.model.package import Model
from segline.networks.catalogue import build_network
from segline.plan import CentreLine, Plan, Plane
from segline.plan.inference.planes import MEASURES

from ..command import python
from ..conftest import small_plan
from ..imaging.headers import write_nifti

pytestmark = pytest.mark.heavy

HISTORY = History(
    device="cpu",
    seed=0,
    resumed_from_step=None,
    steps=0,
    minutes=0,
    kept_steps=(0,),
    best_score=0,
    points=(),
)


def monai(command: str, bundle: Path, *options: str) -> None:
    done = python(
        *("-m", "monai.bundle", command),
        *("--bundle_root", bundle),
        *("--config_file", bundle / INFERENCE),
        *("--meta_file", bundle / METADATA),
        *options,
        cwd=bundle,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def run(bundle: Path, images: Path, masks: Path) -> dict[str, Volume]:
    """MONAI's masks of every volume in ``images``, by file name."""
    monai("run", bundle, "--dataset_dir", str(images), "--output_dir", str(masks))
    return {path.name: read_volume(path) for path in masks.iterdir()}


def untrained(folder: Path, plan: Plan) -> Model:
    torch.manual_seed(0)
    return Model.write(folder, plan, build_network(plan).state_dict(), HISTORY)


def agreement(model: Model, bundle: Path, images: Path, masks: Path, *names: str) -> list[float]:
    """Of each image; masks are called as they are, or by ``names``."""
    found = run(bundle, images, masks)
    assert sorted(found) == sorted(names or (path.name for path in images.iterdir()))
    predictor, shares = Predictor(model.plan, open_backend("pytorch", model, "cpu")), []
    for path in sorted(images.iterdir()):
        ours, theirs = predictor(read_volume(path)), found[path.with_suffix("").stem + ".nii.gz"]
        assert theirs.array.dtype == np.uint8
        assert theirs.grid.matches(ours.grid), path.name
        assert len(np.unique(ours.array)) > 1, "a mask of background alone agrees with anything"
        shares.append(voxel_agreement(ours.array, theirs.array))
    return shares


def test_a_bundle_gives_seglines_masks_by_monais_command_line(
    tiny_model: Model, phantoms: Manifest, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    for name in tiny_model.plan.split.test:
        write_volume(images / f"{name}.nii.gz", phantoms.image(phantoms.case(name)))
    bundle = export_bundle(tiny_model, tmp_path / "bundle")
    shares = agreement(tiny_model, bundle, images, tmp_path / "masks")
    assert min(shares) >= 0.999, shares


def test_channels_with_rules_of_their_own_and_label_values_with_gaps(tmp_path: Path) -> None:
    plan = small_plan(
        channels=2,
        preprocessing={
            "spacing_mm": [1.5, 1.5, 2],
            "intensity": [{"rule": "zscore", "clip_sd": 2}, {"rule": "window", "window": [-1, 3]}],
            "foreground_above": 0.5,
            "margin_mm": 3.5,
        },
    )
    plan = Plan.model_validate({**plan.model_dump(), "labels": {0: "background", 2: "a", 5: "b"}})
    model = untrained(tmp_path / "model", plan)
    array = np.random.default_rng(0).normal(0, 0.05, (2, 30, 34, 26)).astype(np.float32)
    array[:, 8:22, 9:20, 6:20] += 2
    affine = np.array([[0, -1.2, 0, 5], [-1, 0, 0, 7], [0, 0, 1.7, -9], [0, 0, 0, 1.0]])
    write_volume(tmp_path / "images" / "brain.nii.gz", Volume(array, affine))
    bundle = export_bundle(model, tmp_path / "bundle")
    shares = agreement(model, bundle, tmp_path / "images", tmp_path / "masks")
    assert min(shares) >= 0.999, shares


def test_only_the_largest_component_of_a_label_is_kept_by_monai_too(tmp_path: Path) -> None:
    """A network whose score of each label is the channel that marks it, and specks in the volume."""
    plan = small_plan(channels=1, labels=3)
    plan = Plan.model_validate({**plan.model_dump(), "labels": {0: "background", 2: "a", 5: "b"}})
    loose, strict = (plan.keeping_largest(kept) for kept in ((), (5,)))
    array = np.random.default_rng(0).normal(0.5, 0.3, (1, 30, 34, 26)).astype(np.float32)
    write_volume(tmp_path / "images" / "specks.nii.gz", Volume(array, np.diag([-1.0, 1, 1, 1])))
    masks = []
    for name, made in (("loose", loose), ("strict", strict)):
        model = untrained(tmp_path / name / "model", made)
        bundle = export_bundle(model, tmp_path / name / "bundle")
        assert min(agreement(model, bundle, tmp_path / "images", tmp_path / name / "masks")) >= 0.999
        masks.append(read_volume(tmp_path / name / "masks" / "specks.nii.gz").array)
    assert np.isin(masks[0], (2, 5)).any(), "nothing to drop"
    assert 0 < (masks[1] == 5).sum() < (masks[0] == 5).sum()
    assert (masks[1] == 2).sum() == (masks[0] == 2).sum()


LINE = CentreLine(start=-4, weights=(0.01,) * MEASURES, share=0.7)


@pytest.mark.parametrize("line", [None, LINE], ids=["by the network", "by its centre line too"])
def test_labels_are_parted_by_a_plane_by_monai_too(line: CentreLine | None, tmp_path: Path) -> None:
    plan = small_plan(labels=4)
    plan = Plan.model_validate({**plan.model_dump(), "labels": {0: "background", 2: "a", 5: "b", 7: "c"}})
    parted = plan.parting([Plane(axis="y", lower=5, upper=2, centre_line=line)])
    array = np.random.default_rng(0).normal(0.5, 0.3, (1, 30, 34, 26)).astype(np.float32)
    write_volume(tmp_path / "images" / "noise.nii.gz", Volume(array, np.diag([-1.0, -1, 1, 1])))
    masks = []
    for name, made in (("mixed", plan), ("parted", parted)):
        model = untrained(tmp_path / name / "model", made)
        bundle = export_bundle(model, tmp_path / name / "bundle")
        assert min(agreement(model, bundle, tmp_path / "images", tmp_path / name / "masks")) >= 0.999
        masks.append(read_volume(tmp_path / name / "masks" / "noise.nii.gz").array[0])
    slices = [{*np.unique(masks[1][:, y])} & {2, 5} for y in range(34)]
    assert all(len(found) < 2 for found in slices) and slices[0] | slices[-1] == {2, 5}
    assert any({2, 5} <= {*np.unique(masks[0][:, y])} for y in range(34)), "nothing to part"


def test_monai_accepts_what_the_metadata_says_of_the_network(tiny_model: Model, tmp_path: Path) -> None:
    bundle = export_bundle(tiny_model, tmp_path / "bundle")
    monai("verify_net_in_out", bundle, "--net_id", "network_def", "--device", "cpu")


def test_the_metadata_has_what_monais_schema_requires(tiny_model: Model, tmp_path: Path) -> None:
    content: dict[str, Any] = json.loads((export_bundle(tiny_model, tmp_path / "b") / METADATA).read_text())
    assert content["version"] == "0.1.0"
    assert content["network_data_format"]["inputs"]["image"]["channel_def"] == {"0": "CT"}
    assert content["network_data_format"]["outputs"]["pred"]["channel_def"] == {
        "0": "background",
        "1": "spleen",
    }


def test_the_weights_are_a_plain_state_dict(tiny_model: Model, tmp_path: Path) -> None:
    weights = torch.load(export_bundle(tiny_model, tmp_path / "b") / WEIGHTS, weights_only=True)
    build_network(tiny_model.plan).load_state_dict(weights)


def test_a_bundle_is_the_same_bytes_every_time(tiny_model: Model, tmp_path: Path) -> None:
    first, second = (export_bundle(tiny_model, tmp_path / name) for name in ("a", "b"))
    for part in (METADATA, INFERENCE, WEIGHTS):
        assert (first / part).read_bytes() == (second / part).read_bytes()


@pytest.mark.parametrize("part", [METADATA, INFERENCE])
def test_a_bundle_names_no_place_of_this_machine(tiny_model: Model, tmp_path: Path, part: str) -> None:
    assert str(tmp_path) not in (export_bundle(tiny_model, tmp_path / "b") / part).read_text()


def test_its_script_cuts_volumes_as_segline_does_and_needs_nothing_of_it(tmp_path: Path) -> None:
    path = tmp_path / "windows.py"
    path.write_text(script())
    code = f"import runpy, sys; found = runpy.run_path({str(path)!r}); assert 'segline' not in sys.modules"
    subprocess.run([sys.executable, "-I", "-c", code], check=True, cwd=tmp_path)
    window_along = runpy.run_path(str(path))["window_along"]
    for size, shortest, longest, overlap, multiple in itertools.product(
        (1, 40, 95, 96, 97, 160, 161, 270, 512), (32, 96), (96, 160), (8, 24), (1, 16)
    ):
        length, starts = tile_axis(size, shortest, longest, overlap, multiple)
        told, step = window_along(size, shortest, longest, overlap, multiple)
        assert told == length
        if len(starts) > 1:
            assert [min(k * int(step), size - length) for k in range(len(starts))][-1] == starts[-1]


def test_what_lies_in_a_folder_stays(tiny_model: Model, tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("two years")
    with pytest.raises(SeglineError, match="there is something already; give a new folder for the bundle"):
        export_bundle(tiny_model, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.docx"]
    (tmp_path / "empty").mkdir()
    assert export_bundle(tiny_model, tmp_path / "empty").is_dir()


HEADERS: dict[str, dict[str, Any]] = {
    "scaled": {},
    "unplaced": {"codes": (0, 0)},
    "scanner": {"codes": (1, 0)},
    "microns": {"xyzt_units": 3},
}


def test_masks_lie_where_their_images_lie_whatever_the_header(
    tiny_model: Model, phantoms: Manifest, tmp_path: Path
) -> None:
    image = phantoms.image(phantoms.case(tiny_model.plan.split.test[0]))
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir()
    for name, fields in HEADERS.items():
        affine = image.affine.copy()
        affine[:3] *= 1000 if name == "microns" else 1
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        sform = affine / [*spacing, 1] if name == "scaled" else affine  # ACDC's: pixdim and qform alone scale
        array = image.array[0].astype(np.int16)
        write_nifti(images / f"{name}.nii", qform=affine, sform=sform, array=array, **fields)
    bundle = export_bundle(tiny_model, tmp_path / "bundle")
    assert min(agreement(tiny_model, bundle, images, masks, *sorted(f"{n}.nii.gz" for n in HEADERS))) >= 0.999
    for name in HEADERS:
        files = masks / f"{name}.nii.gz", images / f"{name}.nii"
        theirs, ours = (SimpleITK.ReadImage(str(file)) for file in files)
        for part in ("Origin", "Spacing", "Direction"):
            assert getattr(theirs, f"Get{part}")() == getattr(ours, f"Get{part}")(), (name, part)


def test_a_blending_that_monai_does_not_know_is_told(tmp_path: Path) -> None:
    model = untrained(tmp_path / "model", small_plan(inference={"blending": "hann"}))
    with pytest.raises(SeglineError, match=r"inference\.blending hann: MONAI"):
        export_bundle(model, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
