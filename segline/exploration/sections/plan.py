"""The plan that would be proposed, value by value with its reason, and what training would see of it."""

import json
from collections.abc import Sequence

import numpy as np

from segline.common.wording import counted
from segline.data.manifest import CaseEntry
from segline.exploration.checks.finding import Finding, some_of
from segline.exploration.facts import Facts, KindParts
from segline.exploration.pictures.patches import patches
from segline.plan import Plan
from segline.planning.reasons import reasons
from segline.report.html.markup import Html, cell, details, drawn, element, preformatted, table
from segline.report.sections.data import plan_in_words

_CASES_CUT = 4
"""From which patches are cut."""


def plan_section(facts: Facts) -> Html:
    """What would be proposed, and why; or why nothing can be."""
    head = element("h2", "The plan that would be proposed")
    if not isinstance(facts.plan, Plan) or isinstance(facts.fingerprint, Exception):
        told = element("p", f"No plan: {facts.plan}", class_="absent")
        return element("section", head, told, id="plan")
    without = (
        f" It is proposed without {some_of(facts.misscaled)}, whose spacing is to be corrected first."
        if facts.misscaled
        else None
    )
    why = reasons(facts.plan, facts.fingerprint, facts.task)
    rows = [
        (element("strong", name), cell(value, class_="words"), cell(why.get(name, ""), class_="words"))
        for name, value in plan_in_words(facts.plan)
    ]
    split = facts.plan.split
    sizes = f"{len(split.train)} to train, {len(split.val)} to validate, {len(split.test)} to test"
    rows.append((element("strong", "Split"), cell(sizes), cell("drawn by case, from a seed", class_="words")))
    whole = preformatted(json.dumps(facts.plan.model_dump(mode="json"), indent=2))
    return element(
        "section",
        head,
        element("p", "Any value may be set otherwise, by the task's YAML or --set NAME=VALUE.", without),
        table(("Part", "Chosen", "Why"), rows, "facts-table"),
        details("The whole plan", whole),
        id="plan",
    )


def patches_section(facts: Facts, findings: Sequence[Finding], parts: KindParts) -> Html | None:
    """Pairs of training patches; nothing where there is no plan."""
    plan = facts.plan
    if not isinstance(plan, Plan):
        return None
    cases = _usual(facts, plan, findings)
    return element(
        "section",
        element("h2", "Training patches"),
        element(
            "p",
            "What the network would see: the first patches of a training on "
            f"{counted(len(cases), 'usual case')}, cut by the plan's sampler, and each changed by its "
            f"augmentation (seed {plan.seed}). The first channel, on the axial slice where most is labelled.",
        ),
        drawn(lambda: patches(facts.manifest, plan, cases, parts)),
        id="patches",
    )


def _usual(facts: Facts, plan: Plan, findings: Sequence[Finding]) -> list[CaseEntry]:
    """Training cases near the median size of which nothing is wrong, if there are such; of every class."""
    sizes = {name: float(np.prod(shape)) for name, (_, shape) in facts.geometry.items()}
    middle = float(np.median(list(sizes.values())))
    wrong = {finding.case for finding in findings if finding.level == "wrong"}
    names = sorted(
        plan.split.train, key=lambda name: (name in wrong, abs(np.log(sizes[name] / middle)), name)
    )
    if facts.classes:
        names = names[:: max(1, len(names) // _CASES_CUT)]
    return [facts.manifest.case(name) for name in sorted(names[:_CASES_CUT])]
