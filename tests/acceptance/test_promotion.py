"""When a challenger takes the champion's place, and what it is told when it does not."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from segline.acceptance.promotion import Contender, Decision, decide
from segline.acceptance.times import BackendTimes, Benchmark, EndToEnd, Machine, Percentiles
from segline.acceptance.verdict import Verdict
from segline.backends import Precision
from segline.common.errors import SeglineError
from segline.data.manifest import Manifest
from segline.evaluation.classes.yardstick import CLASSES
from segline.evaluation.masks.label_metrics import LabelMetrics
from segline.evaluation.records import CaseEvaluation, Evaluation, Measured
from segline.evaluation.scoring import summarise
from segline.plan import Gate, Plan, PromotionRule, Task

from ..conftest import small_plan

OLD = (0.90, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96, 0.97)
PASSED = Verdict(
    passed=True,
    reasons=(),
    notes=(),
    requirements=Gate(nsd_tolerance_mm=1),
    cases=8,
    backends=(),
    comparisons=(),
    absent=(),
)
BLOCKED = PASSED.model_copy(update={"passed": False, "reasons": ("patient_7: Dice differs", "and more")})
MACHINE = Machine(processor="p", cpus=2, threads=2, memory_bytes=1, system="Linux x86_64", gpu="no GPU")
BETTER = PromotionRule()
FASTER = PromotionRule(rule="not_worse_and_faster")


class Named:
    """A backend of which only the name matters."""

    version = "1"
    precision: Precision = "float32"

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, windows: Tensor) -> Tensor:
        """Never called."""
        raise NotImplementedError


def measured(dice: float | None) -> Measured:
    return {**dict.fromkeys(LabelMetrics.model_fields), "dice": dice, "truth_ml": 1.0, "prediction_ml": 1.0}


def evaluation(dice: Sequence[float | None], backend: str = "pytorch", label: str = "label1") -> Evaluation:
    plan = (
        small_plan()
        if label == "label1"
        else Plan.model_validate({**small_plan().model_dump(), "labels": {0: "background", 1: label}})
    )
    cases = [
        CaseEvaluation(case=f"patient_{number}", figures={label: measured(value)}, answer="")
        for number, value in enumerate(dice)
    ]
    return summarise(Named(backend), plan, cases)


def digest(number: int) -> str:
    return f"{number:012x}"[::-1]


def contender(
    dice: Sequence[float | None] = OLD, total_ms: float | None = None, **evaluated: str
) -> Contender:
    digests = {f"patient_{number}": digest(number) for number in range(len(dice))}
    timed = timing(total_ms) if total_ms else None
    return Contender(evaluation(dice, **evaluated), digests, frozenset({digest(100)}), timed)


def decided(right: Sequence[float]) -> Contender:
    """A model of classes, which was right in some cases, 1, and wrong in others, 0."""
    cases = [
        CaseEvaluation(
            case=f"patient_{number}",
            figures={"label1": {"accuracy": value, "true_class": value, "log_loss": 1 - value}},
            answer="",
        )
        for number, value in enumerate(right)
    ]
    digests = {case.case: digest(number) for number, case in enumerate(cases)}
    return Contender(summarise(Named("pytorch"), small_plan(), cases, CLASSES), digests, frozenset())


def timing(*totals_ms: float, **parts: Any) -> Benchmark:
    backends = tuple(
        BackendTimes(
            backend=f"backend{number}",
            version="1",
            precision="float32",
            runs=3,
            stages_ms={},
            network=None,
            end_to_end=EndToEnd(volume_ms=Percentiles.of([total]), volumes_per_minute=1),
            peak_host_bytes=1,
            device=None,
            note=None,
        )
        for number, total in enumerate(totals_ms)
    )
    timed = Benchmark(machine=MACHINE, cases=("a",), warm_up_runs=1, backends=backends, unavailable=())
    return timed.model_copy(update=parts)


def shifted(by: float, spread: float = 0.0) -> list[float]:
    """``OLD`` moved by ``by`` on the mean, every other case ``spread`` more or less."""
    return [dice + by + (spread if number % 2 else -spread) for number, dice in enumerate(OLD)]


def against(
    challenger: Contender,
    rule: PromotionRule = BETTER,
    champion: Contender | None = None,
    verdict: Verdict = PASSED,
) -> Decision:
    return decide(champion or contender(), challenger, verdict, rule)


def refusal(decision: Decision) -> str:
    assert not decision.promoted
    assert len(decision.reasons) == 1, decision.reasons
    return decision.reasons[0]


class TestWithoutAChampion:
    def test_the_gate_alone_decides(self):
        assert decide(None, contender(), PASSED, BETTER).promoted
        assert not decide(None, contender(), BLOCKED, BETTER).promoted

    def test_the_decision_says_so(self):
        decision = decide(None, contender(), PASSED, BETTER)
        assert decision.reasons == ("no champion yet; the gate passed",)
        assert decision.difference is None


class TestTheGate:
    def test_blocks_however_much_better_the_challenger_is(self):
        assert refusal(against(contender(shifted(0.02)), verdict=BLOCKED)) == (
            "the gate blocked it for 2 reasons"
        )

    def test_its_reasons_name_cases_and_are_not_repeated(self):
        decision = against(contender(shifted(0.02)), verdict=BLOCKED)
        assert "patient" not in decision.model_dump_json()


class TestBetter:
    def test_a_difference_whose_interval_is_above_zero_promotes(self):
        decision = against(contender(shifted(0.02)))
        assert decision.promoted
        assert decision.reasons == (
            "mean Dice differs by +0.0200 (95 % interval +0.0200 to +0.0200, 8 cases): better",
        )

    def test_a_difference_within_its_uncertainty_does_not(self):
        decision = against(contender(shifted(0.001, spread=0.02)))
        assert decision.difference is not None and decision.difference.mean == pytest.approx(0.001)
        assert refusal(decision).endswith("8 cases): not shown to be better")

    @pytest.mark.parametrize("rule", [BETTER, FASTER])
    def test_a_tie_leaves_the_champion(self, rule: PromotionRule):
        assert not against(contender(OLD, 100), rule, contender(OLD, 100)).promoted

    def test_a_worse_one_stays(self):
        assert refusal(against(contender(shifted(-0.01)))).startswith("mean Dice differs by -0.0100")

    def test_the_order_of_the_cases_does_not_matter(self):
        challenger = contender(shifted(0.02))
        cases = challenger.evaluation.cases[::-1]
        turned = challenger.evaluation.model_copy(update={"cases": cases})
        changed = Contender(turned, challenger.digests, challenger.learned_from)
        assert against(changed).cases == against(challenger).cases
        assert against(changed).promoted

    def test_a_few_cases_prove_nothing(self):
        decision = against(contender([0.99] * 5), champion=contender([0.90] * 5))
        assert refusal(decision) == "compared in 5 cases, 6 are needed to tell"

    def test_a_single_case_proves_nothing_by_any_rule(self):
        rule = PromotionRule(min_cases=2)
        decision = against(contender([0.99]), rule, champion=contender([0.90]))
        assert refusal(decision) == "compared in 1 case, 2 are needed to tell"


class TestNotWorseAndFaster:
    def test_promotes_one_that_is_as_good_and_faster(self):
        decision = against(contender(shifted(-0.001), 800), FASTER, contender(OLD, 1000))
        assert decision.promoted
        assert decision.speed is not None and decision.speed.challenger_ms == 800
        assert decision.reasons == (
            "mean Dice differs by -0.0010 (95 % interval -0.0010 to -0.0010, 8 cases): not worse",
            "faster: 800 ms a volume against 1000 ms",
        )

    def test_promotes_a_better_one_however_slow(self):
        assert against(contender(shifted(0.02), 5000), FASTER, contender(OLD, 1000)).promoted

    def test_a_margin_of_dice_is_not_for_sale(self):
        decision = against(contender(shifted(-0.003), 10), FASTER, contender(OLD, 1000))
        assert refusal(decision).endswith("not shown to be at most 0.002 worse")

    def test_an_uncertain_difference_is_not_taken_for_a_small_one(self):
        decision = against(contender(shifted(0, spread=0.02), 10), FASTER, contender(OLD, 1000))
        assert refusal(decision).endswith("not shown to be at most 0.002 worse")

    @pytest.mark.parametrize("total_ms", [951, 1000, 1200])
    def test_a_few_percent_are_the_noise_of_timing(self, total_ms: float):
        decision = against(contender(OLD, total_ms), FASTER, contender(OLD, 1000))
        assert decision.reasons[1] == (
            f"not faster: {total_ms} ms a volume against 1000 ms, 950 ms or less is needed"
        )
        assert not decision.promoted

    def test_speed_is_of_no_account_under_the_other_rule(self):
        assert not against(contender(OLD, 10), BETTER, contender(OLD, 1000)).promoted

    @pytest.mark.parametrize("missing", ["champion", "challenger"])
    def test_what_was_not_timed_is_not_faster(self, missing: str):
        times = {"champion": 1000.0, "challenger": 10.0, missing: None}
        decision = against(contender(OLD, times["challenger"]), FASTER, contender(OLD, times["champion"]))
        assert not decision.promoted
        assert decision.speed is None
        assert decision.reasons[1].startswith("not shown to be faster")

    @pytest.mark.parametrize(
        "elsewhere", [{"machine": MACHINE.model_copy(update={"threads": 1})}, {"cases": ("b",)}]
    )
    def test_times_of_another_machine_or_of_other_cases_are_not_compared(self, elsewhere: dict[str, Any]):
        base = contender()
        faster = Contender(base.evaluation, base.digests, base.learned_from, timing(1, **elsewhere))
        assert against(faster, FASTER, contender(OLD, 1000)).speed is None

    def test_each_model_counts_by_its_fastest_backend(self):
        base = contender()
        faster = Contender(base.evaluation, base.digests, base.learned_from, timing(900, 300, 2000))
        speed = against(faster, FASTER, contender(OLD, 1000)).speed
        assert speed is not None and speed.challenger_ms == 300


class TestLowerTail:
    def test_the_worst_case_must_not_be_given_up_for_a_better_mean(self):
        decision = against(contender([0.74, *OLD[1:]]), champion=contender(shifted(-0.1)))
        assert refusal(decision) == (
            f"case {digest(0)} of the lower tail fell from Dice 0.8000 to 0.7400, by 0.0600 > 0.05"
        )

    def test_a_good_case_that_fails_now_is_in_the_tail(self):
        decision = against(contender([*OLD[:-1], 0.81]), champion=contender(shifted(-0.1)))
        assert "fell from Dice 0.8700 to 0.8100" in refusal(decision)

    def test_a_loss_within_the_margin_is_borne(self):
        dice = [0.86, *shifted(0.025)[1:]]
        decision = against(contender(dice))
        assert decision.promoted
        assert decision.tail[0].loss == pytest.approx(0.04)

    def test_a_figure_of_yes_or_no_has_none(self):
        old, new = [0.0] * 11 + [1.0] * 9, [1.0] * 19 + [0.0]
        of_masks = decide(contender(old), contender(new), PASSED, BETTER)
        assert not of_masks.promoted and of_masks.tail
        of_classes = decide(decided(old), decided(new), PASSED, BETTER)
        assert of_classes.promoted and of_classes.tail == () and of_classes.difference is not None
        assert of_classes.difference.mean == pytest.approx(0.5)

    def test_the_tail_is_a_share_of_the_cases_of_each_model(self):
        tail = against(contender(shifted(0.02)), PromotionRule(tail_share=0.25)).tail
        assert {pair.case for pair in tail} == {digest(0), digest(1)}

    def test_the_margin_is_the_tasks(self):
        dice = [0.86, *shifted(0.025)[1:]]
        assert not against(contender(dice), PromotionRule(tail_margin=0.03)).promoted


class TestUndefinedDice:
    def test_a_case_undefined_for_both_takes_no_part(self):
        decision = against(contender([*shifted(0.02), None]), champion=contender([*OLD, None]))
        assert decision.promoted
        assert decision.difference is not None and decision.difference.missing == 1

    def test_a_case_undefined_for_the_challenger_alone_is_a_reason(self):
        decision = against(contender([*shifted(0.02), None]), champion=contender([*OLD, 0.9]))
        assert not decision.promoted
        case = digest(8)
        assert decision.reasons == (
            f"case {case} has a Dice with only one of the two (0.9000 and undefined); look at it",
            f"case {case} of the lower tail fell from Dice 0.9000 to undefined, by 0.9000 > 0.05",
        )

    def test_a_case_undefined_for_the_champion_alone_is_a_reason(self):
        decision = against(contender([*shifted(0.02), 0.9]), champion=contender([*OLD, None]))
        assert "(undefined and 0.9000)" in refusal(decision)

    def test_without_a_defined_case_nothing_is_shown(self):
        decision = against(contender([None] * 6), champion=contender([None] * 6))
        assert refusal(decision) == "compared in 0 cases, 6 are needed to tell"


class TestComparisonsThatWouldNotBeFair:
    def test_other_cases(self):
        decision = against(contender([*shifted(0.02), 0.99]))
        assert refusal(decision) == (
            "not evaluated on the same test cases: 8 in common, 0 of the champion only, "
            "1 of the challenger only; evaluate both on the same"
        )
        assert decision.cases == ()

    def test_a_case_of_the_same_name_with_other_content(self):
        base = contender(shifted(0.02))
        changed = Contender(base.evaluation, {**base.digests, "patient_3": digest(33)}, base.learned_from)
        assert "7 in common, 1 of the champion only, 1 of the challenger only" in refusal(against(changed))

    def test_cases_are_the_same_by_content_whatever_they_are_called(self):
        base = contender(shifted(0.02))
        cases = [c.model_copy(update={"case": base.digests[c.case]}) for c in base.evaluation.cases]
        renamed = base.evaluation.model_copy(update={"cases": tuple(cases)})
        packed = Contender(renamed, {case.case: case.case for case in cases}, base.learned_from)
        assert against(packed).promoted

    @pytest.mark.parametrize("who", ["champion", "challenger"])
    def test_a_model_that_learned_from_a_test_case(self, who: str):
        models = {"champion": contender(), "challenger": contender(shifted(0.02))}
        base = models[who]
        models[who] = Contender(base.evaluation, base.digests, frozenset({digest(2)}))
        decision = against(models["challenger"], champion=models["champion"])
        assert refusal(decision).startswith(f"the {who} learned from 1 case of the comparison")

    def test_evaluations_of_different_backends(self):
        decision = against(contender(shifted(0.02), backend="openvino"))
        assert "pytorch in float32 and openvino in float32" in refusal(decision)

    def test_models_of_different_labels(self):
        assert "different labels (label1 and liver)" in refusal(against(contender(OLD, label="liver")))


class TestContender:
    def test_knows_its_cases_by_content_and_what_it_learned_from(self, phantoms: Manifest, tiny_plan: Plan):
        cases = [
            CaseEvaluation(case=name, figures={"spleen": measured(0.9)}, answer="")
            for name in tiny_plan.split.test
        ]
        model = Contender.of(summarise(Named("pytorch"), tiny_plan, cases), tiny_plan, phantoms)
        assert model.digests == {name: phantoms.case(name).short_digest for name in tiny_plan.split.test}
        assert model.learned_from == {
            phantoms.case(f"phantom_00{number}").short_digest for number in range(4)
        }

    def test_an_evaluated_case_that_the_data_set_lacks_is_refused(self, phantoms: Manifest, tiny_plan: Plan):
        with pytest.raises(SeglineError, match="patient_0: no such case"):
            Contender.of(evaluation(OLD), tiny_plan, phantoms)


class TestTheRule:
    def test_is_part_of_the_task(self):
        rule = {"rule": "not_worse_and_faster", "margin": 0.01, "tail_margin": 0.1}
        task = Task.parse({"name": "a", "source": "b", "promotion": rule}, "task.yaml")
        assert task.promotion == PromotionRule(rule="not_worse_and_faster", margin=0.01, tail_margin=0.1)

    @pytest.mark.parametrize(
        ("rule", "told"),
        [
            ({"rule": "always"}, r"promotion\.rule"),
            ({"margin": -0.1}, r"promotion\.margin"),
            ({"min_cases": 1}, r"promotion\.min_cases"),
            ({"tail": 0.1}, r"promotion\.tail"),
        ],
    )
    def test_a_fault_in_it_is_told(self, rule: dict[str, Any], told: str):
        with pytest.raises(SeglineError, match=told):
            Task.parse({"name": "a", "source": "b", "promotion": rule}, "task.yaml")


def test_a_decision_is_read_as_it_was_written(tmp_path: Path) -> None:
    decision = against(contender(shifted(0.02), 800), FASTER, contender(OLD, 1000))
    decision.write(tmp_path / "decision.json")
    assert Decision.read(tmp_path / "decision.json") == decision


def test_a_decision_names_no_case() -> None:
    assert "patient" not in against(contender([0.5, *shifted(0.02)[1:]])).model_dump_json()
