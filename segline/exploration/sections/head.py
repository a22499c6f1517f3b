"""The top of the page: what the data set is, and what looks wrong in it."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from segline.common.wording import counted
from segline.exploration.checks.finding import FEWEST_CASES, MOST, Z_LIMIT, Finding, Level
from segline.exploration.facts import Facts
from segline.report.html.markup import Content, Html, cell, details, element, heading, number, table
from segline.report.html.wording import bytes_in_words, percent, short_digest
from segline.report.sections.data import fact_list

_ROWS_A_CHECK = 8
_NAMES_OF_MORE = 40
_PILLS: dict[Level, str] = {
    "refused": "pill failed",
    "wrong": "pill failed",
    "odd": "pill skipped",
    "remark": "tag",
}


def header(facts: Facts, findings: Sequence[Finding]) -> Html:
    """What it is called, and in one word how it looks."""
    grave = sum(finding.level in ("refused", "wrong") for finding in findings)
    odd = sum(finding.level == "odd" for finding in findings)
    badge, words = (
        ("failed", "errors") if grave else ("blocked", "look at it") if odd else ("succeeded", "sound")
    )
    told = [
        counted(len(facts.cases), "labelled case"),
        f"{facts.unlabelled} unlabelled",
        ", ".join(facts.manifest.modalities),
        bytes_in_words(facts.size_bytes),
    ]
    return element(
        "header",
        element(
            "div",
            element("p", "segline data set", class_="eyebrow"),
            element("h1", facts.manifest.name),
            element("ul", *(element("li", fact) for fact in told), class_="facts"),
            class_="title",
        ),
        element("p", words, class_=f"badge {badge}"),
        class_="top",
    )


def findings_section(facts: Facts, findings: Sequence[Finding]) -> Html:
    """Everything that looks wrong, the gravest first; or that nothing does."""
    if findings:
        head = ("", "Case", "What", heading("Number", numeric=True), "What to do")
        body = table(head, _rows(findings), "findings")
        most = max((finding.level for finding in findings), key=("remark", "odd", "wrong", "refused").index)
        state = {"odd": "blocked", "remark": ""}.get(most, "failed")
    else:
        body = element(
            "p", "Nothing looks wrong: every check below found all cases in line.", class_="absent"
        )
        state = "succeeded"
    few = f"{counted(len(facts.cases), 'case')} tell little of what is usual; {FEWEST_CASES} or more would."
    return element(
        "section",
        element("h2", "What looks wrong"),
        element("p", few, class_="note") if len(facts.cases) < FEWEST_CASES else None,
        body,
        details("What was looked for, and by which rules", _rules(facts)),
        id="findings",
        class_=f"outcome {state}" if state in ("failed", "blocked") else None,
    )


def dataset_section(facts: Facts) -> Html:
    """What is declared and what is there."""
    manifest = facts.manifest
    refused: list[tuple[str, Content]] = [("Refused cases", str(len(facts.faults)))] if facts.faults else []
    ignored: list[tuple[str, Content]] = (
        []
        if manifest.ignore is None
        else [("Ignored", f"value {manifest.ignore}, of which nothing is known")]
    )
    listed: list[tuple[str, Content]] = [
        ("Name", manifest.name),
        ("Labelled cases", str(len(facts.cases))),
        *refused,
        ("Unlabelled images", f"{facts.unlabelled}, not looked at"),
        ("Channels", ", ".join(manifest.modalities)),
        ("Labels", ", ".join(f"{value} {name}" for value, name in manifest.labels.items())),
        *ignored,
        ("Size of the files", bytes_in_words(facts.size_bytes)),
        ("Licence", manifest.licence),
        ("Digest", short_digest(manifest.digest)),
    ]
    return element("section", element("h2", "Data set"), fact_list(listed), id="data-set")


def _rows(findings: Sequence[Finding]) -> Iterator[tuple[Content, ...]]:
    for _, group in groupby(findings, key=lambda finding: (finding.level, finding.check)):
        same = list(group)
        for finding in same[:_ROWS_A_CHECK]:
            yield _row(finding)
        if more := same[_ROWS_A_CHECK:]:
            yield _more(more)


def _row(finding: Finding) -> tuple[Content, ...]:
    what = cell(element("strong", finding.check), element("div", finding.what), class_="words")
    case = cell(finding.case or "all", class_="words")
    pill = element("span", finding.level, class_=_PILLS[finding.level])
    return pill, case, what, number(finding.number), cell(finding.remedy, class_="words")


def _more(more: Sequence[Finding]) -> tuple[Content, ...]:
    names = _listed(finding.case for finding in more if finding.case)
    told = element("strong", f"{more[0].check}: {len(more)} more")
    return None, cell(told, element("div", names), class_="words", colspan=4)


def _listed(names: Iterable[str]) -> str:
    some = list(names)
    rest = f" and {len(some) - _NAMES_OF_MORE} more" if len(some) > _NAMES_OF_MORE else ""
    return ", ".join(some[:_NAMES_OF_MORE]) + rest


def _rules(facts: Facts) -> Html:
    few = len(facts.cases) < FEWEST_CASES
    outliers = (
        f"Outliers are not looked for: that needs {FEWEST_CASES} cases. "
        if few
        else "Outlying spacing, field of view and volume of a label: the logarithm's robust z-score, its "
        "distance from the median in units of 1.4826 median absolute deviations (0.05 at least, 0.1 of "
        f"volumes), is beyond ±{Z_LIMIT:g} (Iglewicz and Hoaglin, 1993). "
    )
    rules = (
        "Every case: its files can be read, image and label share a grid, labels have declared values only.",
        "Images that are the same voxel by voxel; images in which 99 % of the voxels are equal.",
        "Spacing 50 times off the median along all axes; ranges of values 10 times off the median range; CT "
        "without any value below −200 whose tissue is 500 HU too bright.",
        "Empty label maps; labels that no case has.",
        f"What at least {percent(MOST, 0)} of the cases share and a case does not: orientation, a label, "
        "a label in one component, labels that do not touch each other, labels clear of the volume's border.",
        outliers,
    )
    return element("ul", *(element("li", rule) for rule in rules), class_="remarks")
