"""Why a plan is as it is: every part has its reason, and what the task sets says so."""

from segline.data.fingerprint import Fingerprint, take_fingerprint
from segline.data.manifest import Manifest
from segline.plan import Plan, Task
from segline.planning.plans import make_plan
from segline.planning.reasons import SET, reasons
from segline.report.sections.data import plan_in_words

from ..conftest import small_plan

FREE = Task(name="free", source="none")


def thick(manifest: Manifest) -> Fingerprint:
    """The same data with slices four times as thick as pixels are wide."""
    fingerprint = take_fingerprint(manifest)
    spacings = ((1.0, 1.0, 4.0),) * len(manifest.cases)
    return fingerprint.model_copy(update={"spacings_mm": spacings})


def reasons_for(manifest: Manifest, task: Task, fingerprint: Fingerprint) -> tuple[Plan, dict[str, str]]:
    plan = make_plan(manifest, fingerprint, task)
    return plan, reasons(plan, fingerprint, task)


def test_everything_that_the_report_says_of_a_plan_has_a_reason(phantoms: Manifest) -> None:
    plan, why = reasons_for(phantoms, FREE, take_fingerprint(phantoms))
    assert all(why[name] for name, _ in plan_in_words(plan))
    assert SET not in why.values()


def test_what_the_task_sets_says_so_whatever_it_is_called(phantoms: Manifest) -> None:
    task = FREE.override("training.patch_size", [32, 32, 16]).override("preprocessing.foreground_above", None)
    _, why = reasons_for(phantoms, task, take_fingerprint(phantoms))
    assert {name for name, told in why.items() if told == SET} == {"Patch", "Crop"}


def test_of_post_processing_what_the_task_leaves_to_the_validation_cases_is_told(phantoms: Manifest) -> None:
    one = FREE.override("inference.keep_largest", [1])
    told = [
        reasons_for(phantoms, task, take_fingerprint(phantoms))[1]["Post-processing"]
        for task in (FREE, one, one.override("inference.planes", []))
    ]
    found = "found on the validation cases after training, if it helps there"
    assert told == [found, f"{SET}; planes between labels: {found}", SET]


def test_thick_slices_are_told(phantoms: Manifest) -> None:
    plan, why = reasons_for(phantoms, FREE, thick(phantoms))
    assert "slices are more than 3 times as thick" in why["Grid"]
    assert f"is taken: {plan.preprocessing.spacing_mm[2]:g} mm" in why["Grid"]


def test_the_patch_is_told_as_a_share_of_the_median_case(phantoms: Manifest) -> None:
    task = FREE.override("preprocessing.spacing_mm", [8, 8, 8])
    plan, why = reasons_for(phantoms, task, take_fingerprint(phantoms))
    assert "75% of each edge" in why["Patch"]
    assert "x".join(map(str, plan.network.total_stride)) in why["Patch"]


def test_where_patches_lie_is_told_with_them() -> None:
    weighted = {"name": "weighted", "weights": {0: 0.2, 1: 0.8}}
    asked = {"sampler": weighted, "samples_per_volume": 4, "padding": "reflect"}
    told = dict(plan_in_words(small_plan(training=asked)))["Patch"]
    assert told.endswith(
        "2 in a batch, 4 of a case in turn; centred on labels by weight, 0 by 0.2, 1 by 0.8; "
        "small volumes are mirrored"
    )
    labelled = small_plan(training={"sampler": {"name": "labelled", "least_share": 0.02}})
    assert "anywhere where 2% is labelled, in 10 draws" in dict(plan_in_words(labelled))["Patch"]


def test_the_schedule_is_told_by_its_name_and_its_budget_in_minutes() -> None:
    asked = {"schedule": {"name": "onecycle"}, "learning_rate": 0.001, "max_minutes": 7.2138}
    told = dict(plan_in_words(small_plan(training=asked)))["Schedule"]
    assert told.startswith(
        "10 epochs, or 7.21 min if that is sooner; learning rate 0.001 on one cycle, weight"
    )
