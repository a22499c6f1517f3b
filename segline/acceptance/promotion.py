"""Promotion: whether a challenger takes the champion's place, decided case by case on the same cases."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict

from segline.acceptance.times import Benchmark
from segline.acceptance.verdict import Verdict
from segline.common.documents import Document
from segline.common.wording import counted
from segline.data.manifest import Manifest
from segline.evaluation.estimates import Estimate, paired_difference
from segline.evaluation.records import CaseEvaluation, Evaluation
from segline.plan import Plan, PromotionRule


@dataclass(frozen=True)
class Contender:
    """A model in a comparison."""

    evaluation: Evaluation
    digests: Mapping[str, str]
    """Short content digest of each evaluated case, by its name in ``evaluation``; cases are paired by it."""
    learned_from: frozenset[str]
    """Short content digests of the cases that trained it or chose its weights."""
    benchmark: Benchmark | None = None

    @classmethod
    def of(
        cls, evaluation: Evaluation, plan: Plan, manifest: Manifest, benchmark: Benchmark | None = None
    ) -> Self:
        """The model of ``plan``, evaluated on cases of ``manifest``.

        The plan may be one without names. A training case that ``manifest`` no longer has cannot be among
        the evaluated ones, and is left out.

        Raises:
            SeglineError: an evaluated case is not in ``manifest``.
        """
        learned = {*plan.split.train, *plan.split.val}
        return cls(
            evaluation=evaluation,
            digests={case.case: manifest.case(case.case).short_digest for case in evaluation.cases},
            learned_from=frozenset(
                case.short_digest for case in manifest.cases if {case.name, case.short_digest} & learned
            ),
            benchmark=benchmark,
        )


class CasePair(BaseModel):
    """The scores of two models in one case; ``None`` where the deciding figure of a label is undefined."""

    model_config = ConfigDict(frozen=True)

    case: str
    """Its short content digest: a decision leaves the place where names may be known."""
    champion: float | None
    challenger: float | None

    @property
    def loss(self) -> float:
        """What the challenger loses; everything where it alone is undefined, nothing where both are."""
        if self.champion is None:
            return 0.0
        return self.champion - (self.challenger or 0.0)


class Speed(BaseModel):
    """Median time from file to file of each model's fastest backend."""

    model_config = ConfigDict(frozen=True)

    champion_ms: float
    challenger_ms: float


class Decision(Document):
    """Whether the challenger becomes champion, and why."""

    kind = "a promotion decision"
    stage = "register"

    promoted: bool
    reasons: tuple[str, ...]
    """Sentences with their figures: what speaks for it when promoted, else all that speaks against it."""
    rule: PromotionRule
    difference: Estimate | None = None
    """Of the cases' scores, challenger minus champion; ``None`` where the two were not compared."""
    cases: tuple[CasePair, ...] = ()
    """The largest loss first."""
    tail: tuple[CasePair, ...] = ()
    """Those of ``cases`` that are among the worst of either model."""
    speed: Speed | None = None
    """``None`` where one was not timed, or not on the same machine and cases."""


def decide(
    champion: Contender | None, challenger: Contender, verdict: Verdict, rule: PromotionRule
) -> Decision:
    """Hold a challenger against the champion; ``verdict`` is the gate's on the challenger.

    Without a champion the gate alone decides. Otherwise the challenger must have passed the gate, be better
    by the paired 95 % interval of the mean score (or, by the rule, not worse and faster), and have lost no
    case of the lower tail, which scores of yes or no do not have.
    """
    blocked = _gate(verdict)
    if champion is None:
        reasons = blocked or ("no champion yet; the gate passed",)
        return Decision(promoted=not blocked, reasons=reasons, rule=rule)
    if unfair := _unfair(champion, challenger):
        return Decision(promoted=False, reasons=(*blocked, *unfair), rule=rule)
    pairs = _pairs(champion, challenger)
    deciding = challenger.evaluation.figures[0]
    tail = () if deciding.yes_or_no else _tail(pairs, rule)
    speed = _speed(champion.benchmark, challenger.benchmark)
    difference = paired_difference([pair.challenger for pair in pairs], [pair.champion for pair in pairs])
    title = deciding.title
    merit, shortfall = _merit(title, difference, speed, rule)
    against = (*blocked, *_half_defined(title, pairs), *shortfall, *_tail_losses(title, tail, rule))
    return Decision(
        promoted=not against,
        reasons=against or merit,
        rule=rule,
        difference=difference,
        cases=pairs,
        tail=tail,
        speed=speed,
    )


def _gate(verdict: Verdict) -> tuple[str, ...]:
    """Not in the gate's own words, which name cases."""
    if verdict.passed:
        return ()
    return (f"the gate blocked it for {counted(len(verdict.reasons), 'reason')}",)


def _unfair(champion: Contender, challenger: Contender) -> tuple[str, ...]:
    """Why two evaluations must not be compared."""
    a, b = champion.evaluation, challenger.evaluation
    if (a.backend, a.precision) != (b.backend, b.precision):
        precisions = f"{a.backend} in {a.precision} and {b.backend} in {b.precision}"
        return (f"evaluated on different backends ({precisions}); evaluate both on one",)
    if set(a.by_label) != set(b.by_label):
        return (
            f"different labels ({', '.join(a.by_label)} and {', '.join(b.by_label)}); no rule ranks them",
        )
    return (*_other_cases(champion, challenger), *_leaks(champion, challenger))


def _other_cases(champion: Contender, challenger: Contender) -> tuple[str, ...]:
    theirs, ours = set(champion.digests.values()), set(challenger.digests.values())
    if theirs == ours:
        return ()
    return (
        f"not evaluated on the same test cases: {len(theirs & ours)} in common, {len(theirs - ours)} of the "
        f"champion only, {len(ours - theirs)} of the challenger only; evaluate both on the same",
    )


def _leaks(champion: Contender, challenger: Contender) -> tuple[str, ...]:
    return tuple(
        f"the {name} learned from {counted(len(seen), 'case')} of the comparison; keep the champion's split"
        for name, model in (("champion", champion), ("challenger", challenger))
        if (seen := model.learned_from & set(model.digests.values()))
    )


def _pairs(champion: Contender, challenger: Contender) -> tuple[CasePair, ...]:
    theirs, ours = _score_by_digest(champion), _score_by_digest(challenger)
    pairs = [CasePair(case=case, champion=theirs[case], challenger=score) for case, score in ours.items()]
    return tuple(sorted(pairs, key=lambda pair: (-pair.loss, pair.case)))


def _score_by_digest(model: Contender) -> dict[str, float | None]:
    return {model.digests[case.case]: _score(case) for case in model.evaluation.cases}


def _score(case: CaseEvaluation) -> float | None:
    return None if None in case.deciding else case.score


def _tail(pairs: tuple[CasePair, ...], rule: PromotionRule) -> tuple[CasePair, ...]:
    """The worst cases of either model: one that was good and fails now is in the challenger's tail."""
    size = max(1, math.ceil(rule.tail_share * len(pairs)))
    by_champion = sorted(pairs, key=lambda pair: pair.champion or 0.0)[:size]
    by_challenger = sorted(pairs, key=lambda pair: pair.challenger or 0.0)[:size]
    return tuple(pair for pair in pairs if pair in by_champion or pair in by_challenger)


def _tail_losses(title: str, tail: tuple[CasePair, ...], rule: PromotionRule) -> tuple[str, ...]:
    return tuple(
        f"case {pair.case} of the lower tail fell from {title} {_figure(pair.champion)} to "
        f"{_figure(pair.challenger)}, by {pair.loss:.4f} > {rule.tail_margin:g}"
        for pair in tail
        if pair.loss > rule.tail_margin
    )


def _half_defined(title: str, pairs: tuple[CasePair, ...]) -> tuple[str, ...]:
    """A pair that takes no part in the mean must not hide what one of the two did."""
    return tuple(
        f"case {pair.case} has a {title} with only one of the two ({_figure(pair.champion)} and "
        f"{_figure(pair.challenger)}); look at it"
        for pair in pairs
        if (pair.champion is None) is not (pair.challenger is None)
    )


def _speed(champion: Benchmark | None, challenger: Benchmark | None) -> Speed | None:
    if champion is None or challenger is None or not champion.backends or not challenger.backends:
        return None
    if champion.machine != challenger.machine or champion.cases != challenger.cases:
        return None
    totals = [
        min(times.end_to_end.volume_ms.p50 for times in timed.backends) for timed in (champion, challenger)
    ]
    return Speed(champion_ms=totals[0], challenger_ms=totals[1])


def _merit(
    title: str, difference: Estimate, speed: Speed | None, rule: PromotionRule
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What speaks for the challenger's scores and speed, and what against; one of the two is empty."""
    if difference.ci95 is None or difference.count < rule.min_cases:
        few = f"compared in {counted(difference.count, 'case')}, {rule.min_cases} are needed to tell"
        return (), (few,)
    low, high = difference.ci95
    reason = f"mean {title} differs by {difference.mean:+.4f} (95 % interval {low:+.4f} to {high:+.4f}, "
    reason += f"{counted(difference.count, 'case')})"
    if low > 0:
        return (f"{reason}: better",), ()
    if rule.rule == "better":
        return (), (f"{reason}: not shown to be better",)
    if low < -rule.margin:
        return (), (f"{reason}: not shown to be at most {rule.margin:g} worse",)
    faster, pace = _faster(speed, rule)
    return ((f"{reason}: not worse", pace), ()) if faster else ((), (f"{reason}: not better", pace))


def _faster(speed: Speed | None, rule: PromotionRule) -> tuple[bool, str]:
    if speed is None:
        return False, "not shown to be faster: the two were not timed on the same machine and cases"
    limit = speed.champion_ms * (1 - rule.faster_by)
    times = f"{speed.challenger_ms:.0f} ms a volume against {speed.champion_ms:.0f} ms"
    if speed.challenger_ms > limit or speed.challenger_ms == speed.champion_ms:
        return False, f"not faster: {times}, {limit:.0f} ms or less is needed"
    return True, f"faster: {times}"


def _figure(score: float | None) -> str:
    return "undefined" if score is None else f"{score:.4f}"
