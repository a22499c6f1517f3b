import pytest

from segline.common.errors import SeglineError
from segline.tracking import TRACKERS, Tracker, open_tracker
from segline.tracking.facts import facts_of
from segline.tracking.mlflow_connection import Registry

from ..mlflow_runs import Runs


def test_a_tracker_is_opened_by_its_name(runs: Runs, registry: Registry) -> None:
    tracker: Tracker = open_tracker("mlflow", registry.uri)
    tracked = tracker.record(facts_of(runs.make("by-name")))
    assert registry.client.get_run(tracked.run_id).info.run_name == "by-name"


def test_an_unknown_tracker_is_told_with_those_that_there_are() -> None:
    with pytest.raises(SeglineError, match=f"tracker 'paper': unknown; there are {', '.join(TRACKERS)}"):
        open_tracker("paper", "")
