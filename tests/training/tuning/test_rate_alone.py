"""The learning rate that is found before a training, of which nothing else is tuned."""

from pathlib import Path
from typing import Any

import pytest

from segline.common.errors import SeglineError
from segline.data.cases.index import CaseIndex
from segline.data.manifest import Manifest
from segline.plan import Plan, Task, Training, merged
from segline.planning.plans import succeed_plan
from segline.runs.run import Run
from segline.training.tuning.rate_alone import LARGEST_SHARE, find_rate
from segline.training.tuning.rate_test import FREEDOM, MOST_STEPS
from segline.training.tuning.record import Tuning

from ...place import Place


def asking(plan: Plan, **training: Any) -> Plan:
    """The plan with a short training on one cycle, whose rate is to be found."""
    short = {"epochs": 4, "validations": 1, "schedule": {"name": "onecycle"}, "find_rate": True}
    over = {"training": {**short, **training}, "inference": {"keep_largest": []}}
    return Plan.parse(merged(plan.model_dump(mode="json"), over), "plan")


def found_for(plan: Plan, index: CaseIndex) -> Tuning:
    return find_rate(plan, index.open(plan.split.train))


def test_it_is_left_out_of_a_plan_that_does_not_ask(tiny_plan: Plan) -> None:
    assert "find_rate" not in tiny_plan.model_dump(mode="json")["training"]
    assert asking(tiny_plan).digest != asking(tiny_plan, find_rate=False).digest


def test_the_rate_is_the_test_s_suggestion_and_nothing_else_changes(
    tiny_plan: Plan, tiny_index: CaseIndex
) -> None:
    plan = asking(tiny_plan)
    found = found_for(plan, tiny_index)
    usual = plan.training.learning_rate
    assert found.range_test is not None and len(found.range_test.rates) <= MOST_STEPS
    assert found.training.learning_rate == found.range_test.suggestion(usual)
    assert usual / FREEDOM <= found.training.learning_rate <= usual * FREEDOM
    given = {"find_rate": False, "learning_rate": found.training.learning_rate}
    assert found.plan(plan) == Plan.parse(merged(plan.model_dump(), {"training": given}), "plan")


def test_without_a_budget_it_is_the_same_again(tiny_plan: Plan, tiny_index: CaseIndex) -> None:
    tests = [found_for(asking(tiny_plan), tiny_index).range_test for _ in range(2)]
    assert tests[0] == tests[1]


def test_the_test_counts_towards_the_budget(tiny_plan: Plan, tiny_index: CaseIndex) -> None:
    found = found_for(asking(tiny_plan, max_minutes=1), tiny_index)
    assert found.range_test is not None and found.training.max_minutes is not None
    assert found.training.max_minutes + found.probe_minutes == pytest.approx(1, abs=1e-3)
    assert found.probe_minutes < 2 * LARGEST_SHARE


def test_without_time_for_the_test_the_plan_s_rate_is_kept(tiny_plan: Plan, tiny_index: CaseIndex) -> None:
    plan = asking(tiny_plan, max_minutes=0.02, learning_rate=0.002)
    found = found_for(plan, tiny_index)
    assert found.range_test is None and found.training.learning_rate == 0.002
    assert "learning rate 0.002 kept, without time for a test" in found.text


def test_a_budget_that_is_over_at_once_is_refused_in_one_line(tiny_plan: Plan, tiny_index: CaseIndex) -> None:
    with pytest.raises(SeglineError, match=r"training\.max_minutes: 1e-06 leave no time to train"):
        found_for(asking(tiny_plan, max_minutes=1e-6), tiny_index)


def test_a_stage_trains_at_the_rate_and_records_how_it_was_found(
    tiny_plan: Plan, tiny_index: CaseIndex, tmp_path: Path
) -> None:
    plan = asking(tiny_plan)
    place = Place(tmp_path, plan, tiny_index)
    final, run = place.train(), Run(place.run)
    assert run.tuning is not None and run.history is not None
    assert run.tuning.plan(plan) == final == run.plan
    assert run.history.points[-1].learning_rate <= final.training.learning_rate
    assert f"learning rate {final.training.learning_rate:g} found in" in run.stages[0].reason
    assert 'id="range-test"' in (tmp_path / "page.html").read_text()
    assert not list((place.store / "tunings").iterdir())


def test_a_successor_s_rate_is_found_around_the_usual_one(tiny_plan: Plan, phantoms: Manifest) -> None:
    champion = asking(tiny_plan, find_rate=False, learning_rate=0.009)
    asked = Task(name="tiny", source="none", plan={"training": {"find_rate": True}})
    usual = Training.model_fields["learning_rate"].default
    assert succeed_plan(champion, phantoms, asked).training.learning_rate == usual
    own = asked.override("training.learning_rate", 0.001)
    assert succeed_plan(champion, phantoms, own).training.learning_rate == 0.001
