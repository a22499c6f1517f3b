"""The voxels of all test cases together: as which label they were predicted, and how scores part them."""

from collections.abc import Mapping

from segline.evaluation.confusion import Confusion
from segline.evaluation.estimates import Estimate
from segline.evaluation.records import Evaluation
from segline.evaluation.roc import Roc
from segline.report.html.markup import Content, Html, chart, element, heading, number, table
from segline.report.html.wording import dash, decimal, small_share
from segline.report.pictures import charts


def voxels(evaluation: Evaluation) -> Html | None:
    """Confusion matrix and ROC; nothing where they were not counted."""
    if evaluation.confusion is None:
        return None
    roc = evaluation.scores.roc() if evaluation.scores else None
    lead = f"All voxels of the test cases, as {evaluation.backend} labelled them; each row adds up to 100 %."
    return element(
        "div",
        element("h3", "Confusion of labels"),
        element("p", lead),
        _matrix(evaluation.confusion),
        _accumulated(evaluation.confusion, evaluation.by_label),
        _curve(roc) if roc else None,
        id="voxels",
    )


def _matrix(confusion: Confusion) -> Html:
    head = ("True label", *(heading(f"found as {label}", numeric=True) for label in confusion.labels))
    rows = [
        [heading(label, scope="row"), *(_count(*pair) for pair in zip(counts, shares, strict=True))]
        for label, counts, shares in zip(confusion.labels, confusion.voxels, confusion.shares, strict=True)
    ]
    return table(head, rows, "confusion")


def _count(voxels: int, share: float | None) -> Html:
    shown: Content = dash("no voxel has this label") if share is None else small_share(share)
    return number(element("div", shown), element("small", f"{voxels:,}", class_="below"))


def _accumulated(confusion: Confusion, by_label: Mapping[str, Mapping[str, Estimate]]) -> Html:
    """As if all cases were one; a large case counts for more than a small one."""
    rows = [
        [heading(label, scope="row"), number(_dice(dice)), number(_dice(_mean_dice(by_label, label)))]
        for label, dice in confusion.dice.items()
    ]
    head = ("Label", heading("Accumulated Dice", numeric=True), heading("Mean of cases", numeric=True))
    lead = "Accumulated Dice is over the voxels of all cases together, in which large cases count for more."
    return element("div", element("p", lead), table(head, rows))


def _dice(value: float | None) -> Content:
    return dash("no voxel has this label") if value is None else decimal(value, 3)


def _mean_dice(by_label: Mapping[str, Mapping[str, Estimate]], label: str) -> float | None:
    dice = by_label.get(label, {}).get("dice")
    return dice.mean if dice else None


def _curve(roc: Roc) -> Html:
    caption = (
        f"ROC of any foreground label against background, over the voxels of the plan's grid: area "
        f"{decimal(roc.area, 5)}. Nearly every voxel is easy background, which flatters the area; hence the "
        "logarithmic axis. The dot is probability 0.5."
    )
    return chart(lambda: charts.roc(roc), caption, id="roc")
