"""The training: what it took, its curves, and how the best weights were found."""

from segline.plan import Plan
from segline.report import figures
from segline.report.data import fact_list
from segline.report.markup import Content, Html, drawn, element
from segline.report.wording import counted, dash, decimal, duration
from segline.training import History


def training(history: History, plan: Plan | None) -> Html:
    """Facts and curves of the training."""
    return element(
        "section",
        element("h2", "Training"),
        fact_list(_facts(history, plan)),
        _curves(history),
        id="training",
    )


def _facts(history: History, plan: Plan | None) -> list[tuple[str, Content]]:
    epochs = history.points[-1].epoch if history.points else 0
    resumed = history.resumed_from_step
    validated = history.best_val_dice >= 0
    best = decimal(history.best_val_dice, 4) if validated else dash("no validation took place")
    validations = sum(point.val_dice is not None for point in history.points)
    each = f", each on {counted(len(plan.split.val), 'case')}" if plan else ""
    return [
        ("Steps", f"{history.steps} ({epochs:.0f} epochs)"),
        ("Time", duration(60 * history.minutes)),
        ("Device", history.device),
        ("Best validation Dice", best),
        ("Best step", str(history.best_step) if validated else dash("no validation took place")),
        ("Validations", f"{validations}{each}"),
        ("Resumed", "no interruption" if resumed is None else f"continued from step {resumed}"),
        ("Seed", str(history.seed)),
    ]


def _curves(history: History) -> Html:
    if not history.points:
        why = "No curves: the training ended before its loss was written down for the first time."
        return element("p", why, class_="absent")
    caption = (
        "Loss (Dice and cross-entropy, mean of 20 steps), mean Dice over the validation cases and learning "
        "rate. Dashed: the step whose weights were kept."
    )
    if history.resumed_from_step is not None:
        caption += " Dotted: where an interruption was taken up again."
    return element(
        "figure",
        drawn(lambda: figures.curves(history)),
        element("figcaption", caption),
        class_="chart",
        id="training-curves",
    )
