import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from segline.backends import open_backend
from segline.common.errors import SeglineError
from segline.data.phantom.scanner import ORIENTATIONS, phantom_on_grid
from segline.imaging.files import read_volume
from segline.imaging.geometry import Grid, Reorientation, Shape
from segline.imaging.volume import Volume
from segline.inference.predictor import Predictor
from segline.inference.stitching import predict_leads
from segline.inference.stopwatch import Stopwatch
from segline.model.package import Model
from segline.plan import PROFILES, Plan

from ..conftest import small_plan

PEAK = """
import os
import numpy as np
from segline.machine.memory import peak_memory_bytes
from segline.inference.predictor import Predictor
from segline.imaging.volume import Volume
from tests.conftest import small_plan

CLASSES, SIZE = 48, 128
WINDOW = [32, 32, 32]
plan = small_plan(
    labels=CLASSES,
    inference={"smallest_window": WINDOW, "largest_window": WINDOW, "overlap": [8, 8, 8], "batch_size": 1},
)

def network(windows):
    return np.repeat(windows, CLASSES, axis=1)

def predict(size):
    Predictor(plan, network)(Volume(np.random.rand(1, size, size, size).astype(np.float32), np.eye(4)))

predict(40)
before = int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
predict(SIZE)
peak = peak_memory_bytes()
print((peak - before) / (CLASSES * SIZE**3 * 4))
"""


@dataclass
class Threshold:
    """A perfect network for images whose intensity says the class: the k-th of K lies at ``k / (K - 1)``."""

    classes: int = 2

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        levels = np.linspace(0, 1, self.classes, dtype=np.float32).reshape(1, -1, 1, 1, 1)
        return -100 * np.abs(windows[:, :1] - levels)


def image(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def settings(window: Shape, overlap: float = 0.5, blending: str = "gaussian", batch_size: int = 3) -> Plan:
    """Windows of just this size."""
    inference = {
        "smallest_window": window,
        "largest_window": window,
        "overlap": [int(edge * overlap) for edge in window],
        "blending": blending,
        "batch_size": batch_size,
    }
    return small_plan(inference=inference)


def over_background(scores: Tensor) -> Tensor:
    return scores[1:] - scores[:1]


def convolution(channels: int = 1, classes: int = 2) -> Callable[[Tensor], Tensor]:
    """A linear network that sees the edges of its windows."""
    torch.manual_seed(0)
    network = nn.Conv3d(channels, classes, 3, padding=1)
    return torch.no_grad()(network)


@pytest.mark.parametrize("blending", PROFILES)
@pytest.mark.parametrize("shape", [(21, 30, 17), (8, 8, 8), (5, 40, 8)])
def test_a_constant_network_gives_a_constant(blending: str, shape: tuple[int, int, int]) -> None:
    def network(windows: Tensor) -> Tensor:
        scores = torch.tensor([2.0, -3.0]).reshape(1, 2, 1, 1, 1)
        return scores.expand(len(windows), 2, *windows.shape[2:]).contiguous()

    leads = predict_leads(network, image(1, *shape), settings((8, 8, 8), 0.25, blending))
    assert leads.shape == (1, *shape)
    assert torch.allclose(leads, torch.tensor(-5.0), atol=1e-5)


@pytest.mark.parametrize(("kept", "speck"), [(None, 9), ([], 9), ([9], 4)])
def test_only_the_largest_component_of_a_label_is_kept_where_the_plan_says(
    kept: list[int] | None, speck: int
) -> None:
    plan = settings((16, 16, 16))
    labels = {"labels": {4: "background", 9: "organ"}}
    inference = {**plan.inference.model_dump(), "keep_largest": kept}
    plan = Plan.parse({**plan.model_dump(), **labels, "inference": inference}, "plan")
    volume = np.zeros((1, 20, 16, 16), np.float32)
    volume[0, 2:8, 4:12, 4:12] = 1
    volume[0, 14:16, 4:6, 4:6] = 1
    mask = Predictor(plan, Threshold())(Volume(volume, np.eye(4))).array[0]
    assert set(np.unique(mask)) == {4, 9}
    assert (mask[2:8, 4:12, 4:12] == 9).all()
    assert (mask[14:16, 4:6, 4:6] == speck).all()


@pytest.mark.parametrize("blending", PROFILES)
def test_a_network_that_sees_single_voxels_gives_its_own_answer(blending: str) -> None:
    torch.manual_seed(0)
    network = torch.inference_mode()(nn.Conv3d(2, 3, 1))
    volume = image(2, 21, 30, 17)
    leads = predict_leads(network, volume, settings((8, 8, 8), 0.5, blending))
    assert torch.allclose(leads, over_background(network(volume[None])[0]), atol=1e-5)


def test_constant_blending_is_that_of_monai() -> None:
    network, volume = convolution(), image(1, 20, 28, 16)
    wanted = sliding_window_inference(volume[None], (8, 8, 8), 4, network, overlap=0.5, mode="constant")
    got = predict_leads(network, volume, settings((8, 8, 8), 0.5, "constant"))
    assert torch.allclose(got, over_background(wanted[0]), atol=1e-5)


def test_gaussian_blending_is_close_to_that_of_monai() -> None:
    network, volume = convolution(), image(1, 32, 48, 16)
    wanted = sliding_window_inference(
        volume[None], (16, 16, 16), 4, network, overlap=0.5, mode="gaussian", sigma_scale=0.125
    )
    got = predict_leads(network, volume, settings((16, 16, 16), 0.5))
    constant = predict_leads(network, volume, settings((16, 16, 16), 0.5, "constant"))
    wanted = over_background(wanted[0])
    assert (got - wanted).abs().max() < 0.1 * (constant - wanted).abs().max()


def test_gaussian_blending_trusts_the_middle_of_a_window() -> None:
    network, volume = convolution(), image(1, 48, 16, 16)
    whole = over_background(network(volume[None])[0])
    gaussian, constant = (
        predict_leads(network, volume, settings((16, 16, 16), 0.5, blending)) - whole
        for blending in ("gaussian", "constant")
    )
    assert gaussian.abs().mean() < 0.5 * constant.abs().mean()


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
def test_the_batch_size_does_not_change_the_answer(batch_size: int) -> None:
    network, volume = convolution(), image(1, 20, 11, 9)
    one = predict_leads(network, volume, settings((8, 8, 8), batch_size=1))
    some = predict_leads(network, volume, settings((8, 8, 8), batch_size=batch_size))
    assert torch.allclose(one, some, atol=1e-6)


@pytest.mark.parametrize("shape", [(5, 6, 7), (5, 20, 8), (1, 1, 1)])
def test_a_volume_smaller_than_the_window_is_answered_on_its_own_grid(shape: tuple[int, int, int]) -> None:
    seen: list[Tensor] = []

    def network(windows: Tensor) -> Tensor:
        seen.append(windows)
        return torch.cat([windows, -windows], dim=1)

    volume = 1 + image(1, *shape).abs()
    leads = predict_leads(network, volume, settings((8, 8, 8), 0))
    assert torch.allclose(leads[0], -2 * volume[0], atol=1e-6)
    assert all(windows.shape[2:] == (8, 8, 8) for windows in seen)


def test_a_volume_smaller_than_the_window_lies_in_its_middle() -> None:
    seen: list[Tensor] = []

    def network(windows: Tensor) -> Tensor:
        seen.append(windows)
        return torch.cat([windows, -windows], dim=1)

    volume = image(1, 4, 6, 7)
    predict_leads(network, volume, settings((8, 8, 8)))
    (window,) = seen
    assert torch.equal(window[0, :, 2:6, 1:7, 0:7], volume)
    assert int((window == 0).sum()) == 8**3 - volume.numel()


@pytest.mark.parametrize("blending", PROFILES)
@pytest.mark.parametrize("shape", [(21, 30, 17), (8, 8, 8), (5, 40, 8)])
def test_an_array_is_answered_as_a_tensor_is(shape: tuple[int, int, int], blending: str) -> None:
    network, volume = convolution(), image(1, *shape)

    def on_arrays(windows: np.ndarray) -> np.ndarray:
        return network(torch.from_numpy(windows)).numpy()

    plan = settings((8, 8, 8), 0.5, blending)
    leads = predict_leads(on_arrays, volume.numpy(), plan)
    assert isinstance(leads, np.ndarray)
    np.testing.assert_allclose(leads, predict_leads(network, volume, plan), atol=1e-6)


def test_no_network_call_is_larger_than_a_batch() -> None:
    sizes: list[int] = []

    def network(windows: Tensor) -> Tensor:
        sizes.append(len(windows))
        return torch.cat([windows, windows], dim=1)

    predict_leads(network, image(1, 16, 16, 8), settings((8, 8, 8), 0))
    assert sizes == [3, 1]


@pytest.mark.parametrize("orientation", [*ORIENTATIONS, "PIR", "SAL"])
def test_the_mask_is_on_exactly_the_grid_of_the_volume(orientation: str) -> None:
    grid = Grid(
        (40, 36, 20), np.array([[8.5, 0, 0, -170], [0, 8.5, 0, -150], [0, 0, 9, -90], [0, 0, 0, 1.0]])
    )
    stored = Reorientation.between("RAS", orientation).apply_to_grid(grid)
    phantom, _ = phantom_on_grid(stored, 0)
    plan = small_plan(
        preprocessing={
            "spacing_mm": [8, 8, 8],
            "intensity": [{"rule": "window", "window": [-200, 300]}],
            "foreground_above": -500,
        }
    )
    mask = Predictor(plan, Threshold())(phantom)
    assert mask.array.shape == phantom.array.shape
    assert np.array_equal(mask.affine, phantom.affine)
    assert mask.grid.orientation == orientation
    assert mask.array.dtype == np.uint8
    assert set(np.unique(mask.array)) == {0, 1}


@pytest.mark.parametrize("orientation", [*ORIENTATIONS, "PIR", "SAL"])
def test_every_voxel_is_labelled_where_it_lies(orientation: str) -> None:
    rng = np.random.default_rng(0)
    axes = Reorientation.between("RAS", orientation)
    grid = axes.apply_to_grid(Grid((20, 17, 23), np.diag([1.0, 2.0, 3.0, 1.0])))
    classes = rng.integers(0, 3, (1, *grid.shape))
    plan = small_plan(
        labels=3,
        preprocessing={"spacing_mm": [1, 2, 3]},
        inference=settings((8, 16, 8)).inference.model_dump(),
    )
    mask = Predictor(plan, Threshold(3))(Volume((classes / 2).astype(np.float32), grid.affine))
    assert np.array_equal(mask.array, classes)


def test_the_mask_holds_the_label_files_own_values() -> None:
    plan = small_plan().model_copy(update={"labels": {0: "background", 3: "liver", 200: "spleen"}})
    classes = np.random.default_rng(0).integers(0, 3, (1, 20, 16, 16))
    mask = Predictor(plan, Threshold(3))(Volume((classes / 2).astype(np.float32), np.eye(4)))
    assert np.array_equal(mask.array, np.array([0, 3, 200])[classes])


def test_a_real_ct_is_answered_on_its_own_grid(tiny_model: Model, shared_data: Path) -> None:
    ct = read_volume(shared_data / "Task09_SpleenMini/imagesTr/spleen_tsB.nii.gz")
    mask = Predictor(tiny_model.plan, open_backend("pytorch", tiny_model, "cpu"))(ct)
    assert mask.array.shape == (1, 512, 512, 20)
    assert np.array_equal(mask.affine, ct.affine)
    assert mask.grid.orientation == ct.grid.orientation
    assert mask.array.dtype == np.uint8
    assert set(np.unique(mask.array)) <= {0, 1}


@pytest.mark.parametrize("channels", [1, 3])
def test_a_volume_with_another_number_of_channels_is_refused(channels: int) -> None:
    volume = Volume(np.zeros((channels, 16, 16, 16), np.float32), np.eye(4))
    with pytest.raises(SeglineError, match=rf"the image has {channels} channels, the plan wants 2"):
        Predictor(small_plan(channels=2), Threshold())(volume)


@pytest.mark.parametrize("stray", [float("nan"), float("inf"), float("-inf")])
def test_scores_that_are_not_finite_are_refused_and_never_pass_for_background(stray: float) -> None:
    def network(windows: Tensor) -> Tensor:
        scores = torch.cat([windows, -windows], dim=1)
        scores[-1, 0, 0, 0, 0] = stray
        return scores

    with pytest.raises(SeglineError, match="scores are not finite"):
        predict_leads(network, image(1, 20, 16, 16), settings((8, 8, 8)))


def test_each_window_is_counted() -> None:
    watch = Stopwatch()
    predict_leads(convolution(), image(1, 16, 16, 9), settings((8, 8, 8), 0), watch)
    assert watch.counts == {"windows": 8}


def test_a_large_window_gives_the_middle_of_small_ones() -> None:
    network, volume = convolution(), image(1, 30, 16, 16)
    whole = predict_leads(network, volume, small_plan(inference={"largest_window": [32, 16, 16]}))
    assert torch.allclose(whole[:, 2:-2], over_background(network(volume[None])[0])[:, 2:-2], atol=1e-5)


def test_each_stage_is_timed() -> None:
    watch = Stopwatch()
    Predictor(small_plan(), Threshold(), watch)(Volume(np.zeros((1, 20, 16, 16), np.float32), np.eye(4)))
    assert set(watch.seconds) == {"preprocess", "network", "stitch", "invert"}
    assert min(watch.seconds.values()) > 0


@pytest.mark.heavy
def test_no_more_than_one_volume_of_scores_is_kept() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PEAK],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) < 1.6
