"""The probe before a training with a budget: what it measures, what it chooses, and that the budget holds."""

import math
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segline.common.documents.names import TUNING
from segline.common.errors import SeglineError
from segline.data.cases.index import CaseIndex
from segline.data.manifest import Manifest
from segline.imaging.geometry import Shape
from segline.model.history import History
from segline.model.package import Model
from segline.plan import Plan, Task, Training, merged
from segline.planning.plans import succeed_plan
from segline.runs.run import Run
from segline.training.trainer import Trainer
from segline.training.tuning.ladder import choose
from segline.training.tuning.probe import VALIDATING_SHARE, tune
from segline.training.tuning.record import Candidate, Tuning

from ...conftest import small_plan
from ...place import Place

PATCH, BATCH = (32, 32, 32), 4


def candidate(patch: Shape, batch: int, seconds: float | None, budget_seconds: float = 1000) -> Candidate:
    """As measured with 100 training cases."""
    steps = int(budget_seconds / seconds) if seconds else 0
    return Candidate(
        patch_size=patch, batch_size=batch, seconds_a_step=seconds, steps=steps, passes=steps * batch / 100
    )


def chosen_of(seconds: Callable[[float, int], float | None]) -> tuple[list[tuple[Shape, int]], Candidate]:
    """What is tried and chosen where a step takes ``seconds`` of the patch's edge and the batch."""
    training = {"patch_size": PATCH, "batch_size": BATCH}
    windows = {"smallest_window": PATCH, "largest_window": PATCH}
    tried, chosen = choose(
        small_plan(training=training, inference=windows),
        lambda patch, batch: candidate(patch, batch, seconds(patch[0], batch)),
    )
    return [(each.patch_size, each.batch_size) for each in tried], chosen


def per_voxel(seconds: float) -> Callable[[float, int], float]:
    """A step of the plan's patch and batch takes ``seconds``, and each voxel as long."""
    return lambda edge, batch: seconds * (edge / PATCH[0]) ** 3 * batch / BATCH


def test_with_enough_time_the_plans_patch_and_batch_are_kept() -> None:
    tried, chosen = chosen_of(per_voxel(0.5))
    assert (chosen.patch_size, chosen.batch_size) == (PATCH, BATCH)
    assert tried == [(PATCH, BATCH), (PATCH, 2 * BATCH)]


def test_with_less_time_the_batch_is_halved_before_the_patch_is_made_smaller() -> None:
    _, chosen = chosen_of(per_voxel(1.5))
    assert (chosen.patch_size, chosen.batch_size) == (PATCH, 2)


def test_with_little_time_the_patch_is_made_smaller() -> None:
    _, chosen = chosen_of(per_voxel(2.3))
    assert chosen.patch_size == (24, 24, 24)


def test_what_would_be_far_too_slow_is_not_tried() -> None:
    tried, chosen = chosen_of(per_voxel(4))
    assert tried == [(PATCH, BATCH), ((24, 24, 24), 2)]
    assert chosen.batch_size == 2


def test_where_nothing_suffices_the_nearest_is_chosen() -> None:
    tried, chosen = chosen_of(per_voxel(100))
    assert tried == [(PATCH, BATCH), ((16, 16, 16), 2)]
    assert chosen.patch_size == (16, 16, 16)


def test_the_batch_grows_for_as_long_as_many_more_patches_a_second_are_trained() -> None:
    tried, chosen = chosen_of(lambda _, batch: 0.1 if batch <= 8 else 0.1 * batch / 8)
    assert chosen.batch_size == 8
    assert [batch for _, batch in tried] == [4, 8, 16]


def test_no_larger_batch_is_tried_once_half_the_probe_is_over() -> None:
    tried, _ = choose(small_plan(), lambda patch, batch: candidate(patch, batch, 0.1), lambda: False)
    assert len(tried) == 1


def test_what_does_not_fit_into_memory_is_passed_over() -> None:
    tried, chosen = chosen_of(lambda edge, _: None if edge > 24 else 0.1)
    assert chosen == candidate((24, 24, 24), BATCH, 0.1)
    assert tried[:2] == [(PATCH, 4), (PATCH, 2)]


def test_where_nothing_fits_into_memory_one_line_says_so() -> None:
    with pytest.raises(SeglineError, match="no patch down to 16x16x16 fits into memory with a batch of 2"):
        chosen_of(lambda *_: None)


def test_a_tuning_asks_for_a_budget() -> None:
    with pytest.raises(SeglineError, match=r"plan: training: .*tune is for a budget; give max_minutes too"):
        small_plan(training={"tune": True})


def test_a_plan_that_does_not_ask_has_the_digest_it_had() -> None:
    assert "tune" not in small_plan().model_dump(mode="json")["training"]
    asking = small_plan(training={"tune": True, "max_minutes": 5})
    assert Plan.parse(asking.model_dump(mode="json"), "plan").digest == asking.digest
    assert asking.digest != small_plan(training={"max_minutes": 5}).digest


def test_a_successor_is_tuned_from_what_was_first_proposed(phantoms: Manifest, tiny_plan: Plan) -> None:
    champions = {"patch_size": [8, 8, 8], "learning_rate": 0.009, "ema_decay": 0.5, "max_minutes": 0.1}
    windows = {"smallest_window": [8, 8, 8], "overlap": [2, 2, 2]}
    over = {"training": champions, "inference": windows}
    champion = Plan.parse(merged(tiny_plan.model_dump(mode="json"), over), "plan")
    asking = {"training": {"tune": True, "max_minutes": 5}}
    made = succeed_plan(champion, phantoms, Task(name="tiny", source="none", plan=asking))
    assert made.training.tune and made.training.max_minutes == 5
    assert made.training.learning_rate == Training.model_fields["learning_rate"].default
    assert min(made.training.patch_size) > 8
    assert made.inference.smallest_window == made.training.patch_size
    assert (made.network, made.preprocessing) == (champion.network, champion.preprocessing)
    carried_on = succeed_plan(champion, phantoms, Task(name="tiny", source="none"))
    assert carried_on.training == champion.training


def test_a_successor_asks_its_own_validation_cases_for_postprocessing(
    phantoms: Manifest, tiny_plan: Plan
) -> None:
    champion = tiny_plan.keeping_largest([1])
    assert succeed_plan(champion, phantoms, Task(name="tiny", source="none")).inference.keep_largest is None
    named = {"inference": {"keep_largest": [1]}}
    task = Task(name="tiny", source="none", plan=named)
    assert succeed_plan(tiny_plan, phantoms, task).inference.keep_largest == (1,)
    parted = champion.parting([])
    assert succeed_plan(parted, phantoms, Task(name="tiny", source="none")).inference.planes is None


@pytest.fixture(scope="module")
def asking(tiny_plan: Plan) -> Plan:
    """The tiny plan, its patch to be made smaller, with a budget of twelve seconds and no post-processing."""
    training = {"tune": True, "max_minutes": 0.2, "ema_decay": 0.999}
    over = {"training": training, "inference": {"keep_largest": []}}
    return Plan.parse(merged(tiny_plan.model_dump(mode="json"), over), "plan")


@pytest.fixture(scope="module")
def found(asking: Plan, tiny_index: CaseIndex) -> Tuning:
    """What a probe of this machine finds for it."""
    return tune(asking, tiny_index.open(asking.split.train), tiny_index.open(asking.split.val))


def test_the_probe_and_what_is_left_to_train_are_within_the_budget(asking: Plan, found: Tuning) -> None:
    assert found.budget_minutes == asking.training.max_minutes == 0.2
    assert found.training.max_minutes is not None
    assert found.probe_minutes + found.training.max_minutes < 0.2


def test_only_the_clock_ends_what_was_tuned(found: Tuning, asking: Plan) -> None:
    expected_epochs = found.steps * found.training.batch_size / len(asking.split.train)
    assert found.training.epochs >= 5 * expected_epochs
    assert found.steps > 20


def test_validations_take_no_more_than_their_share(found: Tuning) -> None:
    seconds = found.training.validations * found.validation_seconds
    assert found.training.validations == 1 or seconds <= VALIDATING_SHARE * 60 * found.budget_minutes


def test_the_average_forgets_within_the_steps_there_are(found: Tuning) -> None:
    assert 1 / (1 - found.training.ema_decay) <= 0.05 * found.steps + 1


def test_the_chosen_candidate_is_one_that_was_measured(found: Tuning) -> None:
    measured = {(each.patch_size, each.batch_size) for each in found.candidates if each.seconds_a_step}
    assert (found.training.patch_size, found.training.batch_size) in measured
    first = found.candidates[0]
    assert first.seconds_a_step and first.samples_per_second == pytest.approx(2 / first.seconds_a_step)


def test_the_tuned_plan_is_a_plan_that_asks_no_more(found: Tuning, asking: Plan, tmp_path: Path) -> None:
    made = found.plan(asking)
    made.write(tmp_path / "plan.json")
    assert Plan.read(tmp_path / "plan.json") == made
    assert not made.training.tune
    same = {"dataset_digest", "labels", "preprocessing", "network", "gate", "split", "seed"}
    assert made.model_dump(include=same) == asking.model_dump(include=same)


def test_networks_that_are_trained_at_once_share_the_machine(
    asking: Plan, tiny_index: CaseIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segline.training.tuning.probe._seconds_of_steps", lambda _, count: 0.001 * count)
    cases = tiny_index.open(asking.split.train), tiny_index.open(asking.split.val)
    of_two = Plan.parse(merged(asking.model_dump(mode="json"), {"ensemble": {"seeds": 2}}), "plan")
    one, two = tune(asking, *cases), tune(of_two, *cases)
    assert (one.candidates[0].seconds_a_step, two.candidates[0].seconds_a_step) == (0.001, 0.002)
    assert two.candidates[0].steps == one.candidates[0].steps // 2
    assert two.plan(of_two).ensemble.seeds == 2


def test_a_smaller_patch_comes_with_windows_of_its_own(
    asking: Plan, tiny_index: CaseIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segline.training.tuning.record.ENOUGH_STEPS", 10**9)

    def seconds_by_voxels(trainer: Trainer, count: int) -> float:
        return 1e-6 * count * math.prod(trainer.plan.training.patch_size)

    monkeypatch.setattr("segline.training.tuning.probe._seconds_of_steps", seconds_by_voxels)
    cases = tiny_index.open(asking.split.train), tiny_index.open(asking.split.val)
    tuning = tune(asking, *cases)
    assert tuning.training.patch_size == tuning.inference.smallest_window == (8, 8, 8)
    assert tuning.plan(asking).inference.overlap == (2, 2, 2)


def test_nothing_is_tried_that_is_too_large_for_the_memory(asking: Plan, tiny_index: CaseIndex) -> None:
    huge = merged(asking.model_dump(mode="json"), {"training": {"patch_size": [8192] * 3}})
    cases = tiny_index.open(asking.split.train), tiny_index.open(asking.split.val)
    with pytest.raises(SeglineError, match="no patch down to 4096x4096x4096 fits into memory"):
        tune(Plan.parse(huge, "plan"), *cases)


def test_a_budget_that_is_too_short_for_anything_is_refused_in_one_line(
    asking: Plan, tiny_index: CaseIndex
) -> None:
    short = merged(asking.model_dump(mode="json"), {"training": {"max_minutes": 1e-4}})
    cases = tiny_index.open(asking.split.train), tiny_index.open(asking.split.val)
    with pytest.raises(SeglineError, match=r"training.max_minutes: 0\.0001 leave no time to train"):
        tune(Plan.parse(short, "plan"), *cases)


def test_a_stage_that_tunes_publishes_what_it_trained_under(
    asking: Plan, tiny_index: CaseIndex, tmp_path: Path
) -> None:
    place = Place(tmp_path, asking, tiny_index)
    started = time.monotonic()
    final = place.train()
    run = Run(place.run)
    assert run.plan == final == Model.open(tmp_path / "model").plan
    assert final.digest != asking.digest
    assert run.tuning is not None and run.history is not None
    assert run.tuning.probe_minutes + run.history.minutes <= 1.2 * run.tuning.budget_minutes
    assert run.tuning.plan(asking) == final
    assert time.monotonic() - started >= 60 * 0.9 * run.tuning.budget_minutes
    page = (tmp_path / "page.html").read_text()
    assert "How it was tuned to this machine" in page
    assert ("tuned in" in run.stages[0].reason) and not list((place.store / "tunings").iterdir())


def test_a_killed_training_goes_on_under_the_plan_it_was_tuned_to(
    asking: Plan, tiny_index: CaseIndex, tmp_path: Path
) -> None:
    place = Place(tmp_path, asking, tiny_index)
    process = place.start()
    while process.runs and not list((place.store / "checkpoints").glob("[!.]*.pt")):
        time.sleep(0.02)
    assert process.kill().returncode == -signal.SIGKILL
    (kept,) = (place.store / "tunings").glob("*.json")
    tuning = Tuning.read(kept)
    final = place.train()
    assert final == tuning.plan(asking)
    assert Tuning.read(place.run / TUNING) == tuning
    history = History.read(tmp_path / "model/history.json")
    assert history.resumed_from_step is not None and history.resumed_from_step > 0


def test_a_plan_that_does_not_ask_leaves_no_trace_of_tuning(
    tiny_plan: Plan, tiny_index: CaseIndex, tmp_path: Path
) -> None:
    values: dict[str, Any] = {"training": {"epochs": 2, "validations": 1}, "inference": {"keep_largest": []}}
    plan = Plan.parse(merged(tiny_plan.model_dump(mode="json"), values), "plan")
    place = Place(tmp_path, plan, tiny_index)
    assert place.train() == plan
    assert not (place.store / "tunings").exists()
    assert not (place.run / TUNING).exists() and not (place.run / "plan.json").exists()
    assert "tuned" not in (tmp_path / "page.html").read_text()
