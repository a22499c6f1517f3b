"""Runs in MLflow: the same for a SQLite file and for a real server on the loopback interface."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from segline.networks.weights import load_network
from segline.plan import Augmentation, Training
from segline.tracking.mlflow_connection import Registry

from ..mlflow_runs import Runs, track


def test_a_tracked_run_is_named_and_keeps_its_params_curves_and_tags(runs: Runs, either: Registry) -> None:
    run = runs.make("named")
    stored = either.client.get_run(track(run, either, "c0ffee").run_id)
    assert (stored.info.run_name, stored.info.status) == ("named", "FINISHED")
    assert stored.data.params["plan.training.epochs"] == "100"
    assert stored.data.params["plan.split.test"] == "2"
    assert stored.data.tags["segline.verdict"] == "passed"
    assert stored.data.tags["segline.plan"] == runs.model.plan.digest
    assert stored.data.tags["mlflow.source.git.commit"] == "c0ffee"
    history = run.history
    assert history
    curve = either.client.get_metric_history(stored.info.run_id, "train/loss")
    assert [(point.step, point.value) for point in curve] == [(p.step, p.loss) for p in history.points]


def leaves(values: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{path}.{key}")
        else:
            yield f"{path}.{key}", value


def test_every_leaf_of_the_plan_is_a_param(runs: Runs, registry: Registry) -> None:
    run = runs.make("leaves")
    params = registry.client.get_run(track(run, registry).run_id).data.params
    assert run.plan is not None
    written = run.plan.model_dump(mode="json", exclude={"split", "pseudonyms"})
    for path, value in leaves(written, "plan"):
        assert params[path] == (value if isinstance(value, str) else json.dumps(value))


def test_what_a_plan_leaves_out_as_it_was_before_it_could_be_chosen_is_a_param_too(
    runs: Runs, registry: Registry
) -> None:
    params = registry.client.get_run(track(runs.make("left out"), registry).run_id).data.params
    for part, place in ((Training, "plan.training"), (Augmentation, "plan.training.augmentation")):
        for name in part.model_fields:
            assert any(f"{path}.".startswith(f"{place}.{name}.") for path in params), name
    assert params["plan.training.samples_per_volume"] == "1"
    assert params["plan.training.schedule.name"] == "cosine"
    assert params["plan.training.augmentation.bias_field"] == "0.0"


def test_what_was_built_of_the_plan_is_a_param(runs: Runs, registry: Registry) -> None:
    params = registry.client.get_run(track(runs.make("built"), registry).run_id).data.params
    network = load_network(runs.model.weights, runs.model.plan)
    assert params["built.network.weights"] == str(sum(one.numel() for one in network.parameters()))
    assert (params["built.network.class"], params["built.network.arguments.norm"]) == ("UNet", "batch")
    assert (params["built.optimizer.class"], params["built.optimizer.betas"]) == ("AdamW", "[0.9, 0.999]")


def test_networks_that_were_trained_at_once_have_curves_of_their_own(runs: Runs, registry: Registry) -> None:
    run = runs.make("seeds")
    history = run.history
    assert history
    others = [point.model_copy(update={"network": 1, "loss": 2 * point.loss}) for point in history.points]
    both = {"kept_steps": (*history.kept_steps, 5), "points": (*history.points, *others)}
    (run.folder / "model/history.json").unlink()
    history.model_copy(update=both).write(run.folder / "model/history.json")
    tracked = track(run, registry).run_id
    for number in range(2):
        curve = registry.client.get_metric_history(tracked, f"train/loss/network_{number}")
        losses = [(1 + number) * point.loss for point in history.points]
        assert [point.value for point in curve] == losses


def test_figures_are_overall_with_intervals_and_by_case(runs: Runs, registry: Registry) -> None:
    run = runs.make("figures")
    metrics = registry.client.get_run(track(run, registry).run_id).data.metrics
    wanted = run.evaluations[1]
    assert wanted.backend == "pytorch"
    dice = wanted.overall["dice"]
    assert dice.ci95
    assert metrics["test/pytorch/dice"] == pytest.approx(dice.mean)
    assert metrics["test/onnxruntime/dice_ci95_low"] == pytest.approx(dice.ci95[0], abs=1e-3)
    assert metrics["test/pytorch/dice_sd"] == pytest.approx(dice.sd)
    assert metrics["test/pytorch/relative_volume_error_sd"] > 0
    assert wanted.confusion is not None
    for label, accumulated in wanted.confusion.dice.items():
        assert metrics[f"test/pytorch/{label}/accumulated_dice"] == pytest.approx(accumulated)
    case = wanted.cases[0]
    label, values = next(iter(case.figures.items()))
    short = runs.manifest.case(case.case).digest[:12]
    assert metrics[f"case/{short}/{label}/dice"] == pytest.approx(values["dice"])


def test_no_case_is_named_in_what_is_tracked(runs: Runs, either: Registry, tmp_path: Path) -> None:
    tracked = track(runs.make("private"), either)
    stored = either.client.get_run(tracked.run_id).data
    either.client.download_artifacts(tracked.run_id, "", str(tmp_path))
    documents = {path.name: path.read_text() for path in tmp_path.rglob("*.*") if "runs" not in path.parts}
    assert {"run.json", "plan.json", "gate.json", "pytorch.json", "report.html"} <= documents.keys()
    for text in (str(stored.params), str(stored.metrics), str(stored.tags), *documents.values()):
        assert "phantom_0" not in text
    short = runs.manifest.case("phantom_004").digest[:12]
    assert documents["report.html"] == f"Report of {short}"


def test_tracking_again_adds_what_was_written_since_to_the_same_run(runs: Runs, either: Registry) -> None:
    run = runs.make("again")
    first = track(run, either)
    (run.folder / "summary.json").write_text('{"status": "succeeded"}')
    again = track(run, either)
    assert again == first
    assert "summary.json" in [item.path for item in either.client.list_artifacts(first.run_id)]
    assert len(either.client.get_metric_history(first.run_id, "test/pytorch/dice")) == 1
