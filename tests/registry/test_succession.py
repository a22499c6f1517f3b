"""A run's model contends with the champion, and the run in MLflow has the decision."""

import json
from pathlib import Path

from segline.acceptance.promotion import Decision
from segline.registry.succession import contend
from segline.registry.versions import Version
from segline.runs.names import PROMOTION
from segline.runs.run import Run
from segline.tracking.mlflow_connection import Registry

from ..mlflow_runs import Runs


def tracked_decision(run: Run, registry: Registry, folder: Path) -> str:
    """The document as it lies in MLflow."""
    experiment, named = registry.experiment(f"segline-{run.info.task.name}"), f"run_name = '{run.info.id}'"
    (stored,) = registry.client.search_runs([experiment], named)
    path = registry.client.download_artifacts(stored.info.run_id, PROMOTION, str(folder))
    return Path(path).read_text(encoding="utf-8")


def contenders(runs: Runs, registry: Registry, task: str) -> tuple[list[Run], list[Version]]:
    both = [runs.make(f"{task}-{number}", task) for number in (1, 2)]
    return both, [contend(run, registry, device="cpu") for run in both]


def test_the_decision_is_among_the_documents_of_the_tracked_run(
    runs: Runs, either: Registry, tmp_path: Path
) -> None:
    (first, second), versions = contenders(runs, either, "contended")
    assert [version.decision for version in versions] == ["promoted", "rejected"]
    for run in (first, second):
        (tmp_path / run.info.id).mkdir()
        told = tracked_decision(run, either, tmp_path / run.info.id)
        assert json.loads(told) == json.loads((run.folder / PROMOTION).read_text())


def test_no_case_is_named_in_the_tracked_decision(runs: Runs, registry: Registry, tmp_path: Path) -> None:
    (_, second), _ = contenders(runs, registry, "unnamed")
    told = tracked_decision(second, registry, tmp_path)
    assert "phantom_0" not in told
    (pair, *_) = Decision.model_validate_json(told).cases
    assert pair.case in runs.manifest.pseudonyms.values()
