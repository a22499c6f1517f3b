"""An ensemble is one model: the mean of its members' scores on every backend."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from segline.backends import open_backend
from segline.backends.open_vino import openvino_core
from segline.common.errors import SeglineError
from segline.data.cases.index import CaseIndex
from segline.data.manifest import Manifest
from segline.export.int8 import quantize
from segline.export.monai_bundle import export_bundle
from segline.export.onnx import export_onnx
from segline.imaging.files import write_volume
from segline.inference.predictor import Predictor
from segline.model.int8 import INT8_GRAPH
from segline.model.package import Model
from segline.networks.catalogue import build_network
from segline.networks.folding import folded
from segline.networks.weights import load_network
from segline.plan import CentreLine, Inference, Plan, Plane, Task, merged
from segline.plan.inference.planes import MEASURES
from segline.planning.folds import fold_tasks, resplit
from segline.training.shipping.assembly import MEMBERS, Membership, assemble
from segline.training.state import Checkpoint
from segline.training.trainer import Trainer

from ...conftest import TinyTraining
from ...export.test_monai_bundle import agreement

FOLDS = 2
TASK = Task(name="tiny", source="none", plan={"ensemble": {"members": FOLDS}, "split": {"folds": FOLDS}})


@pytest.fixture(scope="module")
def plan(tiny_plan: Plan) -> Plan:
    """The tiny plan, of two networks."""
    return Plan.parse(merged(tiny_plan.model_dump(), {"ensemble": {"members": FOLDS}}), "plan")


@pytest.fixture(scope="module")
def folds(plan: Plan) -> list[Plan]:
    return [resplit(plan, task) for task in fold_tasks(TASK)]


@pytest.fixture(scope="module")
def members(
    folds: list[Plan], tiny_training: TinyTraining, tmp_path_factory: pytest.TempPathFactory
) -> list[Model]:
    """A package a fold: the trained weights, changed a little for each."""
    torch.manual_seed(0)
    made = []
    for fold in folds:
        trained = load_network(tiny_training.model.weights, tiny_training.model.plan).state_dict()
        floats = {name: value for name, value in trained.items() if value.is_floating_point()}
        weights = trained | {
            name: value * (1 + torch.rand_like(value) / 10) for name, value in floats.items()
        }
        folder = tmp_path_factory.mktemp("member") / "model"
        made.append(Model.write(folder, fold, weights, tiny_training.history))
    return made


@pytest.fixture(scope="module")
def ensemble(
    members: list[Model],
    plan: Plan,
    folds: list[Plan],
    tiny_index: CaseIndex,
    tmp_path_factory: pytest.TempPathFactory,
) -> Model:
    """The members as one, exported and quantised; read-only."""
    made = assemble(members, plan, folds, tmp_path_factory.mktemp("ensemble") / "model")
    export_onnx(made, tiny_index.open(plan.split.val))
    quantize(made, tiny_index.open(plan.split.train))
    return made


def windows() -> torch.Tensor:
    return torch.rand(3, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))


def test_its_scores_are_the_mean_of_its_members(ensemble: Model, members: list[Model]) -> None:
    ours = open_backend("pytorch", ensemble, "cpu")(windows())
    theirs = [open_backend("pytorch", member, "cpu")(windows()) for member in members]
    assert not torch.allclose(theirs[0], theirs[1], atol=1e-2)
    assert torch.allclose(ours, (theirs[0] + theirs[1]) / 2, atol=1e-5)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_every_backend_gives_pytorchs_answer(ensemble: Model, backend: str) -> None:
    ours, theirs = (open_backend(name, ensemble, "cpu")(windows()) for name in ("pytorch", backend))
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert torch.equal(ours.argmax(dim=1), theirs.argmax(dim=1))


def test_it_has_a_graph_in_half_precision_that_agrees(ensemble: Model) -> None:
    assert ensemble.float16().label_agreement > 0.999


def test_its_int8_graph_keeps_what_reads_the_windows_and_the_last_of_each_member_in_float(
    ensemble: Model,
) -> None:
    graph = openvino_core().read_model(ensemble.folder / INT8_GRAPH)
    convolutions = [op for op in graph.get_ordered_ops() if op.get_type_name() == "Convolution"]
    in_float = [op for op in convolutions if op.input_value(1).get_node().get_type_name() == "Constant"]
    channels = [op.output(0).get_partial_shape()[1].get_length() for op in in_float]
    reading, last = 4, 8 * len(ensemble.plan.label_values)  # blocks of eight voxels
    assert sorted(channels) == [*[reading] * 2 * FOLDS, *[last] * FOLDS]
    assert len(in_float) < len(convolutions)


def test_batch_norm_folds_in_every_member(ensemble: Model) -> None:
    network = folded(load_network(ensemble.weights, ensemble.plan))
    assert not any(isinstance(layer, torch.nn.BatchNorm3d) for layer in network.modules())


def test_it_is_the_same_whatever_order_its_members_come_in(
    ensemble: Model, members: list[Model], plan: Plan, folds: list[Plan], tmp_path: Path
) -> None:
    again = assemble(members[::-1], plan, folds, tmp_path / "model")
    assert again.weights.read_bytes() == ensemble.weights.read_bytes()


def test_it_says_where_its_members_come_from(ensemble: Model, members: list[Model]) -> None:
    found = Membership.read(ensemble.folder / MEMBERS).members
    assert [member.plan_digest for member in found] == [member.plan.digest for member in members]


def test_what_it_is_tested_on_no_member_has_seen(plan: Plan, folds: list[Plan]) -> None:
    for fold in folds:
        assert not {*fold.split.train, *fold.split.val, *fold.split.test} & {*plan.split.test}
    tested = [name for fold in folds for name in fold.split.test]
    assert sorted(tested) == sorted([*plan.split.train, *plan.split.val])


@pytest.mark.parametrize(
    ("asked", "of_members", "kept"),
    [
        (None, [(1,), (1,)], (1,)),
        (None, [(1,), None], None),
        (None, [None, None], None),
        ((), [(1,), (1,)], ()),
        ((1,), [None, None], (1,)),
    ],
)
def test_its_postprocessing_is_what_most_members_have_or_what_its_plan_says(
    asked: tuple[int, ...] | None,
    of_members: list[tuple[int, ...] | None],
    kept: tuple[int, ...] | None,
    tiny_training: TinyTraining,
    plan: Plan,
    folds: list[Plan],
    tmp_path: Path,
) -> None:
    trained = load_network(tiny_training.model.weights, tiny_training.model.plan).state_dict()
    made = []
    for number, (fold, value) in enumerate(zip(folds, of_members, strict=True)):
        member = fold if value is None else fold.keeping_largest(value)
        made.append(Model.write(tmp_path / str(number), member, trained, tiny_training.history))
    whole = plan if asked is None else plan.keeping_largest(asked)
    assert assemble(made, whole, folds, tmp_path / "model").plan.inference.keep_largest == kept


HEAD_AND_TAIL = Plane(axis="y", lower=2, upper=1)
Assembled = Callable[..., Inference]


@pytest.fixture()
def assembled(tiny_training: TinyTraining, plan: Plan, folds: list[Plan], tmp_path: Path) -> Assembled:
    """The inference part of an ensemble of two labels, of what was found with each of its folds."""
    two = {"labels": {0: "background", 1: "head", 2: "tail"}}
    plan, *folds = (Plan.parse({**one.model_dump(), **two}, "plan") for one in (plan, *folds))

    def of(*found: Callable[[Plan], Plan]) -> Inference:
        made = []
        for number, (fold, finished) in enumerate(zip(folds, found, strict=True)):
            member = finished(fold)
            weights = build_network(member).state_dict()
            made.append(Model.write(tmp_path / str(number), member, weights, tiny_training.history))
        return assemble(made, plan, folds, tmp_path / "model").plan.inference

    return of


@pytest.mark.parametrize(("of_members", "kept"), [((1, 1), True), ((1, 0), False)])
def test_its_labels_are_parted_as_most_members_part_them(
    of_members: tuple[int, int], kept: bool, assembled: Assembled
) -> None:
    found = assembled(*(lambda fold, n=n: fold.parting([HEAD_AND_TAIL]) if n else fold for n in of_members))
    assert found.planes == ((HEAD_AND_TAIL,) if kept else None) and found.keep_largest is None


def line(start: float, weight: float, share: float) -> CentreLine:
    return CentreLine(start=start, weights=(weight,) * MEASURES, share=share)


@pytest.mark.parametrize(
    ("of_members", "mean"),
    [
        ((line(1, 0.2, 0.5), line(2, 0.4, 0.7)), line(1.5, 0.3, 0.6)),
        ((line(1, 0.2, 0.5), None), line(1, 0.2, 0.25)),
        ((None, None), None),
    ],
)
def test_what_its_members_centre_lines_tell_it_tells_in_the_mean(
    of_members: tuple[CentreLine | None, ...], mean: CentreLine | None, assembled: Assembled
) -> None:
    planes = [HEAD_AND_TAIL.told_by(own) for own in of_members]
    (found,) = assembled(*(lambda fold, own=own: fold.parting([own]) for own in planes)).planes or ()
    assert found.told_by(None) == HEAD_AND_TAIL and (found.centre_line is None) is (mean is None)
    if found.centre_line and mean:
        told = (found.centre_line.start, *found.centre_line.weights, found.centre_line.share)
        assert told == pytest.approx((mean.start, *mean.weights, mean.share))


def test_labels_that_members_name_in_any_order_are_in_the_plan_s_order(assembled: Assembled) -> None:
    found = assembled(lambda fold: fold.keeping_largest([2, 1]), lambda fold: fold.keeping_largest([1, 2]))
    assert found.keep_largest == (1, 2)


def test_a_fold_without_a_member_is_told(
    members: list[Model], plan: Plan, folds: list[Plan], tmp_path: Path
) -> None:
    with pytest.raises(SeglineError, match="assemble: 1 folds, and fold 1 of 2 is missing"):
        assemble(members[:1], plan, folds, tmp_path / "model")


def test_a_member_of_another_network_is_refused(
    members: list[Model], plan: Plan, folds: list[Plan], tmp_path: Path
) -> None:
    other = plan.model_copy(update={"network": plan.network.model_copy(update={"norm": "instance"})})
    with pytest.raises(SeglineError, match="another network part than the ensemble's"):
        assemble(members, other, folds, tmp_path / "model")


def test_it_cannot_be_trained_as_one(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(SeglineError, match="make run FOLDS=2 ENSEMBLE=1 trains each on a fold"):
        Trainer(plan, [], [], Checkpoint(tmp_path / "checkpoint.pt"))


def test_one_network_is_no_part_of_a_plans_digest(tiny_plan: Plan, plan: Plan) -> None:
    assert "ensemble" not in tiny_plan.model_dump()
    assert plan.of_one_member().digest == tiny_plan.digest != plan.digest


def test_monai_runs_its_bundle(ensemble: Model, phantoms: Manifest, tmp_path: Path) -> None:
    name = ensemble.plan.split.test[0]
    write_volume(tmp_path / "images" / f"{name}.nii.gz", phantoms.image(phantoms.case(name)))
    bundle = export_bundle(ensemble, tmp_path / "bundle")
    assert min(agreement(ensemble, bundle, tmp_path / "images", tmp_path / "masks")) >= 0.999


def test_it_predicts_on_the_inputs_grid(ensemble: Model, phantoms: Manifest) -> None:
    volume = phantoms.image(phantoms.case(ensemble.plan.split.test[0]))
    mask = Predictor(ensemble.plan, open_backend("onnxruntime", ensemble, "cpu"))(volume)
    assert mask.grid.matches(volume.grid)
