import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch

from segline.backends import open_backend
from segline.backends.tensorrt import Target, build_engine, merge_engines, read_engine
from segline.backends.tensorrt.backend import TensorRtBackend
from segline.backends.tensorrt.engine import EnginePrecision, EngineSidecar, best_precision
from segline.backends.tensorrt.flavour import Flavour
from segline.backends.tensorrt.inspection import EngineSummary, inspected_layers
from segline.backends.tensorrt.profiles import choose_profile, plan_profiles
from segline.backends.tensorrt.target import difference
from segline.common.digests import sha256_of_file
from segline.common.errors import SeglineError, UnavailableError
from segline.data.cases.index import CaseIndex
from segline.export.onnx import export_onnx
from segline.machine.nvidia import nvidia_driver_missing
from segline.model.package import Model
from segline.networks.catalogue import build_network
from segline.plan import Plan

from ..conftest import TinyTraining, small_plan

MISSING = nvidia_driver_missing()
ARCHITECTURE = "sm_89"
PRECISIONS: list[EnginePrecision] = ["float32", "float16"]
FLAGSHIP = {"channels": [16, 32, 64, 128, 256], "strides": [[2, 2, 2]] * 4}


@pytest.fixture(scope="module")
def target() -> Target:
    """GPUs that TensorRT-RTX builds for, wherever the tests run."""
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed: pip install tensorrt-rtx")
    return Target.without_gpu(ARCHITECTURE)


@pytest.fixture(scope="module")
def built(tiny_model: Model, target: Target, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The tiny model with an engine of each precision; treat it as read-only."""
    folder = tmp_path_factory.mktemp("built")
    model = tiny_model.copied_to(folder / "model")
    for precision in PRECISIONS:
        build_engine(model, target, folder / target.timing_cache, precision)
    return model


@pytest.fixture
def spoilt(built: Model, tmp_path: Path) -> Model:
    """A copy of ``built`` that a test may spoil."""
    return built.copied_to(tmp_path / "model")


def engine_of(model: Model, precision: str = "float16") -> Path:
    return model.folder / "engines" / ARCHITECTURE / f"{precision}.engine"


def sidecar_of(model: Model, precision: str = "float16") -> EngineSidecar:
    return EngineSidecar.read(engine_of(model, precision).with_suffix(".engine.json"))


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(SeglineError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_trained_network_is_parsed_and_built_in_every_precision(
    precision: EnginePrecision, built: Model
) -> None:
    summary = EngineSummary.read(engine_of(built, precision).with_suffix(".layers.json"))
    assert summary.engine_bytes == engine_of(built, precision).stat().st_size > 0
    kind = "half" if precision == "float16" else "float"
    convolutions = {name: count for name, count in summary.layers.items() if "convolution" in name}
    assert list(convolutions) == [f"convolution {kind}", f"deconvolution {kind}"]
    assert min(convolutions.values()) >= 1


@pytest.mark.parametrize("precision", PRECISIONS)
def test_windows_and_scores_are_float32_whatever_is_computed_in(
    precision: EnginePrecision, built: Model
) -> None:
    sidecar = sidecar_of(built, precision)
    (windows,), (scores,) = sidecar.inputs, sidecar.outputs
    assert (windows.name, windows.dtype, windows.shape) == ("windows", "float", (-1, 1, -1, -1, -1))
    assert (scores.name, scores.dtype) == ("scores", "float")


def test_the_sidecar_says_everything_that_must_match(built: Model, target: Target) -> None:
    sidecar = sidecar_of(built)
    assert sidecar.target == target
    assert sidecar.target.system.startswith("Linux ")
    assert sidecar.engine_sha256 == sha256_of_file(engine_of(built))
    assert sidecar.onnx_sha256 == sha256_of_file(built.onnx_float16)
    assert sidecar.plan_digest == built.plan.digest
    assert sidecar.precision == "float16"
    assert sidecar.opset == built.sidecar().opset
    assert sidecar.profiles == plan_profiles(built.plan)
    assert "TF32" not in sidecar.builder_flags


def test_float16_is_built_unless_asked_otherwise(tiny_model: Model, target: Target, tmp_path: Path) -> None:
    model = tiny_model.copied_to(tmp_path / "model")
    assert build_engine(model, target, tmp_path / "cache").name == "float16.engine"


def test_a_network_that_overflows_in_float16_is_built_in_float32(built: Model, tmp_path: Path) -> None:
    model = built.copied_to(tmp_path / "model")
    model.write_sidecar(model.sidecar().model_copy(update={"float16": None, "no_float16": "it overflows"}))
    assert best_precision(model) == "float32"


def test_the_flagship_network_is_built_in_both_precisions(
    target: Target, tiny_training: TinyTraining, tiny_plan: Plan, tiny_index: CaseIndex, tmp_path: Path
) -> None:
    edges = [96, 96, 96]
    inference = {"smallest_window": edges, "largest_window": [160, 160, 160], "overlap": [24, 24, 24]}
    plan = small_plan(network=FLAGSHIP, training={"patch_size": [32, 32, 32]}, inference=inference)
    torch.manual_seed(0)
    weights = build_network(plan).state_dict()
    model = Model.write(tmp_path / "model", plan, weights, tiny_training.history)
    export_onnx(model, tiny_index.open(tiny_plan.split.val), patches=2)
    for precision in PRECISIONS:
        build_engine(model, target, tmp_path / "cache", precision)
        assert sidecar_of(model, precision).profiles[-1].largest == (4, 1, 160, 160, 160)


def test_the_timing_cache_is_written_and_read_again(
    tiny_model: Model, target: Target, tmp_path: Path
) -> None:
    model, cache = tiny_model.copied_to(tmp_path / "model"), tmp_path / "store" / target.timing_cache
    build_engine(model, target, cache)
    assert cache.stat().st_size > 0
    build_engine(model, target, cache)
    assert cache.name == f"tensorrt_rtx-{target.version}-{ARCHITECTURE}.timing"


def test_a_damaged_timing_cache_does_not_stop_a_build(
    tiny_model: Model, target: Target, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_bytes(b"junk")
    build_engine(tiny_model.copied_to(tmp_path / "model"), target, tmp_path / "cache")


def test_a_graph_that_the_parser_refuses_is_refused_in_one_line(
    tiny_model: Model, target: Target, tmp_path: Path
) -> None:
    model = tiny_model.copied_to(tmp_path / "model")
    graph = onnx.load(model.onnx)
    graph.graph.node[0].input[1] = "nowhere"
    model.onnx.write_bytes(graph.SerializeToString())
    sidecar = tiny_model.sidecar().model_copy(update={"onnx_sha256": sha256_of_file(model.onnx)})
    model.write_sidecar(sidecar)
    line = refusal(lambda: build_engine(model, target, tmp_path / "cache", "float32"))
    assert "tensorrt_rtx" in line
    assert "cannot build it: " in line
    assert not engine_of(model, "float32").exists()


def test_an_architecture_that_tensorrt_rtx_does_not_know_cannot_be_had(
    tiny_model: Model, target: Target, tmp_path: Path
) -> None:
    hopper = target.model_copy(update={"architecture": "sm_90"})
    with pytest.raises(UnavailableError, match="does not know sm_90; pip install tensorrt"):
        build_engine(tiny_model.copied_to(tmp_path / "model"), hopper, tmp_path / "cache")


def test_an_other_version_than_the_installed_one_cannot_be_had(
    tiny_model: Model, target: Target, tmp_path: Path
) -> None:
    other = target.model_copy(update={"version": "1.0"})
    with pytest.raises(UnavailableError, match=r"tensorrt_rtx 1\.0 was asked for, .* is installed"):
        build_engine(tiny_model, other, tmp_path / "cache")


@pytest.mark.skipif(MISSING is None, reason="this machine has an NVIDIA GPU")
def test_without_a_gpu_there_is_no_target_here_with_the_reason() -> None:
    with pytest.raises(UnavailableError) as caught:
        Target.here()
    assert str(caught.value) == MISSING


@pytest.mark.skipif(MISSING is None, reason="this machine has an NVIDIA GPU")
def test_an_engine_for_a_gpu_that_is_not_there_is_not_built(
    tiny_model: Model, target: Target, tmp_path: Path
) -> None:
    gpu = target.model_copy(update={"gpu": "NVIDIA L4"})
    with pytest.raises(UnavailableError, match="no NVIDIA GPU"):
        build_engine(tiny_model, gpu, tmp_path / "cache")


def test_a_model_that_was_not_exported_is_refused(tiny_model: Model, target: Target, tmp_path: Path) -> None:
    model = tiny_model.copied_to(tmp_path / "model")
    model.onnx.unlink()
    line = refusal(lambda: build_engine(model, target, tmp_path / "cache"))
    assert "run export_onnx first" in line
    assert not (tmp_path / "cache").exists()


def test_a_flavour_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(UnavailableError, match=r"tensorrt cannot be imported .*pip install tensorrt"):
        Flavour.installed()


def test_an_untouched_engine_is_read(built: Model, target: Target) -> None:
    content, sidecar = read_engine(built, "float16", target)
    assert content == engine_of(built).read_bytes()
    assert sidecar == sidecar_of(built)


def test_an_engine_built_without_a_gpu_runs_on_any_of_its_architecture(built: Model, target: Target) -> None:
    found = {"gpu": "NVIDIA L4", "driver": "580.1", "cuda": "13.0"}
    assert read_engine(built, "float32", target.model_copy(update=found))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_one_flipped_bit_is_refused(precision: EnginePrecision, spoilt: Model, target: Target) -> None:
    path = engine_of(spoilt, precision)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert refusal(lambda: read_engine(spoilt, precision, target)) == (
        f"{path}: changed after it was built; run build_tensorrt again on this machine"
    )


def test_an_engine_of_another_plan_is_refused(spoilt: Model, target: Target) -> None:
    path = engine_of(spoilt)
    sidecar_of(spoilt).model_copy(update={"plan_digest": "1" * 64}).write(path.with_suffix(".engine.json"))
    line = refusal(lambda: read_engine(spoilt, "float16", target))
    assert f"built under plan 111111111111, the package's is {spoilt.plan.digest[:12]}" in line


def test_an_engine_of_another_graph_is_refused(spoilt: Model, target: Target) -> None:
    engine_of(spoilt).write_bytes(engine_of(spoilt, "float32").read_bytes())
    engine_of(spoilt).with_suffix(".engine.json").write_text(
        engine_of(spoilt, "float32").with_suffix(".engine.json").read_text()
    )
    line = refusal(lambda: read_engine(spoilt, "float16", target))
    assert "built from another graph than the package's" in line


@pytest.mark.parametrize(
    ("field", "found", "words"),
    [
        ("flavour", "tensorrt", "TensorRT flavour tensorrt_rtx, here is tensorrt"),
        ("version", "11.0", ", here is 11.0"),
        ("system", "Linux aarch64", "here is Linux aarch64"),
        ("gpu", "NVIDIA H100", "built for GPU NVIDIA L4, here is NVIDIA H100"),
        ("driver", "590.1", "built for NVIDIA driver 580.1, here is 590.1"),
        ("cuda", "12.9", "built for CUDA 13.0, here is 12.9"),
    ],
)
def test_an_engine_for_another_target_is_refused_with_what_differs(
    field: str, found: str, words: str, spoilt: Model, target: Target
) -> None:
    machine = target.model_copy(update={"gpu": "NVIDIA L4", "driver": "580.1", "cuda": "13.0"})
    path = engine_of(spoilt)
    sidecar_of(spoilt).model_copy(update={"target": machine}).write(path.with_suffix(".engine.json"))
    assert read_engine(spoilt, "float16", machine)
    line = refusal(lambda: read_engine(spoilt, "float16", machine.model_copy(update={field: found})))
    assert words in line
    assert line.endswith("; run build_tensorrt again on this machine")


def test_every_field_of_a_target_is_compared(target: Target) -> None:
    here = target.model_copy(update={"gpu": "a", "driver": "b", "cuda": "c"})
    assert difference(here, here) is None
    for field in Target.model_fields:
        assert difference(here, here.model_copy(update={field: "other"})), field


def test_a_package_has_no_engine_for_an_architecture_that_none_was_built_for(
    built: Model, target: Target
) -> None:
    other = target.model_copy(update={"architecture": "sm_120"})
    with pytest.raises(UnavailableError, match="no float16 engine for sm_120; run build_tensorrt"):
        read_engine(built, "float16", other)


def test_a_damaged_sidecar_is_refused(spoilt: Model, target: Target) -> None:
    engine_of(spoilt).with_suffix(".engine.json").write_text("{}")
    assert "not an engine's sidecar" in refusal(lambda: read_engine(spoilt, "float16", target))


def test_the_digests_of_a_package_name_its_engines(built: Model) -> None:
    name = f"engines/{ARCHITECTURE}/float16.engine"
    assert built.digests()[name] == sha256_of_file(built.folder / name)


def plan_with_windows(batch_size: int) -> Plan:
    edges = {"smallest_window": [16, 16, 16], "largest_window": [32, 48, 64], "overlap": [4, 4, 4]}
    return small_plan(channels=2, inference={**edges, "batch_size": batch_size})


def test_there_is_a_profile_for_one_window_and_one_for_batches() -> None:
    single, batches = plan_profiles(plan_with_windows(4))
    assert (single.smallest, single.largest) == ((1, 2, 16, 16, 16), (1, 2, 32, 48, 64))
    assert (batches.smallest, batches.largest) == ((1, 2, 16, 16, 16), (4, 2, 32, 48, 64))


def test_a_plan_without_batches_has_one_profile() -> None:
    assert len(plan_profiles(plan_with_windows(1))) == 1


@pytest.mark.parametrize(
    ("shape", "number"),
    [((1, 2, 16, 16, 16), 0), ((1, 2, 32, 48, 64), 0), ((2, 2, 16, 48, 32), 1), ((4, 2, 32, 48, 64), 1)],
)
def test_the_narrowest_profile_that_holds_the_windows_is_chosen(shape: tuple[int, ...], number: int) -> None:
    assert choose_profile(plan_profiles(plan_with_windows(4)), shape) == number


@pytest.mark.parametrize(
    "shape", [(5, 2, 32, 48, 64), (1, 2, 34, 48, 64), (1, 2, 14, 16, 16), (1, 1, 16, 16, 16), (2, 16, 16, 16)]
)
def test_windows_that_no_profile_holds_are_refused(shape: tuple[int, ...]) -> None:
    line = refusal(lambda: choose_profile(plan_profiles(plan_with_windows(4)), shape))
    assert "x".join(map(str, shape)) in line
    assert "built for 1x2x16x16x16 to 4x2x32x48x64" in line


def test_an_older_inspector_names_format_and_type_together() -> None:
    layers = [
        {"LayerType": "CaskConvolution", "Outputs": [{"Format/Datatype": "Half"}]},
        {"LayerType": "NoOp"},
    ]
    assert inspected_layers({"Layers": layers}) == {"caskconvolution half": 1, "noop no output": 1}


def test_the_backend_runs_on_no_cpu(tiny_model: Model) -> None:
    with pytest.raises(UnavailableError, match="runs on an NVIDIA GPU, not on cpu"):
        open_backend("tensorrt", tiny_model, "cpu")


@pytest.mark.skipif(MISSING is None, reason="this machine has an NVIDIA GPU")
@pytest.mark.parametrize("device", ["auto", "cuda", "cuda:1"])
def test_without_a_driver_the_backend_is_unavailable_with_the_reason(device: str, built: Model) -> None:
    with pytest.raises(UnavailableError) as caught:
        open_backend("tensorrt", built, device)
    assert str(caught.value) == MISSING


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no NVIDIA GPU")
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-3), ("float16", 0.05)])
def test_on_a_gpu_the_scores_are_the_references(
    precision: EnginePrecision, tolerance: float, tiny_model: Model, tmp_path: Path
) -> None:
    try:
        here = Target.here()
    except UnavailableError as missing:
        pytest.skip(str(missing))
    model = tiny_model.copied_to(tmp_path / "model")
    build_engine(model, here, tmp_path / here.timing_cache, precision)
    backend = TensorRtBackend(model, "cuda", precision)
    for batch in (1, 2, 1):
        windows = torch.rand(batch, 1, *model.plan.inference.largest_window, device="cuda")
        wanted = open_backend("pytorch", model, "cuda")(windows)
        assert (backend(windows) - wanted).abs().max() < tolerance


def with_engine(model: Model, architecture: str, folder: Path) -> Model:
    """A copy of a package with files in the place of an engine."""
    copy = model.copied_to(folder)
    place = copy.folder / "engines" / architecture
    place.mkdir(parents=True)
    (place / "float16.engine").write_text(f"for {architecture}")
    return copy


def test_engines_of_two_packages_come_together_in_one(tiny_model: Model, tmp_path: Path) -> None:
    one, other = (with_engine(tiny_model, name, tmp_path / name) for name in ("sm_80", "sm_89"))
    merged = merge_engines(one, other, tmp_path / "merged")
    engines = merged.folder.glob("engines/*/float16.engine")
    assert sorted(path.read_text() for path in engines) == ["for sm_80", "for sm_89"]
    assert merged.sidecar() == tiny_model.sidecar()


def test_a_package_without_engines_adds_none(tiny_model: Model, tmp_path: Path) -> None:
    one = with_engine(tiny_model, "sm_80", tmp_path / "one")
    merged = merge_engines(tiny_model, one, tmp_path / "merged")
    assert [path.name for path in (merged.folder / "engines").iterdir()] == ["sm_80"]


def test_two_engines_for_one_architecture_are_refused(tiny_model: Model, tmp_path: Path) -> None:
    one, other = (with_engine(tiny_model, "sm_80", tmp_path / name) for name in ("one", "other"))
    told = refusal(lambda: merge_engines(one, other, tmp_path / "merged"))
    assert told.startswith("two engines for sm_80") and "GPU_TYPES" in told


def test_engines_of_another_plan_are_not_merged(tiny_model: Model, tmp_path: Path) -> None:
    other = Model(tiny_model.folder, small_plan())
    with pytest.raises(SeglineError, match="is not the one"):
        merge_engines(tiny_model, other, tmp_path / "merged")
