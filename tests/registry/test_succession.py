"""A run's model contends with the champion, and the run in MLflow has the decision."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest

from segline.acceptance.promotion import Decision, decide
from segline.common.documents.names import PROMOTION
from segline.registry.reigns import rollback, undisturbed
from segline.registry.succession import contend
from segline.registry.versions import Version
from segline.runs.run import Run
from segline.tracking.mlflow_connection import Registry

from ..mlflow_runs import Runs, refusal
from ..waiting import wait_until


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


def test_of_two_that_are_registered_at_once_one_is_compared_with_the_other(
    runs: Runs, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting = Barrier(2)

    def decide_together(*given: Any) -> Decision:
        with suppress(BrokenBarrierError):
            meeting.wait(1)
        return decide(*given)

    monkeypatch.setattr("segline.registry.succession.decide", decide_together)
    both = [runs.make(f"at-once-{number}", "at-once") for number in (1, 2)]
    with ThreadPoolExecutor(2) as threads:
        ended = list(threads.map(lambda run: contend(run, Registry(file), device="cpu"), both))
    assert sorted(version.decision for version in ended) == ["promoted", "rejected"]
    (loser,) = (run for run, version in zip(both, ended, strict=True) if version.decision == "rejected")
    assert Decision.read(loser.folder / PROMOTION).difference


@pytest.mark.heavy
def test_a_rollback_waits_for_a_registration(file: str, caplog: pytest.LogCaptureFixture) -> None:
    registry = Registry(file)
    with ThreadPoolExecutor(1) as threads:
        with undisturbed(registry, "alone"):
            later = threads.submit(rollback, registry, "alone")
            wait_until(lambda: "another registration of alone goes on; waiting for its end" in caplog.text)
            assert not later.done()
        assert "no model of task alone" in refusal(later.result)


def test_on_a_server_a_champion_that_came_meanwhile_is_compared_with(
    runs: Runs, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (runs.make(f"meanwhile-{number}", "meanwhile") for number in (1, 2))
    crowned: list[Version] = []

    def decide_late(*given: Any) -> Decision:
        decision = decide(*given)
        if not crowned:
            monkeypatch.setattr("segline.registry.succession.decide", decide)
            crowned.append(contend(second, Registry(server), device="cpu"))
        return decision

    monkeypatch.setattr("segline.registry.succession.decide", decide_late)
    late = contend(first, Registry(server), device="cpu")
    assert (crowned[0].decision, late.decision) == ("promoted", "rejected")
    decision = Decision.read(first.folder / PROMOTION)
    assert decision.difference and decision.difference.mean == 0


def test_a_coronation_that_was_killed_is_finished_by_the_next(
    runs: Runs, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs.make("half-crowned", "half-crowned")
    with monkeypatch.context() as patch:
        patch.setattr("segline.registry.reigns._crown", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            contend(run, registry, device="cpu")
    assert contend(run, registry, device="cpu").aliases == ("champion",)
